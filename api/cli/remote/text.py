"""How values are written for people: sizes, durations, instants, tables. Exact values are in ``--json``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

from api.characters import escaped

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
NOTHING = "-"
INDENT = 2
NARROWEST = 24


def printable(text: object) -> str:
    """Return text without characters that move the cursor or turn the direction: names come from clusters."""
    return escaped(str(text))


def size(count: int | float | None) -> str:
    """Return a number of bytes with three digits that count, in powers of 1024."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in _SIZES:
        if abs(value) < 1000 or unit == _SIZES[-1]:
            break
        value /= 1024
    if unit == "B":
        return f"{int(value)} B"
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def count(number: int | None) -> str:
    """Return a number with its thousands apart."""
    return NOTHING if number is None else f"{number:,}".replace(",", " ")


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units; a whole number is shown without fractions."""
    if seconds is None:
        return NOTHING
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if isinstance(seconds, int) and seconds < 60:
        return f"{seconds} s"
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)} ms"
    if round(seconds * 10) < 600:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, length, smaller, smaller_length in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // smaller_length
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("at least a minute")


def instant(milliseconds: float | None) -> str:
    """Return an instant in UTC, to the millisecond if it is not a whole second."""
    if milliseconds is None:
        return NOTHING
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds" if round(milliseconds) % 1000 else "seconds").replace("+00:00", "Z")


def milliseconds(value: float | None, *, sign: bool = False) -> str:
    """Return milliseconds with as many digits as matter."""
    if value is None:
        return NOTHING
    return f"{value:{'+' if sign else ''}.{1 if abs(value) < 10 else 0}f} ms"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = (), room: int | None = None
) -> str:
    """Return rows in columns that line up; ``right`` numbers the columns of numbers. Nothing is ever cut off.

    Text in the last column goes on below itself where the terminal has less ``room`` for the whole.
    """
    numbers = frozenset(right)
    lines = [[printable(cell) for cell in row] for row in ([*headings], *rows)]
    room = room or terminal_columns()
    if room is not None and len(headings) - 1 not in numbers:
        before = sum(max(len(line[column]) for line in lines) + 2 for column in range(len(headings) - 1))
        lines = [part for line in lines for part in _wrapped(line, max(room - before, NARROWEST))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in numbers else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _wrapped(line: list[str], room: int) -> list[list[str]]:
    if len(line[-1]) <= room:
        return [line]
    parts = wrap(line[-1], room, break_long_words=False, break_on_hyphens=False) or line[-1:]
    return [[*line[:-1], parts[0]], *([*[""] * (len(line) - 1), part] for part in parts[1:])]


def terminal_columns() -> int | None:
    """How wide the terminal is, less what sections are indented by; None where the output goes elsewhere."""
    return get_terminal_size().columns - INDENT if sys.stdout.isatty() else None


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values, the values in one column."""
    given = [(name, printable(value)) for name, value in rows]
    width = max((len(name) for name, _ in given), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in given)


def short(identity: str) -> str:
    """Return the beginning of an id: enough to type, and the API takes it."""
    return identity.replace("-", "")[:12]


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the members of nested objects as ``gateway.host``; lists of plain values are joined."""
    flat: list[tuple[str, Any]] = []
    for name, member in value.items():
        if isinstance(member, Mapping):
            flat += flatten(member, f"{prefix}{name}.")
        elif isinstance(member, list) and any(isinstance(one, Mapping) for one in member):
            for number, one in enumerate(member):
                flat += flatten(one, f"{prefix}{name}[{number}].") if isinstance(one, Mapping) else []
        elif isinstance(member, list):
            flat.append((f"{prefix}{name}", " ".join(str(one) for one in member) or NOTHING))
        elif isinstance(member, bool):
            flat.append((f"{prefix}{name}", "yes" if member else "no"))
        else:
            flat.append((f"{prefix}{name}", NOTHING if member is None else member))
    return flat


def details(item: Mapping[str, Any]) -> str:
    """Return everything that the API shows of one thing, a line each."""
    known = [("name", item["name"]), ("id", item["id"]), ("state", item["state"])]
    return pairs([(name, value) for name, value in known if value is not None] + flatten(item["summary"]))
