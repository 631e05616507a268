"""JSON in exactly one way, and digests over it: what the control device can compare with what an agent read back.

It is the very form of ``infra.agent.protocol.canonical``; a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_DIGEST = re.compile(r"[0-9a-f]{64}")


def canonical(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_of(value: Any) -> str:
    """The digest of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def is_digest(value: Any) -> bool:
    """Whether this is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
