"""How far a run is, as a picture in text: its way through the states; a bar, rate and remaining time per data set.

Pure: it takes pages and live facts, and gives lines. Everything shown is replaced as a whole by each ``take``, so it
can be drawn from another thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.cli.remote.page import WAY, DataSetPart, RunPage
from api.cli.remote.rates import RateMeter
from api.cli.remote.text import count, duration, instant, printable, short, size
from api.cli.remote.waiting import unreachable

BAR = 24
MOST_ROWS = 30
SILENCE_SECONDS = 10.0
SETTLED_SHARE = 0.01  # before that a rate tells how a copy begins, not how it goes on
SHORTEST_TOLD_SECONDS = 5.0


@dataclass(frozen=True)
class CopyRow:
    """One copy: ``doing`` is what the agent says it does; amounts are bytes and files."""

    name: str
    is_staged: bool
    doing: str
    done: int
    total: int
    files: int
    files_total: int
    rate: float | None
    left_seconds: float | None

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        if self.is_staged:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0


class RunProgress:
    """What is known about a run that is being watched."""

    def __init__(self) -> None:
        self.page: RunPage | None = None
        self.rows: tuple[CopyRow, ...] = ()
        self._live: Mapping[str, Any] = {}
        self._meters: dict[str, RateMeter] = {}

    def take_page(self, page: RunPage) -> None:
        """Take what is recorded."""
        self.page = page
        self._make_rows()

    def take_live(self, facts: Mapping[str, Any]) -> None:
        """Take what is recorded nowhere."""
        self._live = facts
        for identity, told in (facts.get("copies") or {}).items():
            if told and "bytes" in told and "at_ms" in told:
                self._meters.setdefault(identity, RateMeter()).take(told["at_ms"], told["bytes"])
        self._make_rows()

    @property
    def state(self) -> str:
        """The run's state, empty before it is known."""
        return self.page.state if self.page else ""

    @property
    def waiting_for(self) -> str:
        """What the control device waits for, in its own words."""
        return printable(self._live.get("waiting_for") or "")

    @property
    def trouble(self) -> list[str]:
        """Clusters whose gateway does not answer, with the reason."""
        return unreachable(self._live)

    def _make_rows(self) -> None:
        copies = self._live.get("copies") or {}
        parts = self.page.data_sets if self.page else ()
        self.rows = tuple(self._row(part, copies.get(part.id) or {}) for part in parts)

    def _row(self, part: DataSetPart, told: Mapping[str, Any]) -> CopyRow:
        total = int(told.get("bytes_total") or 0)
        done = int(told.get("bytes") or 0)
        meter = self._meters.get(part.id)
        return CopyRow(
            name=printable(part.name),
            is_staged=part.is_staged,
            doing=printable(told.get("step") or ""),
            done=int(part.staged.get("bytes_moved") or 0) if part.is_staged else done,
            total=int(part.staged.get("bytes_moved") or 0) if part.is_staged else total,
            files=int(part.staged.get("files_moved") or 0) if part.is_staged else int(told.get("files") or 0),
            files_total=int(part.staged.get("files_moved") or 0)
            if part.is_staged
            else int(told.get("files_total") or 0),
            rate=None if part.is_staged or meter is None else meter.per_second,
            left_seconds=None if part.is_staged or meter is None else meter.seconds_for(max(total - done, 0)),
        )


def frame(progress: RunProgress, now_ms: float, *, silent_seconds: float = 0.0) -> list[str]:
    """Return the lines of the live view; ``silent_seconds`` is how long nothing was heard."""
    page = progress.page
    if page is None:
        return ["waiting for the control device …"]
    lines = [heading(page, now_ms), steps(page.state), ""]
    if progress.rows and page.state in ("STAGING", "HELD", "APPLYING", "FREEZING", "VERIFYING", "SEALING"):
        shown = sorted(progress.rows, key=lambda row: row.is_staged)[:MOST_ROWS] if _many(progress) else progress.rows
        width = max(len(row.name) for row in shown)
        lines += [copy_line(row, width) for row in shown]
        if len(shown) < len(progress.rows):
            lines.append(f"… and {len(progress.rows) - len(shown)} more")
    if progress.waiting_for:
        lines.append(f"waiting for {progress.waiting_for}")
    lines += progress.trouble
    if silent_seconds >= SILENCE_SECONDS and page.state != "ARMED":  # then nothing is to be heard
        lines.append(f"nothing new for {duration(round(silent_seconds))}")
    return lines


def heading(page: RunPage, now_ms: float) -> str:
    """Return which run this is; the time left to the moment is by this machine's clock."""
    ahead = page.moment_ms - now_ms
    when = f" (in {duration(round(ahead / 1000))})" if ahead > 0 else ""
    return f"run {short(page.id)} of {printable(page.service)}, as of {instant(page.moment_ms)}{when}; {page.way}"


def steps(state: str) -> str:
    """Return the way of a run with the present state in capitals and a tick at what is behind."""
    if state not in WAY:
        return f"▸ {state}"
    here = WAY.index(state)
    return " ".join(
        f"✓ {name.lower()}" if number < here or name == "COMPLETED" == state else f"▸ {name}"
        for number, name in enumerate(WAY[: here + 1])
    ) + "".join(f" · {name.lower()}" for name in WAY[here + 1 :])


def copy_line(row: CopyRow, width: int) -> str:
    """Return one copy's line."""
    full = round(row.share * BAR)
    bar = "█" * full + "░" * (BAR - full)
    if row.is_staged:
        return f"{row.name.ljust(width)}  {bar}  staged  {size(row.done)} in {count(row.files)} files"
    if not row.total and not row.files_total:
        return f"{row.name.ljust(width)}  {bar}  {row.doing or 'not begun'}"
    rate = f"  {size(row.rate)}/s" if row.rate is not None else ""
    left = f"  {_left(row.left_seconds if row.share >= SETTLED_SHARE else None)} left"
    return (
        f"{row.name.ljust(width)}  {bar}  {row.share * 100:4.0f} %  {size(row.done)} of {size(row.total)},"
        f" {count(row.files)} of {count(row.files_total)} files{rate}{left}"
    )


def _left(seconds: float | None) -> str:
    """A rate of seconds ago tells nothing about the last few."""
    if seconds is None:
        return "unknown time"
    return "a few seconds" if seconds < SHORTEST_TOLD_SECONDS else duration(round(seconds))


def _many(progress: RunProgress) -> bool:
    return len(progress.rows) > MOST_ROWS
