"""A deliberate fault: what is changed where, what it would do to an operator, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class DoesNotApply(Exception):
    """The text that a mutation replaces is not in its file exactly once: the code has moved on without it."""


@dataclass(frozen=True)
class Change:
    """One replacement: ``before`` must be in ``file`` (relative to the project) exactly once."""

    file: str
    before: str
    after: str

    def applied(self, text: str) -> str:
        """The file's text with the fault in it; raises DoesNotApply."""
        count = text.count(self.before)
        if count != 1:
            raise DoesNotApply(f"{self.file}: {self.before!r} is there {count} times instead of once")
        return text.replace(self.before, self.after)


@dataclass(frozen=True)
class Mutation:
    """A fault by name, of one change or of several that only together do harm.

    ``harm`` is what would happen without anybody noticing. ``tests`` are arguments for pytest, relative to the project:
    with the fault at least one of them must fail; without it all of them pass. ``in_ci`` marks those few that every run
    of the whole test suite tries.
    """

    name: str
    harm: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    in_ci: bool = False

    def applied(self, root: Path) -> dict[Path, str]:
        """The changed files below ``root`` with their new texts; raises DoesNotApply."""
        texts: dict[Path, str] = {}
        for change in self.changes:
            path = root / change.file
            try:
                text = texts[path] if path in texts else path.read_text(encoding="utf-8")
            except FileNotFoundError:
                raise DoesNotApply(f"{change.file} does not exist") from None
            texts[path] = change.applied(text)
        return texts


def mutation(name: str, harm: str, file: str, before: str, after: str, *tests: str, in_ci: bool = False) -> Mutation:
    """A fault of one change."""
    return Mutation(name, harm, (Change(file, before, after),), tests, in_ci)
