"""How long a first copy will take: from how much it is, and from how fast copies of the same pair have been.

Nothing is invented. A copy that was measured shows what was reached *at least*, in bytes and in files a second, because
whichever of the two held it up is not known. So the time lies between the longer of both (they overlap) and their sum
(they do not), and where nothing was measured nothing is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMULA = "max(bytes / B, files / F) to bytes / B + files / F, B and F being what copies have reached a second"
NEWEST_COPIES = 10
_NAMES = ("files", "directories", "bytes", "consumed_bytes")


@dataclass(frozen=True)
class Size:
    """How large one data set, or many together, are; ``consumed_bytes`` counts every replica."""

    files: int = 0
    directories: int = 0
    bytes: int = 0
    consumed_bytes: int = 0

    def plus(self, other: Size) -> Size:
        """Both together."""
        return Size(
            self.files + other.files,
            self.directories + other.directories,
            self.bytes + other.bytes,
            self.consumed_bytes + other.consumed_bytes,
        )


@dataclass(frozen=True)
class Copied:
    """What a run has moved, and in how many seconds all of its copies were in staging."""

    bytes: int
    files: int
    seconds: float


@dataclass(frozen=True)
class Rates:
    """The most that one of ``copies`` measured copies has reached; the largest of them moved ``largest_bytes``."""

    bytes_per_second: float
    files_per_second: float
    copies: int
    largest_bytes: int


@dataclass(frozen=True)
class Forecast:
    """What is to be copied, and how long that will take: nobody knows where seconds are None.

    ``limit_bytes_per_second`` is a limit of bandwidth that the copy must keep, or None. Where ``is_most`` is True less
    may have to be moved, because some of it stands on the secondary already.
    """

    size: Size
    is_most: bool
    rates: Rates | None
    limit_bytes_per_second: float | None
    at_least_seconds: float | None
    at_most_seconds: float | None


def measured(copies: Sequence[Copied]) -> Rates | None:
    """What copies have reached; None unless one of them has moved something."""
    moving = [copy for copy in copies if copy.files > 0 and copy.bytes > 0 and copy.seconds > 0]
    if not moving:
        return None
    return Rates(
        bytes_per_second=max(copy.bytes / copy.seconds for copy in moving),
        files_per_second=max(copy.files / copy.seconds for copy in moving),
        copies=len(moving),
        largest_bytes=max(copy.bytes for copy in moving),
    )


def forecast(size: Size, rates: Rates | None, limit_bytes_per_second: float | None, *, is_most: bool) -> Forecast:
    """Predict the copy of all of ``size``. A limit alone tells how long it takes at least."""
    speeds = [speed for speed in (rates and rates.bytes_per_second, limit_bytes_per_second) if speed]
    by_bytes = size.bytes / min(speeds) if speeds else None
    by_files = size.files / rates.files_per_second if rates else None
    known = [seconds for seconds in (by_bytes, by_files) if seconds is not None]
    at_most = by_bytes + by_files if by_bytes is not None and by_files is not None else None
    return Forecast(
        size=size,
        is_most=is_most,
        rates=rates,
        limit_bytes_per_second=limit_bytes_per_second,
        # Of what stands there already nobody knows how much is equal.
        at_least_seconds=None if is_most else max(known, default=None),
        at_most_seconds=at_most,
    )


def size_of(data_sets: Iterable[Mapping[str, Any]]) -> Size | None:
    """The sum of what a check has told of each data set; None unless it has told it of all of them, and of some."""
    told = [one.get("size") for one in data_sets]
    if not told or None in told:
        return None
    return _sum(told)


def _sum(told: Iterable[Mapping[str, Any] | None]) -> Size:
    """Sizes as agents tell them, together."""
    total = Size()
    for one in told:
        size = one or {}
        files, directories, size_bytes, consumed = (int(size.get(name) or 0) for name in _NAMES)
        total = total.plus(Size(files, directories, size_bytes, consumed))
    return total


def needed_bytes(
    sources: Iterable[Mapping[str, Any]], standing_there: Iterable[Mapping[str, Any]], adopts: bool
) -> int:
    """What a first copy takes on the secondary at least, with all replicas; 0 where no sizes were told.

    What stands there may be equal, so it is taken off; of tables that are taken over nobody knows how much does.
    """
    standing_bytes = {one["id"]: _sum([one.get("stands")]).consumed_bytes for one in standing_there}
    return sum(
        max(_sum([one.get("size")]).consumed_bytes - standing_bytes.get(one["id"], 0), 0)
        for one in sources
        if not (adopts and one["component"] == "hbase")
    )
