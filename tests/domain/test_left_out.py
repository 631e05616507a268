"""Files that the superuser may not read: left out where the policy says so, and said so wherever a run is judged."""

from __future__ import annotations

import pytest

from domain.protection.backup_run import states
from domain.protection.backup_run.manifest import recovery_point_manifest
from tests.domain import tables
from tests.domain.voyage import Voyage

LEFT_OUT = {"files": 2, "paths": ["a", "b"]}


@pytest.mark.parametrize("leaves_out", [True, False])
def test_copies_and_checks_are_told_only_where_the_policy_says_so(leaves_out: bool) -> None:
    voyage = Voyage(leave_out_unreadable=leaves_out)
    voyage.run.start_checking(voyage.contexts())
    checks = [wanted.payload for wanted in voyage.run.next_instructions()]
    voyage.to(states.STAGING)
    copies = [wanted.payload for wanted in voyage.run.next_instructions()]
    assert len(checks) == 2
    for payload in (*checks, *copies):
        assert payload.get("leaves_out_unreadable", False) is leaves_out
        assert ("leaves_out_unreadable" in payload) is leaves_out, "older instructions stay the very same"


def test_it_is_in_the_grade_and_in_what_is_sealed() -> None:
    voyage = Voyage(leave_out_unreadable=True).to(states.STAGING)
    voyage.copy(left_out=LEFT_OUT)
    run = voyage.run
    assert run.consistency is not None
    assert all("2 files are left out" in grade.reason for grade in run.consistency.grades)
    assert tables.same_state(run, tables.rebuilt(run))
    voyage.to(states.SEALING)
    sealed = recovery_point_manifest(run)["data_sets"][0]
    assert sealed["copied"]["left_out"] == LEFT_OUT
    assert "2 files are left out" in sealed["snapshot"]["evidence"]["reason"]
