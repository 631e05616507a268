"""Watching a run from the command line: to each end, over a connection that breaks, as lines and as JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.cli.remote import following
from api.cli.remote.connection import Connection
from api.cli.remote.errors import CommandFailed, Unreachable
from api.cli.remote.following import follow
from api.cli.remote.transport import ApiClient, ServerEvent
from tests.api.cli import pages
from tests.api.cli.conftest import Run
from tests.api.cli.serving import TOKEN, Serving

GOLDEN = Path(__file__).parent / "golden"


def put_run(server: Serving, page: dict[str, Any]) -> None:
    server.control_plane.put("run", UUID(pages.RUN), None, page["state"], {"service_name": "orders"})
    server.control_plane.pages[UUID(pages.RUN)] = page


def follow_with(server: Serving, *steps: dict[str, Any]) -> None:
    """Show the next page each time the stream waits for news."""
    left = list(steps)
    original = server.control_plane.wait_for

    async def wait_for(position: int) -> int:
        if position > 0 and left:
            put_run(server, left.pop(0))
        return await original(position)

    server.control_plane.wait_for = wait_for  # type: ignore[method-assign]


def test_a_run_is_watched_to_its_good_end_and_its_page_is_shown(server: Serving, understudy: Run) -> None:
    put_run(server, pages.planned())
    follow_with(server, pages.staging(), pages.completed())
    result = understudy("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("run 1a2b3c4d5e6f of orders, as of 2026-05-04T03:00:00Z")
    assert [line.split()[-1] for line in lines[1:4]] == ["PLANNED", "STAGING", "COMPLETED"]
    assert result.stdout.endswith((GOLDEN / "run_completed.txt").read_text(encoding="utf-8"))


def test_a_run_that_fails_is_exit_code_4_with_its_reason(tcp_server: Serving, understudy_tcp: Run) -> None:
    put_run(tcp_server, pages.planned())
    follow_with(tcp_server, pages.failed())
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 4
    assert result.stderr == (
        "error VERIFICATION_FAILED: the secondary's copy differs.\nremedy: The next run heals it.\n"
    )


def test_a_run_that_is_cancelled_is_exit_code_4(tcp_server: Serving, understudy_tcp: Run) -> None:
    put_run(tcp_server, {**pages.planned(), "state": "CANCELLED"})
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 4
    assert "error CANCELLED: run 1a2b3c4d5e6f is CANCELLED." in result.stderr


def test_a_held_run_is_not_waited_for(tcp_server: Serving, understudy_tcp: Run) -> None:
    put_run(tcp_server, pages.staging())
    follow_with(tcp_server, pages.held())
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 5
    assert "remedy: understudy run confirm 1a2b3c4d5e6f, or understudy run cancel 1a2b3c4d5e6f" in result.stderr


def test_a_run_that_has_stopped_is_not_waited_for(tcp_server: Serving, understudy_tcp: Run) -> None:
    alarm = {"code": "STOPPED", "subject": "south", "message": "ACLs are off.", "remedy": "Switch them on."}
    put_run(tcp_server, pages.staging() | {"state": "APPLYING", "alarms": [alarm]})
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 5
    assert "error STOPPED: ACLs are off." in result.stderr
    assert "Switch them on." in result.stderr


def test_a_held_run_that_was_confirmed_is_waited_for(tcp_server: Serving, understudy_tcp: Run) -> None:
    put_run(tcp_server, {**pages.held(), "confirmed": True})
    follow_with(tcp_server, pages.completed())
    assert understudy_tcp("run", "watch", "1a2b3c4d5e6f").exit_code == 0


def test_backup_with_watch_follows_its_own_run(tcp_server: Serving, understudy_tcp: Run) -> None:
    async def backup(*arguments: Any, **more: Any) -> UUID:
        put_run(tcp_server, pages.planned())
        entry = tcp_server.control_plane.entries["run", UUID(pages.RUN)]
        entry.summary.update(moment_ms=pages.MOMENT_MS, direction="push")
        return UUID(pages.RUN)

    tcp_server.control_plane.backup = backup  # type: ignore[method-assign]
    follow_with(tcp_server, pages.completed())
    assert understudy_tcp("backup", "orders", "--watch").exit_code == 0


def test_json_is_a_line_for_each_event(tcp_server: Serving, understudy_tcp: Run) -> None:
    put_run(tcp_server, pages.planned())
    tcp_server.control_plane.live_facts[UUID(pages.RUN)] = {"waiting_for": "the moment"}
    follow_with(tcp_server, pages.completed())
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["change", "live", "change", "end"]
    assert events[2]["data"]["state"] == "COMPLETED"


def test_a_line_of_json_steers_no_terminal(tcp_server: Serving, understudy_tcp: Run) -> None:
    name = f"a\x1b[2J\u202eb {pages.STEERING} é"
    put_run(tcp_server, {**pages.completed(), "warnings": [{"code": "LEFT_OUT", "subject": name, name: 1}]})
    result = understudy_tcp("run", "watch", "1a2b3c4d5e6f", "--json")
    assert not set(pages.STEERING) & set(result.stdout) - {"\n"}
    changed, ended = (json.loads(line) for line in result.stdout.splitlines())
    assert (changed["data"]["warnings"], ended["event"]) == ([{"code": "LEFT_OUT", "subject": name, name: 1}], "end")


def test_on_a_terminal_there_is_a_picture_that_makes_way_for_the_page(tcp_server: Serving, tmp_path: Path) -> None:
    put_run(tcp_server, pages.staging())
    told = {"step": "copy", "bytes": 10, "bytes_total": 40, "files": 1, "files_total": 4, "at_ms": 1}
    tcp_server.control_plane.live_facts[UUID(pages.RUN)] = {"copies": {pages.FILES: told}}
    follow_with(tcp_server, pages.staging(), pages.completed())
    environment = {
        "HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "150", "LINES": "50",
        "UNDERSTUDY_URL": tcp_server.address, "UNDERSTUDY_TOKEN": TOKEN,
    }  # fmt: skip
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        command = [sys.executable, "-c", "from api.cli.main import main; main()", "run", "watch", "1a2b3c4d5e6f"]
        process = subprocess.Popen(command, stdout=theirs, stdin=theirs, env=environment, cwd=Path.cwd())
        os.close(theirs)
        drawn = b"".join(iter(lambda: _read(screen), b"")).decode()
    assert process.wait(20) == 0
    assert "██████░░░░░░░░░░░░░░░░░░    25 %  10 B of 40 B, 1 of 4 files" in drawn
    assert "▸ STAGING" in drawn
    hidden, shown = drawn.index("\x1b[?25l"), drawn.index("\x1b[?25h")
    assert hidden < drawn.index("▸ STAGING") < shown < drawn.index("Bytes and files")
    assert drawn.replace("\r\n", "\n").endswith((GOLDEN / "run_completed.txt").read_text(encoding="utf-8"))


def _read(screen: Any) -> bytes:
    try:
        data: bytes = screen.read(65_536)
    except OSError:  # how Linux tells that the other end of a terminal is closed
        return b""
    return data


class _Breaking(ApiClient):
    """A client whose streams are scripted: each is a list of events, ended by a break or by the server."""

    def __init__(self, *streams: tuple[list[ServerEvent], bool]) -> None:
        super().__init__(Connection("http://127.0.0.1:1", "", TOKEN))
        self.asked_after: list[int] = []
        self._streams = list(streams)

    def stream(self, path: str, after: int) -> Iterator[ServerEvent]:
        self.asked_after.append(after)
        events, breaks = self._streams.pop(0)
        yield from events
        if breaks:
            raise Unreachable("there", "connection reset")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.0)


def test_a_stream_that_breaks_is_resumed_where_it_broke() -> None:
    client = _Breaking(
        ([ServerEvent("change", {}, 3), ServerEvent("live", {}, None)], True),
        ([], True),
        ([ServerEvent("change", {}, 4)], False),
        ([ServerEvent("end", {}, 4)], False),
    )
    lost: list[Unreachable] = []
    names = [event.name for event in follow(client, "/v1/runs/x/watch", lost=lost.append)]
    assert names == ["change", "live", "change", "end"]
    assert client.asked_after == [0, 3, 3, 4]
    assert len(lost) == 2


def test_a_stream_that_never_began_or_stays_away_too_long_is_given_up() -> None:
    with pytest.raises(Unreachable):
        list(follow(_Breaking(([], True)), "/v1/runs/x/watch"))
    broken = _Breaking(([ServerEvent("change", {}, 1)], True), *[([], True)] * 1000)
    with pytest.raises(Unreachable):
        list(follow(broken, "/v1/runs/x/watch", patience_seconds=0.0))


def test_waiting_has_a_bound() -> None:
    alive = ([ServerEvent("change", {}, 1), *[ServerEvent("", None, None)] * 3], False)
    with pytest.raises(CommandFailed) as caught:
        list(follow(_Breaking(alive), "/v1/pairs/x/watch", at_most_seconds=-1.0))
    assert (caught.value.code, caught.value.exit_code) == ("STILL_WAITING", 3)


def test_a_command_whose_answer_is_lost_is_sent_again_with_the_same_id(
    tcp_server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ApiClient(Connection(tcp_server.address, "", TOKEN))
    original: Callable[..., tuple[int, bytes]] = client._exchange
    broken = threading.Event()

    def lose_the_first_answer(*arguments: Any) -> tuple[int, bytes]:
        answer = original(*arguments)
        if not broken.is_set():
            broken.set()
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(client, "_exchange", lose_the_first_answer)
    tcp_server.control_plane.put("service", UUID(int=1), "orders", "ACTIVE", {})
    run = client.post("/v1/services/orders/backups", {})["id"]
    sent = [caller.command_id for call, caller, _ in tcp_server.control_plane.calls if call == "backup"]
    assert len(sent) == 2
    assert len(set(sent)) == 1
    assert [str(i) for kind, i in tcp_server.control_plane.entries if kind == "run"] == [run]


def test_the_server_stops_while_a_run_is_watched(tcp_server: Serving) -> None:
    put_run(tcp_server, pages.planned())
    client = ApiClient(Connection(tcp_server.address, "", TOKEN))
    stream = client.stream(f"/v1/runs/{pages.RUN}/watch", 0)
    assert next(stream).name == "change"
    started = time.monotonic()
    tcp_server.loop.call_soon_threadsafe(tcp_server.stop.set)
    assert [event.name for event in stream if event.name not in ("live", "")] == []
    assert time.monotonic() - started < 5


def test_another_moment_that_the_run_has_chosen_is_told(server: Serving, understudy: Run) -> None:
    moved = pages.planned()
    moved["moment_ms"] += 7_000
    moves = [{"code": "MOMENT_MISSED", "from_ms": pages.MOMENT_MS, "to_ms": moved["moment_ms"]}]
    put_run(server, pages.planned())
    follow_with(server, {**moved, "moment_moves": moves}, {**pages.completed(), "moment_moves": moves})
    result = understudy("run", "watch", "1a2b3c4d5e6f")
    assert result.exit_code == 0, result.output
    assert "another moment, 2026-05-04T03:00:07Z: it was missed, and nothing was cut" in result.stdout
    assert "chosen anew" in result.stdout
    assert "was 2026-05-04T03:00:00Z" in result.stdout
