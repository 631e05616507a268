"""Decode JSON that may be hostile: one meaning or a refusal.

Python's decoder takes duplicate keys, NaN, infinities, lone surrogates and any depth. Here each of them is an error,
because the digest of an instruction must say what the instruction means.
"""

from __future__ import annotations

import json
import math
from typing import Any

from infra.agent.protocol import WireError, canonical

MAXIMUM_DEPTH = 40
MAXIMUM_DIGITS = 18


def decode(data: bytes, maximum_bytes: int) -> Any:
    """The decoded value; raises ``WireError`` TOO_LARGE or MALFORMED."""
    if len(data) > maximum_bytes:
        raise WireError("TOO_LARGE", f"more than {maximum_bytes} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        _check_depth(value)
        canonical(value)  # what cannot be encoded again (a lone surrogate) has no digest
    except (ValueError, RecursionError) as error:
        raise WireError("MALFORMED", f"not acceptable as JSON: {_brief(error)}") from error
    return value


def _brief(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a key twice")
    return value


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


def _bounded(text: str) -> int:
    if len(text) > MAXIMUM_DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise ValueError("nested too deep")
