"""When trying again ends, and the alarm of whatever gets nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import Refused
from domain.instructing import STALLED
from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.stopping import FINAL_CODES, REFUSED_FOR_GOOD, STOPPED
from tests.domain import tables
from tests.domain.builders import SPACE, Contexts, failed, new_pair, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import MOMENT_MS, Voyage

STEPS = {states.APPLYING: "apply", states.FREEZING: "freeze", states.SEALING: "seal"}


@pytest.mark.parametrize("state", STEPS)
def test_what_is_refused_for_good_stops_the_run_until_a_person_says_so(state: str) -> None:
    step = STEPS[state]
    voyage = Voyage().to(state)
    voyage.answer(step, failed("HDFS_REFUSED", message="SETACL /data/x: AclException: no."))
    run = voyage.run
    (wanted,) = run.next_instructions()
    assert (run.state, wanted.is_stopped, wanted.attempt) == (state, True, 2)
    (alarm,) = run.alarms
    assert (alarm["code"], alarm["subject"]) == (STOPPED, "south")
    assert alarm["message"].startswith("HDFS_REFUSED: SETACL /data/x: AclException: no.")
    assert f"understudy run retry {run.id}" in alarm["remedy"]
    assert "--give-up" in alarm["remedy"]
    run.retry(voyage.contexts())
    (again,) = run.next_instructions()
    assert (again.id, again.is_stopped, again.not_before) == (wanted.id, False, None)
    assert run.alarms == []
    assert tables.same_state(run, tables.rebuilt(run))
    assert voyage.to(states.COMPLETED).run.recovery_point is not None


def test_a_refusal_without_a_remedy_says_to_remove_what_it_names() -> None:
    voyage = Voyage().to(states.APPLYING)
    voyage.answer("apply", failed("LIMIT_REACHED", remedy=""))
    assert voyage.run.alarms[0]["remedy"].startswith("Remove what the message names. Then: ")


def test_what_has_stopped_can_be_given_up_and_the_next_run_heals() -> None:
    voyage = Voyage().to(states.APPLYING)
    voyage.answer("apply", failed("ACLS_OFF"))
    conclude.abandon(voyage.contexts(), voyage.run, voyage.around, "it cannot be mended")
    assert voyage.run.state == states.CLEANING
    assert voyage.run.alarms == []


def test_only_what_has_stopped_can_be_let_go_on() -> None:
    voyage = Voyage().to(states.APPLYING)
    voyage.answer("apply", failed("HDFS_UNREACHABLE"))
    assert voyage.run.alarms == []
    with pytest.raises(Refused, match="NOT_STOPPED"):
        voyage.run.retry(voyage.contexts())


@pytest.mark.parametrize("code", ["NO_SPACE", "HEAD_CHANGED", "HDFS_UNREACHABLE", "STAGING_MISSING", "INTERNAL"])
def test_what_may_pass_is_tried_again_for_ever(code: str) -> None:
    voyage = Voyage().to(states.APPLYING)
    voyage.answer("apply", failed(code))
    (wanted,) = voyage.run.next_instructions()
    assert not wanted.is_stopped


def test_cleaning_goes_on_whatever_it_is_refused_for() -> None:
    voyage = Voyage().to(states.STAGING)
    conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
    voyage.show("abort-primary")
    for _ in range(3):
        voyage.answer("remove-secondary", failed("NO_RIGHT"))
    assert not any(wanted.is_stopped for wanted in voyage.run.next_instructions())


def test_what_stops_a_run_is_final_before() -> None:
    assert REFUSED_FOR_GOOD <= FINAL_CODES


def test_an_alarm_is_due_when_nothing_moves_for_longer_than_the_policy_s_patience() -> None:
    voyage = Voyage(patience_seconds=600).to(states.STAGING)
    run = voyage.run
    assert run.moved_at is not None
    since = run.moved_at
    assert run.patience_ends() == since + timedelta(seconds=600)
    voyage.send("copy")
    voyage.answer("copy", failed("HDFS_UNREACHABLE"))
    assert run.patience_ends() == since + timedelta(seconds=600), "to be sent and to fail is no way forward"
    run.note_stall(voyage.contexts(), since, "it waits for nobody knows what")
    assert run.patience_ends() is None, "it is raised once"
    (alarm,) = run.alarms
    assert alarm["code"] == STALLED
    assert since.isoformat(timespec="seconds") in alarm["message"]
    assert "it waits for nobody knows what." in alarm["message"]
    assert tables.same_state(run, tables.rebuilt(run))
    voyage.copy()
    assert run.alarms == []
    assert run.patience_ends() is not None


def test_a_run_that_waits_for_its_moment_waits_for_that() -> None:
    voyage = Voyage(patience_seconds=60).to(states.ARMED)
    assert voyage.run.patience_ends() == datetime.fromtimestamp(MOMENT_MS / 1000 + 60, UTC)


def test_a_run_that_has_chosen_another_moment_waits_for_that() -> None:
    voyage = Voyage(patience_seconds=1)
    voyage.run = voyage.plan(SPACE, moment_is_free=True)
    run = voyage.run
    run.start_checking(voyage.contexts())
    run.move_moment(voyage.contexts(), "CHECKS_TOOK_LONG", MOMENT_MS + 600_000)
    assert run.patience_ends() == datetime.fromtimestamp(MOMENT_MS / 1000 + 601, UTC)


def test_what_a_person_has_to_do_about_a_stall_is_what_helps() -> None:
    voyage = Voyage().to(states.APPLYING)
    run = voyage.run
    run.note_stall(voyage.contexts(), run.waits_since, "it is slow")
    (stall,) = run.alarms
    assert "goes on by itself" in stall["remedy"]
    voyage.answer("apply", failed("HDFS_REFUSED"))
    by_code = {alarm["code"]: alarm["remedy"] for alarm in run.alarms}
    assert set(by_code) == {STOPPED, STALLED}
    assert all(f"run retry {run.id}" in remedy for remedy in by_code.values())
    voyage = Voyage().to(states.STAGING)
    voyage.copy(entries_in_base=10, deleted=9)
    run = voyage.run
    run.note_stall(voyage.contexts(), run.waits_since, "it waits for a person")
    assert f"run confirm {run.id}" in run.alarms[0]["remedy"]
    run.confirm(voyage.contexts())
    assert run.alarms == []


def test_nothing_is_due_at_the_end() -> None:
    voyage = Voyage().to(states.COMPLETED)
    assert voyage.run.patience_ends() is None
    with pytest.raises(Refused, match="NOT_IN_STATE"):
        voyage.run.note_stall(voyage.contexts(), voyage.run.waits_since, "it is over")


def test_a_pair_whose_markers_are_not_written_alarms_and_ends_it_when_one_is() -> None:
    contexts = Contexts()
    pair = new_pair(contexts)
    due = pair.patience_ends()
    assert due is not None
    pair.note_stall(contexts(at=due), pair.waits_since, "the gateway of south cannot be used: it is dark")
    assert [alarm["code"] for alarm in pair.alarms] == [STALLED]
    (wanted,) = pair.next_instructions()
    pair.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    assert pair.alarms == []


def test_what_the_primary_is_owed_alarms() -> None:
    voyage = Voyage().to(states.COMPLETED)
    (point,) = voyage.points.values()
    assert point.patience_ends() is not None
    point.note_stall(voyage.contexts(), point.waits_since, "north is down")
    assert [alarm["code"] for alarm in point.alarms] == [STALLED]
    (wanted,) = point.next_instructions()
    point.conclude(voyage.contexts(), wanted.id, succeeded(shown(wanted)))
    assert (point.alarms, point.patience_ends()) == ([], None)
