"""What a check found out, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

REFUSE = "REFUSE"
WARN = "WARN"


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against a run, or that its operator should know.

    ``code`` is permanent. ``subject`` is the cluster, directory, table or clock that it is about.
    """

    severity: str
    code: str
    subject: str
    message: str
    remedy: str

    @property
    def refuses(self) -> bool:
        """Whether the run must not be started."""
        return self.severity == REFUSE

    def to_json(self) -> dict[str, Any]:
        """The form that events and pages use."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """What is judged: both clusters' facts as their own gateways reported them (docs/agent.md, CheckCluster).

    ``names`` are the clusters' names by role. ``hooks`` are those that the policy's barrier runs, if it has one.
    ``adopts``: what stands on the secondary already is taken over.
    """

    primary: Mapping[str, Any]
    secondary: Mapping[str, Any]
    names: Mapping[str, str]
    pair: str
    epoch: int
    max_skew_ms: int
    hooks: tuple[str, ...] = ()
    adopts: bool = False

    def sides(self) -> tuple[tuple[str, str, Mapping[str, Any]], ...]:
        """(role, cluster's name, facts) of both."""
        return (
            ("primary", self.names["primary"], self.primary),
            ("secondary", self.names["secondary"], self.secondary),
        )
