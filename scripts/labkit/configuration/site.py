"""Hadoop's XML form of settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from scripts.labkit.files import put


def write_site(path: Path, settings: Mapping[str, object]) -> None:
    """Write a ``*-site.xml``; a Python bool becomes Hadoop's true or false."""
    lines = ['<?xml version="1.0"?>', "<configuration>"]
    for name, value in settings.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"  <property><name>{escape(name)}</name><value>{escape(text)}</value></property>")
    lines.append("</configuration>")
    put(path, "\n".join(lines) + "\n")
