"""Build the agent's zipapp: the same sources always give the same bytes, so its hash is its name.

This module is for the control device and is not part of the archive.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
MAIN = """import sys

from infra.agent.__main__ import main
from infra.agent.shell.detaching import own_command

sys.exit(main(sys.argv[1:], own_command()))
"""


@dataclass(frozen=True)
class Archive:
    """The zipapp: its bytes and their SHA-256."""

    data: bytes
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which it lies on a gateway."""
        return f"understudy-agent-{self.sha256[:12]}.pyz"


def build() -> Archive:
    """Build the archive from the sources beside this file."""
    return pack(sources())


def sources() -> dict[str, bytes]:
    """What goes into the archive: member name → content."""
    files = {"__main__.py": MAIN.encode(), "infra/__init__.py": b""}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != Path(__file__):
            files[f"infra/agent/{path.relative_to(PACKAGE).as_posix()}"] = path.read_bytes()
    return files


def pack(files: Mapping[str, bytes]) -> Archive:
    """Make an archive whose bytes depend on the files alone."""
    content = io.BytesIO()
    content.write(b"#!/usr/bin/env python3\n")
    # Stored, not deflated: another version of zlib would give other bytes.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, TIMESTAMP)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, files[name])
    data = content.getvalue()
    return Archive(data, hashlib.sha256(data).hexdigest())
