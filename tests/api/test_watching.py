"""Live views: each change once, resumable, bounded, ended by the end of what is watched or of the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from api.face import Face
from api.watching import STREAMS, Streams
from tests.api.fake_control_plane import FakeControlPlane

Client = TestClient[Any, Any]


async def messages(response: ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Each message of a stream of Server-Sent Events, as its fields with the data decoded."""
    fields: dict[str, Any] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value


def a_run(control_plane: FakeControlPlane) -> Any:
    run = uuid4()
    control_plane.put("run", run, None, "PLANNED", {})
    control_plane.pages[run] = {"id": str(run), "state": "PLANNED"}
    return run


async def test_a_run_is_followed_to_its_end(client: Client, control_plane: FakeControlPlane) -> None:
    run = a_run(control_plane)
    response = await client.get(f"/v1/runs/{run}/watch")
    assert response.content_type == "text/event-stream"
    seen = []
    async for message in messages(response):
        seen.append((message["event"], message.get("id"), message["data"].get("state")))
        if seen[-1] == ("change", "1", "PLANNED"):
            control_plane.live_facts[run] = {"waiting_for": "the moment"}
            await control_plane.move("run", run, "CHECKING")
        elif message["data"].get("waiting_for"):
            await control_plane.move("run", run, "FAILED")
    assert seen == [
        ("change", "1", "PLANNED"),
        ("live", None, None),
        ("change", "2", "CHECKING"),
        ("live", None, None),
        ("change", "3", "FAILED"),
        ("end", "3", "FAILED"),
    ] or seen == [
        ("change", "1", "PLANNED"),
        ("live", None, None),
        ("change", "2", "CHECKING"),
        ("change", "3", "FAILED"),
        ("end", "3", "FAILED"),
    ]


async def test_what_the_client_has_seen_is_not_sent_again(client: Client, control_plane: FakeControlPlane) -> None:
    run = a_run(control_plane)
    await control_plane.move("run", run, "COMPLETED")
    for parameters, headers in (({"after": "2"}, {}), ({}, {"Last-Event-ID": "2"})):
        response = await client.get(f"/v1/runs/{run}/watch", params=parameters, headers=headers)
        assert [message["event"] async for message in messages(response)] == ["end"]
    response = await client.get(f"/v1/runs/{run}/watch", params={"after": "1"})
    assert [message["event"] async for message in messages(response)] == ["change", "end"]


async def test_pairs_and_recovery_points_are_watched_until_nothing_is_under_way(
    client: Client, control_plane: FakeControlPlane
) -> None:
    point = uuid4()
    control_plane.put("recovery-point", point, None, "OPENING", {})
    control_plane.put("pair", uuid4(), "sites", "STEADY", {})
    steady = await client.get("/v1/pairs/sites/watch")
    assert [message["event"] async for message in messages(steady)] == ["change", "end"]
    control_plane.live_facts[point] = {"waiting_for": "the clones"}
    response = await client.get(f"/v1/recovery-points/{point}/watch")
    states = []
    async for message in messages(response):
        if message["event"] == "live":
            assert message["data"] == {"waiting_for": "the clones"}
            continue
        states.append(message["data"]["state"])
        if states == ["OPENING"]:
            await control_plane.move("recovery-point", point, "OPEN")
    assert states == ["OPENING", "OPEN", "OPEN"]


async def test_watching_what_is_not_there_is_a_problem_not_a_stream(client: Client) -> None:
    response = await client.get(f"/v1/runs/{uuid4()}/watch")
    assert (response.status, response.content_type) == (404, "application/problem+json")
    assert (await client.get("/v1/runs/x/watch?after=-1")).status == 422


async def test_more_streams_than_allowed_are_refused_and_a_place_becomes_free(
    client: Client, control_plane: FakeControlPlane, face: Face
) -> None:
    assert client.app is not None
    dict.__setitem__(client.app._state, STREAMS, Streams(limit=1))
    run = a_run(control_plane)
    first = await client.get(f"/v1/runs/{run}/watch")
    refused = await client.get(f"/v1/runs/{run}/watch")
    assert (refused.status, (await refused.json())["code"]) == (503, "TOO_MANY_STREAMS")
    await control_plane.move("run", run, "FAILED")
    assert [message["event"] async for message in messages(first)][-1] == "end"
    assert (await client.get(f"/v1/runs/{run}/watch")).status == 200


async def test_a_stop_of_the_server_ends_streams_without_an_end(
    client: Client, control_plane: FakeControlPlane, face: Face
) -> None:
    run = a_run(control_plane)
    response = await client.get(f"/v1/runs/{run}/watch")
    events = []
    async with asyncio.timeout(5):
        async for message in messages(response):
            events.append(message["event"])
            face.stopping.set()
    assert "end" not in events
    assert events[0] == "change"
