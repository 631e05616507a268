"""Shapes of JSON values: checks that name the place of the first thing that does not fit.

A check is called with the place of a value (such as ``payload.sites.primary``) and the value, and raises ``Unfit`` or
returns. Checks are strict: no field may be there besides, none may be missing unless it is ``Omissible``, and true is
no number.
"""

from __future__ import annotations

import re
from typing import Any, Callable

Check = Callable[[str, Any], None]

SHOWN_CHARACTERS = 80


class Unfit(Exception):
    """A value does not fit its shape; the text names the place and says what was expected there."""

    def __init__(self, where: str, expected: str, value: Any) -> None:
        super().__init__(f"{where} is {repr(value)[:SHOWN_CHARACTERS]}, expected {expected}")


def text(pattern: str, expected: str, flags: int = re.ASCII) -> Check:
    """A string that the pattern matches as a whole."""
    compiled = re.compile(pattern, flags)

    def check(where: str, value: Any) -> None:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise Unfit(where, expected, value)

    return check


def one_of(*known: str) -> Check:
    """One of some strings."""

    def check(where: str, value: Any) -> None:
        if not isinstance(value, str) or value not in known:
            raise Unfit(where, f"one of {', '.join(known)}", value)

    return check


def whole(low: int, high: int) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(where: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Unfit(where, f"a whole number from {low} to {high}", value)

    return check


def flag(where: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise Unfit(where, "true or false", value)


def mapping(where: str, value: Any) -> None:
    """An object with any fields."""
    if not isinstance(value, dict):
        raise Unfit(where, "an object", value)


def optional(check: Check) -> Check:
    """Null, or what ``check`` accepts."""

    def check_unless_null(where: str, value: Any) -> None:
        if value is not None:
            check(where, value)

    return check_unless_null


def each(check: Check, least: int = 0, most: int = 1 << 30) -> Check:
    """A list of ``least`` to ``most`` values, all of which ``check`` accepts."""

    def check_all(where: str, value: Any) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise Unfit(where, f"a list of {least} to {most} values", value)
        for number, item in enumerate(value):
            check(f"{where}[{number}]", item)

    return check_all


class Omissible:
    """A field of a record that came later: who does not need it leaves it out, so older instructions stay the same."""

    def __init__(self, check: Check) -> None:
        self._check = check

    def __call__(self, where: str, value: Any) -> None:
        """Check a value that is there."""
        self._check(where, value)


def record(**fields: Check) -> Check:
    """An object with exactly these fields, but for those that are ``Omissible``."""
    needed = {name for name, check_field in fields.items() if not isinstance(check_field, Omissible)}

    def check(where: str, value: Any) -> None:
        mapping(where, value)
        odd = sorted((set(value) - set(fields)) | (needed - set(value)))
        if odd:
            raise Unfit(where, f"the fields {', '.join(sorted(fields))}", f"missing or unknown: {', '.join(odd)}")
        for name in value:
            fields[name](f"{where}.{name}", value[name])

    return check
