"""A service whose data somebody else has copied before: what is taken over, and what a person is asked about."""

from __future__ import annotations

from typing import Any

import pytest

from domain.protection.backup_run import conclude, states
from domain.protection.service import Service
from tests.domain import tables
from tests.domain.builders import ACCOUNTS, CARTS, DATA_SETS, ORDERS, Contexts, failed, new_pair, new_service, succeeded
from tests.domain.voyage import Voyage

FINGERPRINT = "f" * 64


def adopting() -> Voyage:
    """A first run of a service that takes over what stands on the secondary."""
    voyage = Voyage()
    voyage.service.change_data_sets(voyage.contexts(), DATA_SETS, adopts=True)
    voyage.run = voyage.plan(voyage.run.id)
    return voyage


def found(**counts: int) -> dict[str, Any]:
    return {"compared_with": "head", "base": None, "adopted": {**counts, "fingerprint": FINGERPRINT}}


def copied(voyage: Voyage, **counts: int) -> None:
    """The directory stood there already; of the tables nothing did."""
    voyage.to(states.STAGING)
    for data_set in DATA_SETS:
        told = found(**counts) if data_set == ORDERS else {}
        voyage.answer(f"copy-{data_set.id}", succeeded(voyage.totals(**told)))


def test_a_service_that_adopts_goes_on_doing_so() -> None:
    contexts = Contexts()
    service = new_service(contexts)
    assert service.adopts is False
    service.change_data_sets(contexts(), DATA_SETS, adopts=True)
    version = service.version
    service.change_data_sets(contexts(), DATA_SETS, adopts=True)
    assert service.version == version
    service.change_data_sets(contexts(), (ORDERS,))
    assert (service.data_sets, service.adopts) == ((ORDERS,), True)
    assert tables.same_state(service, tables.rebuilt(service))
    assert Service.define(contexts(), "other", new_pair(contexts), DATA_SETS, True).adopts is True


def test_only_a_service_that_adopts_asks_agents_to_do_so() -> None:
    for voyage, expected in ((adopting(), {"adopts": True}), (Voyage(), {})):
        voyage.run.start_checking(voyage.contexts())
        payload = voyage.wanted("check-secondary").payload
        assert {name: payload[name] for name in ("adopts", "sizes") if name in payload} == expected
        assert voyage.wanted("check-primary").payload["sizes"] is True
        voyage.to(states.STAGING)
        payload = voyage.wanted(f"copy-{ORDERS.id}").payload
        assert {name: payload[name] for name in ("adopts",) if name in payload} == expected


@pytest.mark.parametrize("fate", ["deleted_files", "deleted_directories", "replaced_files"])
def test_nothing_that_was_found_is_lost_without_a_persons_yes(fate: str) -> None:
    voyage = adopting()
    copied(voyage, equal_files=997, equal_directories=2, **{fate: 1})
    run = voyage.run
    assert (run.state, run.next_instructions()) == (states.HELD, ())
    assert run.mass_change == {
        "data_set": str(ORDERS),
        "changed": 1,
        "entries": 1_000,
        "unit": "entries found on the secondary",
        "percent": 0,
        "limit_percent": 0,
    }
    run.confirm(voyage.contexts())
    conclude.begin_applying(voyage.contexts(), run, voyage.around)
    applied = {one["id"]: one for one in voyage.wanted("apply").payload["data_sets"]}
    assert applied[ORDERS.id]["as_found"] == FINGERPRINT
    assert applied[ORDERS.id]["from_head"] is True
    assert "as_found" not in applied[ACCOUNTS.id] | applied[CARTS.id]
    assert tables.same_state(run, tables.rebuilt(run))


def test_where_everything_is_equal_or_missing_nobody_is_asked() -> None:
    voyage = adopting()
    copied(voyage, equal_files=10, deleted_files=0)
    assert voyage.run.state == states.APPLYING


def test_a_tree_that_changed_since_fails_the_run_and_the_head_is_given_back() -> None:
    voyage = adopting()
    copied(voyage, equal_files=10)
    voyage.answer("apply", failed("HEAD_CHANGED", detail={"changed": False}))
    assert voyage.run.state == states.CLEANING
    assert (voyage.replica.owner, voyage.replica.head) == (None, None)


def test_the_next_run_is_an_ordinary_one() -> None:
    first = adopting()
    copied(first, equal_files=10)
    for state in (states.FREEZING, states.VERIFYING, states.SEALING, states.COMPLETED):
        first.to(state)
    second = first.next()
    second.service = first.service
    second.run = second.plan(second.run.id)
    kept = [point.snapshot for point in second.replica.kept.values()]
    second.run.start_checking(second.contexts(), kept)
    assert "sizes" not in second.wanted("check-primary").payload
    second.to(states.STAGING)
    assert "adopts" not in second.wanted(f"copy-{ORDERS.id}").payload
