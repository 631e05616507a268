"""A list of findings: what was checked, of what, and whether it is as it should be."""

from __future__ import annotations

from typing import Any


class Findings:
    """Collects findings in the form of docs/agent.md."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.items: list[dict[str, Any]] = []

    def add(self, check: str, subject: str, ok: bool, code: str, good: str, bad: str = "", remedy: str = "") -> None:
        """Add one: ``good`` is told when it is ok, ``bad`` (or "not: " and ``good``) with code and remedy when not."""
        message = good if ok else (bad or f"not so: {good}")
        found = {"check": check, "subject": subject, "ok": ok, "code": code, "message": message}
        self.items.append({**found, "remedy": "" if ok else remedy})
