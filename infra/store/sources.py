"""What code it is, as a string: the digest of the sources of packages.

Snapshots carry it, so that no change of what events do to an aggregate can be forgotten, however small it looks. A
change that does nothing costs one more folding of each long aggregate.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import ModuleType


def sources_digest(*packages: ModuleType) -> str:
    """Return the digest of all modules of the packages; "" where their sources are not there."""
    digest = hashlib.sha256()
    for package in packages:
        sources = sorted(_sources_in(files(package), package.__name__))
        if not sources:
            return ""
        for name, source in sources:
            digest.update(b"%d %s %d\n" % (len(name), name.encode(), len(source)))
            digest.update(source)
    return digest.hexdigest()


def _sources_in(directory: Traversable, name: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _sources_in(entry, f"{name}.{entry.name}")
        elif entry.name.endswith(".py"):
            found.append((f"{name}.{entry.name}", entry.read_bytes()))
    return found
