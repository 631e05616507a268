"""Credentials: what is added to every HDFS request, in this one place.

They travel beside the instruction, not in it, because they are renewed while the instruction stays the same. Shape:
``{"primary": {"hdfs": credential, "hbase": credential}, "secondary": …}``; a credential is ``{"kind": "simple",
"user": name}``. Another kind (a delegation token) is one more line in ``_KINDS``.
"""

from __future__ import annotations

import json
import os
import re
import threading
from typing import Any, Callable

from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import WireError
from infra.agent.shell.disk import read_file

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@/-]{0,127}\Z")

# kind → (the field that it needs, the fitness of that field, the query parameter that carries it)
_KINDS: dict[str, tuple[str, Callable[[str], bool], str]] = {
    "simple": ("user", lambda text: _USER.match(text) is not None, "user.name"),
}


def check_credentials(value: Any) -> None:
    """Refuse (``WireError`` MALFORMED) credentials of another shape."""
    if not isinstance(value, dict) or not set(value) <= {"primary", "secondary"}:
        raise WireError("MALFORMED", "credentials are an object of sites")
    for site, principals in value.items():
        if not isinstance(principals, dict) or not set(principals) <= {"hdfs", "hbase"}:
            raise WireError("MALFORMED", f"credentials.{site} is an object of hdfs and hbase")
        for name, credential in principals.items():
            if not _is_credential(credential):
                raise WireError("MALFORMED", f"credentials.{site}.{name} is of no known kind")


def _is_credential(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or value["kind"] not in _KINDS:
        return False
    field, fits, _ = _KINDS[value["kind"]]
    return set(value) == {"kind", field} and isinstance(value[field], str) and fits(value[field])


class Credentials:
    """The credentials of one instruction, read again whenever they were renewed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int] = (-1, -1)
        self._value: dict[str, Any] = {}

    def query(self, site: str, principal: str) -> tuple[tuple[str, str], ...]:
        """The query parameters that make a request of ``principal`` ("hdfs" or "hbase") on ``site``."""
        credential = self._newest().get(site, {}).get(principal)
        if credential is None:
            raise OperationFailed(
                "NO_RIGHT",
                f"the instruction came without a credential for {principal} on the {site} cluster",
                remedy="Give the control device's configuration this credential.",
            )
        field, _, parameter = _KINDS[credential["kind"]]
        return ((parameter, credential[field]),)

    def _newest(self) -> dict[str, Any]:
        status = os.stat(self._path)
        seen = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            if seen != self._seen:
                self._value = json.loads(read_file(self._path) or b"{}")
                self._seen = seen
            return self._value
