"""A store has one id for ever, and a new incarnation with each start."""

from __future__ import annotations

from uuid import UUID

from domain.control_device import ControlDevice
from tests.domain import tables
from tests.domain.builders import SPACE, Contexts

OTHER = UUID("00000000-0000-4000-8000-000000000002")


def test_it_remembers_its_store_and_its_newest_start() -> None:
    contexts = Contexts()
    device = ControlDevice.establish(contexts(), SPACE)
    assert (device.id, device.store, device.term, device.incarnation) == (ControlDevice.identity(), SPACE, 0, None)
    device.start(contexts(), 1, SPACE, "here")
    device.start(contexts(), 2, OTHER, "there")
    assert (device.store, device.term, device.incarnation, device.host) == (SPACE, 2, OTHER, "there")
    assert tables.same_state(tables.rebuilt(device), device)
