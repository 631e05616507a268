"""Histories against changed code: what would not be sent any more as it was sent is found."""

from __future__ import annotations

from typing import Any

import pytest

from domain.pair.pair import ClusterPair
from domain.protection.backup_run import states
from domain.protection.backup_run.run import BackupRun
from infra.replay import check_history
from infra.workers.outgoing import digest_of
from tests.domain.builders import Contexts, new_pair, succeeded
from tests.domain.voyage import Voyage


def pair_history() -> list[Any]:
    contexts = Contexts()
    pair = new_pair(contexts)
    for _ in range(2):
        (wanted,) = pair.next_instructions()
        pair.instruct(contexts(), wanted, digest_of(pair, wanted, 1, 5_000), 1, 5_000)
        pair.conclude(contexts(), wanted.id, succeeded())
    return list(pair.pending_events)


def run_history() -> list[Any]:
    voyage = Voyage().to(states.PLANNED)
    voyage.run.start_checking(voyage.contexts())
    for wanted in voyage.run.next_instructions():
        voyage.run.instruct(voyage.contexts(), wanted, digest_of(voyage.run, wanted, 1, 5_000), 1, 5_000)
    voyage.check()
    wanted = voyage.wanted("snapshots")
    voyage.run.instruct(voyage.contexts(), wanted, digest_of(voyage.run, wanted, 1, 9_000), 1, 9_000)
    return list(voyage.run.pending_events)


@pytest.mark.parametrize("history", [pair_history, run_history])
def test_the_code_that_wrote_a_history_would_write_it_again(history: Any) -> None:
    events = history()
    assert any(type(event).__name__ == "Instructed" for event in events)
    assert check_history(events) == []


def test_an_instruction_that_would_be_altered_is_named_with_what_would_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    events = run_history()
    wish = BackupRun.wish

    def altered(run: BackupRun, step: str, kind: str, role: str, payload: dict[str, Any], **more: Any) -> Any:
        changed = {**payload, "warm_up_ms": 1} if kind == "TakeSnapshots" else payload
        return wish(run, step, kind, role, changed, **more)

    monkeypatch.setattr(BackupRun, "wish", altered)
    (difference,) = check_history(events)
    assert (difference.step, difference.version) == ("snapshots", events[-1].originator_version)
    assert difference.digest == events[-1].digest
    assert [identity for _, identity, _ in difference.wanted] == [events[-1].instruction]
    assert "snapshots" in str(difference)


def test_an_instruction_that_would_be_forgotten_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    events = pair_history()
    monkeypatch.setattr(ClusterPair, "next_instructions", lambda pair: ())
    assert [difference.wanted for difference in check_history(events)] == [(), ()]
    assert "asks for nothing" in str(check_history(events)[0])
