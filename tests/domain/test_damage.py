"""What a verification cannot read although the run has not moved it is damage of the recovery point before."""

from __future__ import annotations

from domain.protection import recovery_point as points
from domain.protection.backup_run import states
from tests.domain.builders import ACCOUNTS, ORDERS, succeeded
from tests.domain.voyage import Voyage


def verify(voyage: Voyage, **damaged: list[str]) -> None:
    """The secondary's answer, with the paths that cannot be read by data set."""
    result = voyage.digests("DIFFERENT")
    for key, paths in damaged.items():
        result["data_sets"][key]["damaged_in_base"] = paths
    voyage.answer("verify", succeeded(result))
    assert voyage.run.state == states.CLEANING


def test_the_recovery_point_that_shares_the_blocks_is_damaged_and_says_where() -> None:
    first = Voyage().to(states.SEALING)
    point = first.seal()
    second = first.next().to(states.VERIFYING)
    paths = [f"f{number}" for number in range(7)]
    verify(second, **{ORDERS.id: paths, ACCOUNTS.id: ["x"]})
    assert point.state == points.DAMAGED
    assert point.failure is not None
    assert (point.failure["code"], point.failure["data_set"]) == ("COPY_DAMAGED", ACCOUNTS.id)
    assert f"{ACCOUNTS}: x cannot be read on south" in point.failure["message"]


def test_many_paths_are_cut_short() -> None:
    first = Voyage().to(states.SEALING)
    point = first.seal()
    verify(first.next().to(states.VERIFYING), **{ORDERS.id: [f"f{number}" for number in range(7)]})
    assert point.failure is not None
    assert "f0, f1, f2, f3, f4, … cannot be read" in point.failure["message"]


def test_a_run_without_a_base_damages_nothing_else() -> None:
    verify(Voyage().to(states.VERIFYING), **{ORDERS.id: ["f"]})


def test_a_difference_that_is_no_damage_leaves_the_base_available() -> None:
    first = Voyage().to(states.SEALING)
    point = first.seal()
    verify(first.next().to(states.VERIFYING))
    assert point.state == points.AVAILABLE
