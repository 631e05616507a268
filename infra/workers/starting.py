"""The first thing that a control device does with its store: it records who it is.

It is committed before anything is sent anywhere: whatever a cluster is asked for from now on stands in a chain that no
copy of the store has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

from domain.control_device import ControlDevice
from domain.stateful import Context
from infra.ports.clock import Clock
from infra.store.group_commit import Command
from infra.store.session import Session
from infra.store.store import Store
from infra.workers.decisions import ACTOR, Controller

_NOT_IN_HOST_NAMES = re.compile(r"[^A-Za-z0-9.-]+")
LONGEST_HOST = 63


def start(store: Store, code_version: str, clock: Clock, new_id: Callable[[], UUID], host: str) -> Controller:
    """Record this start, and the store's id if it has none; nobody else may use the store meanwhile. Blocks."""
    incarnation, since = new_id(), clock.now()
    host = _NOT_IN_HOST_NAMES.sub("-", host)[:LONGEST_HOST] or "unknown"
    context = Context(new_id(), since, ACTOR, "", "", code_version)
    store_id = new_id()

    def decide(session: Session) -> UUID:
        device = session.find(ControlDevice, ControlDevice.identity())
        if device is None:
            device = ControlDevice.establish(context, store_id)
            session.add(device)
        device.start(context, store.term, incarnation, host)
        return device.store

    (outcome,) = store.group_commit.run([Command(context, ControlDevice.identity(), decide)])
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome.value is not None
    return Controller(store.term, code_version, clock, new_id, outcome.value, incarnation, host, since)
