"""The spool's index of attempts: no submission opens what is not its own, and nothing stale is believed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from infra.agent.protocol import Instruction, canonical, parse_instruction
from infra.agent.shell import attempts, disk
from infra.agent.shell.admission import admit
from infra.agent.shell.looking import forget
from infra.agent.shell.spool import Spool
from tests.agent.test_admission import NOW_MS, refusal, submission

LATER_MS = NOW_MS + 10_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(str(tmp_path / "spool"))
    made.open()
    for number in range(20):
        put(made, f"i{number}", step=f"step{number}")
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the instructions that were opened."""
    ids: list[str] = []
    really = disk.read_file

    def read_file(path: str) -> bytes | None:
        if path.endswith("/instruction.json"):
            ids.append(path.split("/")[-2])
        return really(path)

    monkeypatch.setattr("infra.agent.shell.spool.read_file", read_file)
    return ids


def put(spool: Spool, instruction_id: str, **changes: Any) -> None:
    admit(canonical(submission(id=instruction_id, **changes)), spool, lambda: NOW_MS)


def asked(step: str, attempt: int = 9) -> Instruction:
    return parse_instruction(submission(id="asked", step=step, attempt=attempt)["instruction"])


def found(spool: Spool, step: str) -> list[str]:
    return [other.id for other in spool.attempts_of(asked(step))]


def directory(spool: Spool) -> Path:
    return Path(spool.root) / "instructions"


def test_a_submission_opens_its_own_attempts_alone(spool: Spool, opened: list[str]) -> None:
    put(spool, "again", step="step7", attempt=1)
    put(spool, "new", step="new")
    assert opened == ["i7"]
    assert refusal(canonical(submission(id="late", step="step7")), spool) == "SUPERSEDED"
    opened.clear()
    assert found(spool, "step7") == ["again", "i7"]
    assert opened == ["again", "i7"]


def another_program_adds(spool: Spool) -> None:
    """An agent of an older version, which knows of no index."""
    wire = submission(id="stranger", step="step7", attempt=3)["instruction"]
    prepared = directory(spool) / ".new.stranger"
    prepared.mkdir()
    (prepared / "instruction.json").write_bytes(canonical(wire))
    prepared.rename(directory(spool) / "stranger")


def a_copy_is_restored(spool: Spool) -> None:
    another_program_adds(spool)
    shutil.copytree(directory(spool), Path(spool.root) / "copy")
    shutil.rmtree(directory(spool))
    (Path(spool.root) / "copy").rename(directory(spool))


def the_index_is_lost(spool: Spool) -> None:
    another_program_adds(spool)
    (Path(spool.root) / "attempts.json").unlink()
    shutil.rmtree(Path(spool.root) / "attempts")


def the_stamp_is_torn(spool: Spool) -> None:
    another_program_adds(spool)
    (Path(spool.root) / "attempts.json").write_bytes(b'{"boot":')


def power_is_lost(spool: Spool) -> None:
    """Nothing of the index was flushed; the entries were."""
    another_program_adds(spool)
    shutil.rmtree(Path(spool.root) / "attempts")
    stamp = json.loads((Path(spool.root) / "attempts.json").read_bytes())
    status = os.stat(directory(spool))
    state = [status.st_dev, status.st_ino, status.st_nlink, status.st_mtime_ns]
    (Path(spool.root) / "attempts.json").write_bytes(canonical({**stamp, "state": state, "boot": "the one before"}))


HARMS = [another_program_adds, a_copy_is_restored, the_index_is_lost, the_stamp_is_torn, power_is_lost]


@pytest.mark.parametrize("harm", HARMS)
def test_what_cannot_be_believed_is_built_anew(spool: Spool, harm: Any, opened: list[str]) -> None:
    harm(spool)
    opened.clear()
    assert found(spool, "step7") == ["i7", "stranger"], "who does not hold the lock looks at all of them"
    assert len(opened) > 20
    assert refusal(canonical(submission(id="late", step="step7", attempt=2)), spool) == "SUPERSEDED"
    opened.clear()
    assert found(spool, "step7") == ["i7", "stranger"]
    put(spool, "new", step="new")
    assert opened == ["i7", "stranger"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", range(12))
def test_a_death_at_any_step_of_a_creation_hides_no_attempt(
    spool: Spool, point: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(100))

    def dying(really: Any) -> Any:
        def call(*values: Any, **more: Any) -> Any:
            if next(steps) == point:
                raise Killed
            return really(*values, **more)

        return call

    for name in ("mkdir", "rename", "replace", "makedirs"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", dying(shutil.rmtree))
    monkeypatch.setattr(spool.disk, "create", dying(spool.disk.create))
    try:
        put(spool, "again", step="step7", attempt=1)
    except Killed:
        pass
    finally:
        monkeypatch.undo()
    again = Spool(spool.root)
    expected = ["again", "i7"] if again.entry("again").exists() else ["i7"]
    assert found(again, "step7") == expected
    with again.lock():
        assert [one.id for one in again.attempts_of(asked("step7"), is_locked=True)] == expected
    put(again, "again", step="step7", attempt=1)
    assert found(again, "step7") == ["again", "i7"]


def test_a_look_in_the_midst_of_a_creation_believes_it(spool: Spool, opened: list[str]) -> None:
    """An id is named before its entry can be seen, so nothing is missing while the lock's holder is at it."""
    seen: list[list[str]] = []
    really = spool.disk.flush_directory

    def flush_directory(path: str) -> None:
        seen.append(found(Spool(spool.root), "step7"))
        really(path)

    spool.disk.flush_directory = flush_directory  # type: ignore[method-assign]
    opened.clear()
    put(spool, "again", step="step7", attempt=1)
    assert seen[-1] == ["again", "i7"]
    assert set(opened) == {"again", "i7"}


def test_what_is_forgotten_is_named_no_more(spool: Spool, opened: list[str]) -> None:
    put(spool, "again", step="step7", attempt=1)
    answer = forget(canonical({"ids": ["i7", "again", "i8"]}), spool, lambda: LATER_MS)
    assert answer == {"forgotten": ["i7", "again", "i8"], "kept": {}}
    assert list((Path(spool.root) / "gone").iterdir()) == []
    opened.clear()
    assert found(spool, "step7") == []
    put(spool, "i7", step="step7")
    assert opened == []
    shards = list((Path(spool.root) / "attempts").iterdir())
    assert sum(len(shard.read_text().splitlines()) for shard in shards) == 19


def test_what_crashes_have_left_is_removed_when_agents_are_adopted(spool: Spool) -> None:
    (directory(spool) / ".new.i99").mkdir()
    (directory(spool) / ".gone.i98").mkdir()
    (Path(spool.root) / "gone" / "i97").mkdir(parents=True)
    with spool.lock():
        spool.tidy()
    assert len(list(directory(spool).iterdir())) == 20
    assert not (Path(spool.root) / "gone").exists()
    assert found(spool, "step3") == ["i3"]


def test_where_a_boot_cannot_be_told_nothing_is_believed(
    spool: Spool, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "boot_id", lambda: "")
    nowhere = Spool(spool.root)
    put(nowhere, "again", step="step7", attempt=1)
    opened.clear()
    assert found(nowhere, "step7") == ["again", "i7"]
    assert len(opened) > 20


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"pair":"p","run":"r","step":"s"}', b'{"pair":"p","run":"r","step":1,"payload":{}}',
     b'{"pair":"p","run":"r","step":"s","payload":{"data_set":{}}}', b"[" * 100_000],
)  # fmt: skip
def test_a_text_without_a_purpose_is_in_no_index(spool: Spool, text: bytes) -> None:
    with spool.lock():
        spool.create("odd", {"instruction.json": text})
    with spool.lock():
        assert [one.id for one in spool.attempts_of(asked("step7"), is_locked=True)] == ["i7"]
        spool.tidy()
    assert found(spool, "step7") == ["i7"]
