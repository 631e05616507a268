"""What this agent is: the SHA-256 of its archive, or "source" when it runs from a directory of sources."""

from __future__ import annotations

import hashlib
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def archive_path() -> str | None:
    """The zipapp that this runs from, or None."""
    return ROOT if os.path.isfile(ROOT) else None


def agent_version() -> str:
    """The full hash of the archive, which is also the content address under which it was uploaded."""
    path = archive_path()
    if path is None:
        return "source"
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for data in iter(lambda: stream.read(1 << 20), b""):
            digest.update(data)
    return digest.hexdigest()
