"""Names with wildcards (``*`` any characters, ``?`` one): can two of them match the same name?"""

from __future__ import annotations


def has_wildcards(pattern: str) -> bool:
    """Say whether the text is a pattern rather than a plain name."""
    return "*" in pattern or "?" in pattern


def can_meet(first: str, second: str) -> bool:
    """Say whether some name fits both patterns; exact, so two claims that cannot collide are not refused."""
    if not has_wildcards(first) and not has_wildcards(second):
        return first == second
    # after[j]: whether what follows in ``first`` can meet second[j:]
    after: list[bool] = []
    for i in range(len(first), -1, -1):
        here = [False] * (len(second) + 1)
        for j in range(len(second), -1, -1):
            a, b = first[i : i + 1], second[j : j + 1]
            if not a and not b:
                here[j] = True
            elif a == "*" or b == "*":
                here[j] = (bool(a) and after[j] and (a == "*" or b == "*")) or (bool(b) and here[j + 1])
            elif a and b:
                here[j] = (a == b or "?" in (a, b)) and after[j + 1]
        after = here
    return after[0]
