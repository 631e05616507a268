"""A full disk, a failing disk, strangers in the file, a second controller: typed errors, and nothing half stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import Conflict, Refused
from infra.store.chain import ChainStatus
from infra.store.database import CONNECTIONS
from infra.store.errors import StoreUnavailable, StoreUnreadable
from infra.store.session import Session
from infra.store.store import Store, open_store
from infra.store.term import ControllerLock
from tests.contracts.store_contract import StoreContract
from tests.contracts.store_means import begun, count, total
from tests.store.aggregates import CONTENTS, Counter, a_context, counter_id


@contextlib.contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Let SQLite find no more room in its file: the very error of a full disk."""

    def limit(pages: int) -> None:
        """Of every connection: the limit is the connection's own, and whoever writes takes any of them."""
        with contextlib.ExitStack() as lent:
            for _ in range(CONNECTIONS):
                connection = lent.enter_context(store._datastore.get_connection(commit=True))
                cursor = connection.cursor()
                cursor.execute("PRAGMA page_count")
                cursor.execute(f"PRAGMA max_page_count={pages or cursor.fetchone()[0]}")
                cursor.fetchall()

    limit(0)
    yield
    limit(1_000_000)


async def fill(store: Store, name: str) -> None:
    identity = uuid4()
    context = a_context()
    await store.writer.execute(
        context,
        identity,
        lambda session: session.add(Counter.begin(Counter.Begun, identity, context, name=name + "x" * 100_000)),
    )


@pytest.mark.parametrize("inline", [True, False])
async def test_a_full_disk_reaches_the_caller_and_stores_nothing(tmp_path: Path, inline: bool) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS, inline=inline)
    identity = await begun(store, "a")
    head = await store.queries.head()
    with full_disk(store):
        with pytest.raises(StoreUnavailable, match="STORE_FULL"):
            await fill(store, "big")
        assert await store.queries.head() == head
        assert len(await store.queries.list("Counter")) == 1
    assert (await count(store, identity, 1)).value == 1
    await fill(store, "big")
    assert (await store.queries.verify([await store.queries.head()])).status is ChainStatus.PROVED
    await store.close()


async def test_a_failed_commit_runs_the_commands_of_its_batch_one_by_one(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS)
    identity = await begun(store, "a")
    with full_disk(store):
        async with StoreContract.HeldWriter(store, identity):
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(count(store, identity, 1)),
                asyncio.create_task(fill(store, "big")),
                asyncio.create_task(count(store, identity, 2)),
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert (outcomes[0].value, outcomes[2].value) == (1, 3)  # type: ignore[union-attr]
    assert isinstance(outcomes[1], StoreUnavailable)
    assert await total(store, "a") == 3
    await store.close()


async def test_a_name_taken_within_a_batch_fails_that_command_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS)
    identity = await begun(store, "a")

    async def begin_twin() -> None:
        twin, context = uuid4(), a_context()
        await store.writer.execute(
            context, twin, lambda session: session.add(Counter.begin(Counter.Begun, twin, context, name="twin"))
        )

    async with StoreContract.HeldWriter(store, identity):
        tasks = [asyncio.create_task(begin_twin()), asyncio.create_task(begin_twin())]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), Conflict]
    await store.close()


async def test_a_refusal_that_rested_on_a_lost_change_is_decided_again(tmp_path: Path) -> None:
    """The first command of the batch cannot be stored, so the second, refused because of it, is now accepted."""
    store = open_store(tmp_path / "store.db", CONTENTS)
    identity = await begun(store, "a")

    def close_and_overfill(session: Session) -> None:
        context = a_context(closing)
        session.load(Counter, identity).fire("close", context)
        session.add(Counter.begin(Counter.Begun, uuid4(), context, name="x" * 100_000))

    closing = uuid4()
    with full_disk(store):
        async with StoreContract.HeldWriter(store, identity):
            first = asyncio.create_task(store.writer.execute(a_context(closing), identity, close_and_overfill))
            second = asyncio.create_task(count(store, identity, 1))
            await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="STORE_FULL"):
            await first
        assert (await second).value == 1
    with pytest.raises(Refused):
        await count(store, identity, 0)
    await store.close()


async def test_somebody_elses_event_is_a_conflict_and_is_then_seen(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS, inline=True)
    identity = await begun(store, "a")
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO stored_events SELECT 2, originator_id, 2, 'Counter.Counted',"
            ' replace(CAST(state AS TEXT), \'"name":"a"\', \'"amount":40\'), link FROM stored_events'.replace(
                "replace(", "CAST(replace("
            ).replace("40')", "40') AS BLOB)")
        )
    with pytest.raises(Conflict, match="STORE_CHANGED"):
        await count(store, identity, 1)
    assert (await count(store, identity, 1)).value == 41
    await store.close()


def test_callers_whose_loop_is_gone_are_committed_all_the_same(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS)
    go_on = threading.Event()
    context = a_context()
    identity = asyncio.run(begun(store, "a"))

    def count_late(session: Session) -> int:
        go_on.wait()
        return session.load(Counter, identity).count(context, 5)

    async def leave() -> None:
        asyncio.get_running_loop().create_task(store.writer.execute(context, identity, count_late))
        await asyncio.sleep(0)

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(count(store, identity, 1)).value == 6
    asyncio.run(store.close())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_when_the_writer_itself_breaks_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS)
    identity = await begun(store, "a")

    def broken(commands: object) -> None:
        raise MemoryError

    async with StoreContract.HeldWriter(store, identity):
        monkeypatch.setattr(store.group_commit, "run", broken)
        waiting = [asyncio.create_task(count(store, identity, 1)) for _ in range(3)]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [getattr(outcome, "code", "") for outcome in outcomes] == ["STORE_CLOSED"] * 3
    with pytest.raises(StoreUnavailable, match="STORE_CLOSED"):
        await count(store, identity, 1)
    await store.close()


IO_ERROR_CHILD = """
import asyncio, resource, sys
from pathlib import Path
from infra.store.errors import StoreUnavailable
from infra.store.store import open_store
from tests.contracts.store_means import begun, count
from tests.store.aggregates import CONTENTS
from tests.store.test_failures import fill

async def main():
    store = open_store(Path(sys.argv[1]), CONTENTS)
    identity = await begun(store, "a")
    await count(store, identity, 1)
    soft = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, soft[1]))
    try:
        await fill(store, "big")
    except StoreUnavailable as error:
        print(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, soft)
    print((await count(store, identity, 2)).value)
    await store.close()

asyncio.run(main())
"""


async def test_an_error_of_the_disk_reaches_the_caller_and_the_store_goes_on(tmp_path: Path) -> None:
    """The kernel itself refuses the write (a limit on the size of files, in a process of its own)."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", IO_ERROR_CHILD, str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() in (["STORE_IO_FAILED", "3"], ["STORE_FULL", "3"]), done.stderr
    store = open_store(tmp_path / "store.db", CONTENTS, inline=True)
    assert await total(store, "a") == 3
    assert len(await store.queries.events_after(0)) == 3
    assert (await store.queries.verify([await store.queries.head()])).status is ChainStatus.PROVED
    await store.close()


def test_a_second_controller_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS, inline=True)
    with pytest.raises(Conflict, match=f"CONTROLLER_RUNNING.*pid {os.getpid()}"):
        open_store(tmp_path / "store.db", CONTENTS, inline=True)
    asyncio.run(store.close())
    again = open_store(tmp_path / "store.db", CONTENTS, inline=True)
    assert again.term == 2
    asyncio.run(again.close())


def test_an_open_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(StoreUnavailable, match="STORE_DAMAGED"):
        open_store(tmp_path / "store.db", CONTENTS)
    ControllerLock(tmp_path / "store.db").release()


def test_a_missing_directory_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="STORE_IO_FAILED"):
        open_store(tmp_path / "nowhere" / "store.db", CONTENTS)


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreUnreadable, match="STORE_FOREIGN"):
        open_store(tmp_path / "store.db", CONTENTS)
    assert (tmp_path / "store.db").read_bytes() == before


async def test_a_newer_format_and_an_unknown_event_are_refused_when_opening(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, CONTENTS, inline=True)
    await begun(store, "a")
    await store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=2")
    with pytest.raises(StoreUnreadable, match="STORE_TOO_NEW"):
        open_store(path, CONTENTS)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version=1")
        connection.execute("UPDATE stored_events SET topic='Counter.Invented'")
    store = open_store(path, CONTENTS, inline=True)
    with pytest.raises(StoreUnreadable, match=r"EVENT_UNKNOWN.*Counter\.Invented"):
        await count(store, counter_id("a"), 1)
    assert (await store.queries.events_after(0))[0]["topic"] == "Counter.Invented"
    await store.close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db", CONTENTS, inline=True)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
        "store.db.lock": 0o600,
    }
    asyncio.run(store.close())


async def test_a_question_whose_asker_is_gone_is_over_before_the_connections_are_closed(tmp_path: Path) -> None:
    """It goes on in its thread; SQLite would crash the process under it."""
    store = open_store(tmp_path / "store.db", CONTENTS)
    entered, may_go_on, found = threading.Event(), threading.Event(), []

    def question(cursor: Any) -> None:
        entered.set()
        may_go_on.wait(10)
        cursor.execute("SELECT count(*) AS events FROM stored_events")
        found.append(cursor.fetchone()["events"])

    asking = asyncio.create_task(store.queries.ask(question))
    await asyncio.to_thread(entered.wait, 10)
    asking.cancel()
    closing = asyncio.create_task(store.close())
    done, _ = await asyncio.wait([closing], timeout=0.2)
    assert not done
    with pytest.raises(StoreUnavailable, match="STORE_CLOSED"):
        await store.queries.head()
    may_go_on.set()
    await closing
    assert found == [0]
