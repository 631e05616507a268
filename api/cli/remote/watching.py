"""Watches a run: a live picture on a terminal, plain lines elsewhere, JSON lines with ``--json``."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Protocol, Self

import click

from api.characters import escaped_json
from api.cli.exit_codes import ExitCode
from api.cli.remote.errors import CommandFailed, Unreachable
from api.cli.remote.following import follow
from api.cli.remote.page import ENDED, RunPage
from api.cli.remote.progress import RunProgress, copy_line, frame, heading
from api.cli.remote.run_text import run_text, why_moved
from api.cli.remote.session import Session
from api.cli.remote.text import instant, printable, short
from api.cli.remote.transport import ServerEvent, path

PLAIN_SECONDS = 5.0


class Watcher(Protocol):
    """Shows what happens while a run is watched."""

    def __enter__(self) -> Watcher:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def take(self, event: ServerEvent, progress: RunProgress) -> None:
        """Show an event; ``progress`` has taken it already."""

    def lost(self, error: Unreachable) -> None:
        """Tell that the connection broke; it is tried again."""


def watch_run(session: Session, run_id: str) -> None:
    """Follow a run until it ends or waits for a person; raise ``CommandFailed`` unless it is COMPLETED."""
    progress = RunProgress()
    watcher: Watcher = JsonLines() if session.as_json else Picture(progress) if sys.stdout.isatty() else PlainLines()
    try:
        with watcher:
            for event in follow(session.client, path("runs", run_id, "watch"), lost=watcher.lost):
                if event.name == "change":
                    progress.take_page(RunPage(event.data))
                elif event.name == "live":
                    progress.take_live(event.data)
                watcher.take(event, progress)
                if progress.page is not None and progress.page.waits_for_a_person:
                    break
    except KeyboardInterrupt:
        raise CommandFailed(
            ExitCode.INTERRUPTED,
            "INTERRUPTED",
            "it is not watched any more; the run goes on.",
            remedy=f"understudy run watch {short(run_id)}",
        ) from None
    assert progress.page is not None, "a stream that ends well has shown the run"
    if not session.as_json:
        click.echo(run_text(progress.page))
    _end(progress.page)


def _end(page: RunPage) -> None:
    if page.state == "COMPLETED":
        return
    if page.stopped is not None:
        message, remedy = (str(page.stopped.get(name) or "") for name in ("message", "remedy"))
        raise CommandFailed(ExitCode.NEEDS_A_PERSON, "STOPPED", message, remedy=remedy)
    if page.state not in ENDED:
        raise CommandFailed(
            ExitCode.NEEDS_A_PERSON,
            "HELD",
            f"run {short(page.id)} changes more than its policy allows without asking.",
            remedy=f"understudy run confirm {short(page.id)}, or understudy run cancel {short(page.id)}",
        )
    raise CommandFailed(
        ExitCode.FAILED,
        str(page.failure.get("code") or page.state),
        str(page.failure.get("message") or f"run {short(page.id)} is {page.state}."),
        remedy=str(page.failure.get("remedy") or ""),
    )


class _Lines:
    """Writes lines, so there is nothing to begin and nothing to leave."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class JsonLines(_Lines):
    """Each event as one line."""

    def take(self, event: ServerEvent, progress: RunProgress) -> None:
        """Write it."""
        value = {"event": event.name, "version": event.version, "data": event.data}
        click.echo(escaped_json(json.dumps(value, ensure_ascii=False)))

    def lost(self, error: Unreachable) -> None:
        """Say so beside the JSON."""
        click.echo(f"connection lost: {printable(error.message)} It is tried again.", err=True)


class PlainLines(_Lines):
    """A line at each change of state; now and then those of the copies, and what is waited for, if they are new."""

    def __init__(self) -> None:
        self._state = ""
        self._moves = 0
        self._told_at = 0.0
        self._told: list[str] = []

    def take(self, event: ServerEvent, progress: RunProgress) -> None:
        """Write what is new."""
        page = progress.page
        if page is None:
            return
        now = time.time()
        if len(page.moment_moves) > self._moves:
            self._moves = len(page.moment_moves)
            if self._state:
                why = why_moved(page.moment_moves[-1])
                click.echo(f"{instant(int(now) * 1000)}  another moment, {instant(page.moment_ms)}: {why}")
        if page.state != self._state:
            if not self._state:
                click.echo(heading(page, now * 1000))
            self._state = page.state
            self._told_at = now
            click.echo(f"{instant(int(now) * 1000)}  {page.state}")
        elif event.name == "live" and now - self._told_at >= PLAIN_SECONDS:
            self._told_at = now
            lines = self._lines(progress)
            for line in lines:
                if line not in self._told:
                    click.echo(f"{instant(int(now) * 1000)}  {line}")
            self._told = lines

    def lost(self, error: Unreachable) -> None:
        """Say so."""
        click.echo(f"connection lost: {printable(error.message)} It is tried again.", err=True)

    @staticmethod
    def _lines(progress: RunProgress) -> list[str]:
        rows = [row for row in progress.rows if not row.is_staged] if progress.state == "STAGING" else []
        width = max((len(row.name) for row in rows), default=0)
        lines = [copy_line(row, width) for row in rows]
        if progress.waiting_for:
            lines.append(f"waiting for {progress.waiting_for}")
        return lines + progress.trouble


class Picture:
    """The live view, drawn anew a few times a second by a thread of rich's."""

    def __init__(self, progress: RunProgress) -> None:
        from rich.live import Live
        from rich.text import Text

        self._heard_at = time.monotonic()
        self._lost = ""

        def draw() -> Text:
            silent = time.monotonic() - self._heard_at
            lines = frame(progress, time.time() * 1000, silent_seconds=silent)
            return Text("\n".join([*lines, self._lost] if self._lost else lines), no_wrap=True, overflow="crop")

        self._live = Live(get_renderable=draw, refresh_per_second=4, transient=True)

    def __enter__(self) -> Picture:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def take(self, event: ServerEvent, progress: RunProgress) -> None:
        """Draw it at once; between events, the drawing thread lets the time go on."""
        self._heard_at = time.monotonic()
        self._lost = ""
        self._live.refresh()

    def lost(self, error: Unreachable) -> None:
        """Show it below the picture."""
        self._lost = f"connection lost: {printable(error.message)} It is tried again."
