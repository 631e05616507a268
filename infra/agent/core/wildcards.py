"""Which names fit a pattern: ``*`` stands for any characters, ``?`` for one.

No regular expression: a dozen stars between equal letters would keep it busy for years. This takes one step for each
letter of the name.
"""

from __future__ import annotations

from typing import Callable


def fitting(pattern: str) -> Callable[[str], bool]:
    """What says of a name whether it fits the pattern as a whole.

    The bits of ``reached`` are the numbers of the pattern's letters that may be behind us (stars do not count).
    """
    staying = anything = number = 0
    accepting: dict[str, int] = {}
    for letter in pattern:
        if letter == "*":
            staying |= 1 << number
            continue
        if letter == "?":
            anything |= 1 << number
        else:
            accepting[letter] = accepting.get(letter, 0) | 1 << number
        number += 1

    def fits(name: str) -> bool:
        reached = 1
        for letter in name:
            reached = reached & staying | (reached & (accepting.get(letter, 0) | anything)) << 1
        return bool(reached >> number & 1)

    return fits
