"""What everything that carries instructions out works with."""

from __future__ import annotations

from dataclasses import dataclass

from infra.ports.clock import Clock
from infra.settings import WorkerSettings
from infra.workers.decisions import Decisions
from infra.workers.gateways import Gateways
from infra.workers.live import Live
from infra.workers.outgoing import CredentialSource
from infra.workers.standing import Standing
from infra.workers.turns import Turns


@dataclass(frozen=True)
class Equipment:
    """The parts of the workers that there is one of."""

    decisions: Decisions
    gateways: Gateways
    credentials: CredentialSource
    clock: Clock
    live: Live
    turns: Turns
    settings: WorkerSettings
    standing: Standing
