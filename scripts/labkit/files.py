"""Writing the lab's files so that no reader ever sees half of one."""

from __future__ import annotations

from pathlib import Path


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Make the file hold ``text``, by a rename, and only if it does not hold it yet."""
    if path.exists() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.chmod(mode)
    draft.rename(path)
