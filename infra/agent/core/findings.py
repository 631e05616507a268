"""A list of findings: what was checked, of what, and whether it is as it should be."""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.operations import OperationFailed

NO_RIGHT = "NO_RIGHT"


class Findings:
    """Collects findings in the form of docs/agent.md; ``check`` names the check, ``subject`` what it is about."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []

    def good(self, check: str, subject: str, message: str) -> None:
        """Something is as it should be."""
        self._add(check, subject, True, "OK", message, "")

    def bad(self, check: str, subject: str, code: str, message: str, remedy: str) -> None:
        """Something speaks against a run; ``code`` is permanent."""
        self._add(check, subject, False, code, message, remedy)

    def judge(
        self, check: str, subject: str, is_good: bool, code: str, messages: tuple[str, str], remedy: str = ""
    ) -> None:
        """One or the other; ``messages`` are the good one and the bad one."""
        if is_good:
            self.good(check, subject, messages[0])
        else:
            self.bad(check, subject, code, messages[1], remedy)

    def failed(self, check: str, subject: str, what: str, failure: OperationFailed, remedy: str = "") -> None:
        """What was tried did not succeed; a refusal of the right has the code NO_RIGHT."""
        denied = hdfs.exception_of(failure) in ("AccessControlException", "AccessDeniedException")
        code = NO_RIGHT if denied else failure.code
        self.bad(check, subject, code, f"{what}: {failure.message}", remedy or failure.remedy)

    def _add(self, check: str, subject: str, ok: bool, code: str, message: str, remedy: str) -> None:
        self.items.append(
            {"check": check, "subject": subject, "ok": ok, "code": code, "message": message, "remedy": remedy}
        )
