"""How much of a cluster the product may take: agents, workers and bandwidth, and at which times of the week less.

A window is written ``mon-fri 08:00-18:00 bandwidth=20 workers=4``: days (``mon``, ``sat,sun``, ``fri-mon`` or
``daily``), times of day in UTC (an end that is not after its begin lies on the next day; 24:00 is midnight), and what
holds then. The lowest of what the general limits and the windows of the time say holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
MOST_AGENTS = 1_000
MOST_WORKERS = 10_000
MOST_MEGABYTES_PER_SECOND = 1_000_000
MOST_WINDOWS = 50
LONGEST_TEXT = 200
BYTES_IN_MEGABYTE = 1_000_000
EXAMPLE = "mon-fri 08:00-18:00 bandwidth=20 workers=4"
_TIMES = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True)
class Window:
    """Times of each week, and what holds then; None: as otherwise.

    ``days`` are 0 (Monday) to 6, on which it begins; ``from_minute`` and ``until_minute`` are minutes of the day, UTC.
    """

    days: tuple[int, ...]
    from_minute: int
    until_minute: int
    workers: int | None = None
    megabytes_per_second: int | None = None

    @classmethod
    def parse(cls, text: str, field: str = "window") -> Window:
        """Read a window as people write it; raise ``InvalidInput`` naming what cannot be read."""
        words = text[:LONGEST_TEXT].lower().split()
        if len(text) > LONGEST_TEXT or len(words) < 3:
            raise _unreadable(field, f"{text[:LONGEST_TEXT]!r} is no window.")
        from_minute, until_minute = _times(field, words[1])
        said: dict[str, int] = {}
        for word in words[2:]:
            name, _, number = word.partition("=")
            if name not in ("workers", "bandwidth") or name in said or not re.fullmatch(r"[0-9]{1,9}", number):
                raise _unreadable(field, f"{word!r} is not bandwidth=MB/s or workers=NUMBER, each once.")
            said[name] = int(number)
        window = cls(_days(field, words[0]), from_minute, until_minute, said.get("workers"), said.get("bandwidth"))
        window.validate(field)
        return window

    def validate(self, field: str) -> None:
        """Raise ``InvalidInput`` for what cannot be accepted."""
        if not self.days or not set(self.days) <= set(range(7)) or tuple(sorted(set(self.days))) != self.days:
            raise _unreadable(field, "its days are none, or not days of the week.")
        if not (0 <= self.from_minute < DAY_MINUTES and 0 < self.until_minute <= DAY_MINUTES):
            raise _unreadable(field, "its times are no times of day.")
        if self.workers is None and self.megabytes_per_second is None:
            raise _unreadable(field, "it limits nothing.")
        _check(f"{field}.workers", self.workers, MOST_WORKERS)
        _check(f"{field}.bandwidth", self.megabytes_per_second, MOST_MEGABYTES_PER_SECOND)

    def holds_at(self, instant: datetime) -> bool:
        """Whether an instant (UTC) lies within it; its begin does, its end does not."""
        minute, day = instant.hour * 60 + instant.minute, instant.weekday()
        if self.from_minute < self.until_minute:
            return day in self.days and self.from_minute <= minute < self.until_minute
        begun_yesterday = (day - 1) % 7 in self.days and minute < self.until_minute
        return begun_yesterday or (day in self.days and minute >= self.from_minute)

    def __str__(self) -> str:
        whole = len(self.days) == 7
        days = "daily" if whole else ",".join(DAYS[day] for day in self.days)
        text = f"{days} {_clock(self.from_minute)}-{_clock(self.until_minute)}"
        if self.megabytes_per_second is not None:
            text += f" bandwidth={self.megabytes_per_second}"
        return text if self.workers is None else f"{text} workers={self.workers}"


@dataclass(frozen=True)
class Allowed:
    """What holds at one instant; None is no limit."""

    agents: int | None
    workers: int | None
    megabytes_per_second: int | None

    @property
    def bytes_per_second(self) -> int | None:
        """The bandwidth, in bytes."""
        return None if self.megabytes_per_second is None else self.megabytes_per_second * BYTES_IN_MEGABYTE


@dataclass(frozen=True)
class Limits:
    """What everything together may take of one cluster; None is no limit.

    ``agents``: instructions that move or read data in bulk, at once on its gateway. ``workers``: transfers of theirs
    at once. ``megabytes_per_second`` (a million bytes): what they move from it and to it.
    """

    agents: int | None = 8
    workers: int | None = 64
    megabytes_per_second: int | None = None
    windows: tuple[Window, ...] = ()

    def validate(self) -> None:
        """Raise ``InvalidInput`` for the first field with a value that cannot be accepted."""
        _check("agents", self.agents, MOST_AGENTS)
        _check("workers", self.workers, MOST_WORKERS)
        check_megabytes_per_second(self.megabytes_per_second)
        if len(self.windows) > MOST_WINDOWS:
            message = f"there are {len(self.windows)}."
            raise InvalidInput("windows", message, remedy=f"Give at most {MOST_WINDOWS}.")
        for number, window in enumerate(self.windows):
            window.validate(f"windows[{number}]")

    def at(self, instant: datetime) -> Allowed:
        """What holds at an instant, which is in UTC."""
        now = [window for window in self.windows if window.holds_at(instant)]
        workers = _lowest((self.workers, *(window.workers for window in now)))
        rate = _lowest((self.megabytes_per_second, *(window.megabytes_per_second for window in now)))
        return Allowed(self.agents, workers, rate)


def check_megabytes_per_second(number: int | None) -> None:
    """Raise ``InvalidInput`` for a bandwidth that cannot be accepted; None is no limit."""
    _check("megabytes_per_second", number, MOST_MEGABYTES_PER_SECOND)


def _lowest(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _check(field: str, number: int | None, most: int) -> None:
    if number is not None and not 1 <= number <= most:
        raise InvalidInput(field, f"{number} is out of range.", remedy=f"Give a number from 1 to {most}, or none.")


def _unreadable(field: str, what: str) -> InvalidInput:
    return InvalidInput(field, what, remedy=f"Write it like '{EXAMPLE}'.")


def _days(field: str, text: str) -> tuple[int, ...]:
    if text == "daily":
        return tuple(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _unreadable(field, f"{part!r} is no day of the week, such as mon, or mon-fri.")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        found |= {(begin + number) % 7 for number in range(length + 1)}
    return tuple(sorted(found))


def _times(field: str, text: str) -> tuple[int, int]:
    match = _TIMES.fullmatch(text)
    if match is None:
        raise _unreadable(field, f"{text!r} are no times of day, such as 08:00-18:00.")
    hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
    begin, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or begin >= DAY_MINUTES or end > DAY_MINUTES:
        raise _unreadable(field, f"{text!r} are no times of day, such as 08:00-18:00.")
    if begin == end:
        raise _unreadable(field, f"{text!r} is nothing, or a whole day: write 00:00-24:00.")
    return begin, end or DAY_MINUTES


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
