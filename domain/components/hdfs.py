"""HDFS directories as data sets: absolute paths, wildcards within a path component, nothing inside another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.components.glob import can_meet, check_length
from domain.errors import InvalidInput

NAME = "hdfs"
FIELD = "path"
RESERVED = ("/.understudy", "/.reserved")


def validate(path: str) -> None:
    """Raise ``InvalidInput`` unless ``path`` is an absolute, normal path of a directory that may be protected."""
    parts = path.split("/")
    if not path.startswith("/") or len(path) > 4096:
        raise InvalidInput("path", f"{path!r} is not an absolute path.", remedy="Give a path such as /data/orders.")
    if any(part in ("", ".", "..") for part in parts[1:]):
        raise InvalidInput(
            "path",
            f"{path!r} is the root or has an empty, '.' or '..' component.",
            remedy="Give the directory's own path, without a slash at its end.",
        )
    check_length("path", path)
    if ".snapshot" in parts or any(path == r or path.startswith(r + "/") for r in RESERVED):
        raise InvalidInput("path", f"{path!r} is reserved.", remedy="Protect a directory that holds data of its own.")


def snapshot_name(snapshot: str, path: str) -> str:
    """What a run's snapshot of a directory is called."""
    return snapshot


def snapshot_place(snapshot: str, path: str) -> str:
    """Where it can be read: the name by which an agent tells that it was removed."""
    return f"{path}/.snapshot/{snapshot}"


def mass_change(staged: Mapping[str, Any], bytes_in_base: int) -> tuple[int, int, str]:
    """How much of the base would be deleted or replaced: how many, of how many, of what. Every path counts as one."""
    changed = int(staged.get("deleted") or 0) + int(staged.get("replaced") or 0)
    return changed, int(staged.get("entries_in_base") or 0), "entries"


def place(path: str) -> tuple[str, ...]:
    """Where a directory is: two overlap exactly when one's place begins with the other's."""
    return tuple(path.split("/"))


def overlaps(first: str, second: str) -> bool:
    """Say whether some directory could be in both, or one could lie inside the other."""
    return all(can_meet(a, b) for a, b in zip(first.split("/")[1:], second.split("/")[1:], strict=False))
