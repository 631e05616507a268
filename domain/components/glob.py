"""Names with wildcards (``*`` any characters, ``?`` one): can two of them match the same name?

The time is linear in the lengths, whatever they hold: patterns are given by whoever has a token.
"""

from __future__ import annotations

from domain.errors import InvalidInput

LONGEST_PATTERN = 256
"""As long as a name in HDFS may be by default; longer names can be protected without wildcards."""


def has_wildcards(pattern: str) -> bool:
    """Say whether the text is a pattern rather than a plain name."""
    return "*" in pattern or "?" in pattern


def check_length(field: str, pattern: str) -> None:
    """Raise ``InvalidInput`` for a pattern that is too long; plain names have limits of their own."""
    if has_wildcards(pattern) and len(pattern) > LONGEST_PATTERN:
        raise InvalidInput(
            field,
            f"a pattern of {len(pattern)} characters is too long.",
            remedy=f"Give at most {LONGEST_PATTERN} characters, or the names themselves.",
        )


def can_meet(first: str, second: str) -> bool:
    """Say whether some name fits both patterns; exact, so two claims that cannot collide are not refused."""
    if "*" in first and "*" in second:
        # Whatever one has between its first and its last star can stand within a star of the other, and the other way
        # round: only what stands before all stars and after them has to agree.
        before, after = first.partition("*")[0], first.rpartition("*")[2]
        return _agree(before, second.partition("*")[0]) and _agree(after[::-1], second.rpartition("*")[2][::-1])
    if "*" in first:
        return _fits(first, second)
    if "*" in second:
        return _fits(second, first)
    return len(first) == len(second) and _agree(first, second)


def _agree(first: str, second: str) -> bool:
    return all(a == b or "?" in (a, b) for a, b in zip(first, second, strict=False))


def _fits(pattern: str, name: str) -> bool:
    """Say whether a name of fixed length, in which ``?`` stands for one character, can fit the pattern.

    The bits of ``reached`` are the numbers of the pattern's characters that may be behind us (without stars).
    """
    staying, number = 0, 0
    accepting: dict[str, int] = {"?": 0}
    for letter in pattern:
        if letter == "*":
            staying |= 1 << number
        else:
            accepting[letter] = accepting.get(letter, 0) | 1 << number
            number += 1
    everything = (1 << number) - 1
    reached = 1
    for letter in name:
        accepted = everything if letter == "?" else accepting.get(letter, 0) | accepting["?"]
        reached = reached & staying | (reached & accepted) << 1
    return bool(reached >> number & 1)
