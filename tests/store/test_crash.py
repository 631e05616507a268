"""Killed in the midst of a stream of commands, again and again: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.store.chain import ChainStatus
from infra.store.store import Store, open_store
from tests.contracts.store_means import total
from tests.store.aggregates import CONTENTS, a_context, counter_id
from tests.store.crash_child import CALLERS


async def acknowledged_until_killed(path: Path, run: str, acknowledgements: int) -> list[tuple[str, int]]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.store.crash_child",
        str(path),
        run,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(acknowledgements)]
    child.kill()
    rest = await child.stdout.read()
    await child.wait()
    lines += [line for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    return [(line.split()[0].decode(), int(line.split()[1])) for line in lines]


async def test_every_acknowledged_command_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    acknowledged: list[tuple[str, int]] = []
    for number, acknowledgements in enumerate((1, 40, 173)):
        acknowledged += await acknowledged_until_killed(path, f"run{number}", acknowledgements)
    assert len(acknowledged) >= 214
    store = open_store(path, CONTENTS, inline=True)
    assert store.term == 4
    events = [event async for event in all_events(store)]
    stored = {event["command_id"] for event in events}
    assert {command for command, _ in acknowledged} <= stored
    assert (await store.queries.verify([await store.queries.head()])).status is ChainStatus.PROVED
    for caller in range(CALLERS):
        counted = [e for e in events if e["aggregate_id"] == str(counter_id(f"c{caller}"))]
        assert await total(store, f"c{caller}") == len(counted) - 1
    command, caller = acknowledged[-1]
    answer = await store.writer.execute(
        a_context(UUID(command)), counter_id(f"c{caller}"), lambda session: pytest.fail("it ran")
    )
    assert answer.is_repeat
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def all_events(store: Store) -> AsyncIterator[dict[str, Any]]:
    position = 0
    while events := await store.queries.events_after(position):
        for event in events:
            yield event
        position = events[-1]["position"]
