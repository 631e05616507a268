"""Names with wildcards (``*`` any characters, ``?`` one): can two of them match the same name?"""

from __future__ import annotations

from functools import cache


def has_wildcards(pattern: str) -> bool:
    """Say whether the text is a pattern rather than a plain name."""
    return "*" in pattern or "?" in pattern


def can_meet(first: str, second: str) -> bool:
    """Say whether some name fits both patterns; exact, so two claims that cannot collide are not refused."""

    @cache
    def meet(i: int, j: int) -> bool:
        a = first[i] if i < len(first) else ""
        b = second[j] if j < len(second) else ""
        if not a and not b:
            return True
        if a == "*" and (meet(i + 1, j) or (bool(b) and meet(i, j + 1))):
            return True
        if b == "*" and (meet(i, j + 1) or (bool(a) and meet(i + 1, j))):
            return True
        if not a or not b or a == "*" or b == "*":
            return False
        return (a == b or a == "?" or b == "?") and meet(i + 1, j + 1)

    return meet(0, 0)
