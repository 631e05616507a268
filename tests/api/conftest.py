"""The real web application over a control plane in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.access import Access, token_hash
from api.app import make_app
from api.face import Face
from tests.api.fake_control_plane import FakeControlPlane

TOKEN = "us_a-token-for-tests"
BOBS = "us_another-token-for-tests"

CLUSTER: dict[str, Any] = {
    "name": "north",
    "endpoints": {
        "gateway": {
            "host": "gateway.north.example",
            "user": "understudy",
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKdKjF0nQv5x7pH9xX2mR4uYv8b3cD1eF2gH3iJ4kL5m",
            "client_key_file": "north.key",
            "spool": "/var/lib/understudy/spool",
        },
        "namenodes": ["http://nn1.north.example:9870"],
        "hbase": {"root": "/hbase"},
    },
}


@pytest.fixture
def control_plane() -> FakeControlPlane:
    return FakeControlPlane()


@pytest.fixture
def face(control_plane: FakeControlPlane) -> Face:
    return Face(commands=control_plane, reads=control_plane, version="1.2.3")


@pytest.fixture
async def client(face: Face) -> AsyncIterator[TestClient[Any, Any]]:
    app = make_app(face, Access.of({"alice": token_hash(TOKEN), "bob": token_hash(BOBS)}))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with TestClient(TestServer(app), headers=headers) as connected:
        yield connected
