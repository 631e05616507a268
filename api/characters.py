"""Characters that must not come in through the API, nor go out raw to a terminal or into a log: decided here alone."""

from __future__ import annotations

import json
import re

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What is refused: C0 and C1 controls, line and paragraph separators, marks that turn the direction of text, lone
surrogates."""

INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""What is never shown as it is: what is refused, and every other character that only steers how others are shown
(Unicode's Cf). Names on clusters may hold those: some scripts need joiners."""


def escaped(text: str) -> str:
    """Text for a person, with what cannot be seen written as ``\\u202e``."""
    return INVISIBLE.sub(_code, text)


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def escaped_json(text: str) -> str:
    """The same JSON without raw characters that cannot be seen; line feeds can only stand between its parts."""
    return INVISIBLE.sub(lambda match: "\n" if match[0] == "\n" else json.dumps(match[0])[1:-1], text)
