"""Reading what stands on the secondary: what a run asks for, and when it raises an alarm."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InvalidInput
from domain.protection.backup_run import states
from domain.protection.backup_run.alarms import reading_of
from domain.protection.backup_run.run import BackupRun
from domain.protection.policy import Settings
from tests.domain.builders import ORDERS, succeeded
from tests.domain.voyage import Voyage


def test_by_default_everything_is_read_within_thirty_days_a_tenth_in_a_run() -> None:
    payload = Voyage().to(states.VERIFYING).wanted("verify").payload
    assert (payload["read_days"], payload["read_percent"]) == (30, 10)
    without = Voyage(read_days=0).to(states.VERIFYING).wanted("verify").payload
    assert not {"read_days", "read_percent"} & without.keys()


def test_a_run_of_an_older_version_asks_for_the_very_same_instruction() -> None:
    state: dict[str, Any] = {"settings": {"sample_percent": 3}}
    BackupRun.Planned.upcast_v2_v3(state)
    assert state["settings"] == {"sample_percent": 3, "read_days": 0}


@pytest.mark.parametrize(("field", "value"), [("read_days", -1), ("read_days", 3_651), ("read_percent", 0)])
def test_values_that_cannot_be_are_refused(field: str, value: int) -> None:
    with pytest.raises(InvalidInput, match=field):
        Settings(**{field: value}).validate()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "alarms"),
    [
        ({"overdue_bytes": 7, "overdue_files": 2}, ["READING_BEHIND"]),
        ({"overdue_bytes": 0}, []),
        (None, []),
        ("all of it", []),
    ],
)
def test_a_share_that_is_too_small_is_an_alarm(read: Any, alarms: list[str]) -> None:
    voyage = Voyage().to(states.VERIFYING)
    result = voyage.digests()
    result["data_sets"][ORDERS.id]["read"] = read
    voyage.answer("verify", succeeded(result))
    voyage.seal()
    assert [alarm["code"] for alarm in voyage.run.alarms] == alarms
    assert all("7 bytes in 2 files" in alarm["message"] for alarm in voyage.run.alarms)


def test_nothing_is_known_of_a_verification_of_another_form() -> None:
    assert reading_of({"data_sets": {"d": []}}, "d") == {}
    assert reading_of(None, "d") == {}
