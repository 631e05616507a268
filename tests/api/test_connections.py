"""Whoever can connect, without any token: half-sent requests, too many connections, slow readers, what is no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from api import connections as guarded
from api.access import Access, token_hash
from api.app import make_app
from api.connections import GuardedRunner, connections_limit
from api.face import Face
from api.logs import JsonFormatter
from tests.api.conftest import TOKEN
from tests.api.fake_control_plane import FakeControlPlane

LIMIT = 20
HEADER_SECONDS = 0.5
HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
Answer = tuple[int, dict[str, Any], bytes]


@pytest.fixture
async def runner(face: Face) -> AsyncIterator[GuardedRunner]:
    app = make_app(face, Access.of({"alice": token_hash(TOKEN)}))
    runner = GuardedRunner(app, limit=LIMIT, header_seconds=HEADER_SECONDS, shutdown_timeout=1)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
async def port(runner: GuardedRunner) -> int:
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


async def send(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def ask(port: int, data: bytes) -> Answer:
    """The status, the document and the whole answer."""
    reader, writer = await send(port, data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), answer


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another side of a connection brings about; it tells nobody."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def request(headers: str, body: bytes = b"", target: str = "POST /v1/clusters") -> bytes:
    return f"{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode("latin-1") + body


async def test_half_sent_requests_take_nothing_away_from_others(port: int, runner: GuardedRunner) -> None:
    held = [await send(port, b"GET /v1/health HTTP/1.1\r\nHost: loc") for _ in range(4 * LIMIT)]
    for _ in range(5):
        assert (await ask(port, HEALTH))[0] == 200
    assert runner.connections is not None
    assert len(runner.connections) <= LIMIT
    for reader, writer in held:
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert len(runner.connections) == 0


@pytest.mark.parametrize("sent", [b"", b"GET ", HEALTH.replace(b"Connection: close\r\n", b"") + b"GET /v1"])
async def test_a_header_has_a_deadline(port: int, sent: bytes) -> None:
    reader, writer = await send(port, sent)
    async with asyncio.timeout(HEADER_SECONDS + 3):
        await reader.read()
    writer.close()


async def test_a_header_that_dribbles_is_not_given_more_time(port: int) -> None:
    reader, writer = await send(port, b"GET /v1/health HTTP/1.1\r\n")
    began = asyncio.get_running_loop().time()
    ended = asyncio.ensure_future(reader.read())
    while not ended.done() and asyncio.get_running_loop().time() - began < 5:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.05)
    assert asyncio.get_running_loop().time() - began < 3
    writer.close()


async def test_when_all_are_busy_one_more_is_told_so(
    port: int, runner: GuardedRunner, control_plane: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def wait(*_: Any, **__: Any) -> list[Any]:
        await gate.wait()
        return []

    monkeypatch.setattr(control_plane, "list", wait)
    held = [await send(port, HEALTH) for _ in range(LIMIT)]
    assert runner.connections is not None
    open_ones = runner.connections._open
    await until(lambda: sum(one.is_answering for one in open_ones) == LIMIT)
    status, document, answer = await ask(port, HEALTH)
    assert (status, document["code"]) == (503, "TOO_MANY_CONNECTIONS")
    assert b"Retry-After" in answer
    gate.set()
    for reader, writer in held:
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    assert (await ask(port, HEALTH))[0] == 200


async def test_who_does_not_read_is_let_go(
    port: int,
    runner: GuardedRunner,
    control_plane: FakeControlPlane,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(guarded, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(guarded, "STALLED_SECONDS", 0.5)
    control_plane.findings = [{"ok": True, "code": "OK", "message": "x" * (16 << 20)}]
    control_plane.put("cluster", uuid4(), "north", "ACTIVE", {})
    data = request(f"Authorization: Bearer {TOKEN}\r\n", target="POST /v1/clusters/north/check")
    _, writer = await send(port, data)
    connections = runner.connections
    assert connections is not None
    await until(lambda: len(connections) == 1)
    await until(lambda: len(connections) == 0)
    writer.transport.abort()
    assert "a connection was ended whose other side reads nothing" in caplog.text


SECRET = "us_swordfish-swordfish-swordfish"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (request(f"Authorization: Bearer {SECRET}\0\r\n"), 400, "MALFORMED_REQUEST"),
        (request(f"Authorization Bearer {SECRET}\r\n"), 400, "MALFORMED_REQUEST"),
        (request(f"Authorization: Bearer {SECRET}\r\n Bearer\0 {SECRET}\r\n"), 400, "MALFORMED_REQUEST"),
        (request(f"Authorization: Bearer {SECRET}{'x' * 9000}\r\n"), 400, "MALFORMED_REQUEST"),
        (request(f"Authorization: Bearer {SECRET}\x85\xff\r\n"), 401, "UNAUTHENTICATED"),
        (request(f"Authorization: Bearer {SECRET} {SECRET}\r\n"), 401, "UNAUTHENTICATED"),
        (request(f"Authorization: Token {SECRET}\r\n"), 401, "UNAUTHENTICATED"),
        (request(f"Expect: {SECRET}\r\n"), 417, "BAD_REQUEST"),
        (request(f"Content-Length: {SECRET}\r\n"), 400, "MALFORMED_REQUEST"),
        (request(f"Host: {SECRET}\r\n"), 400, "MALFORMED_REQUEST"),
        (request("", target=f"GET /v1/clusters/{SECRET}\0"), 400, "MALFORMED_REQUEST"),
        (request("", target=f"{SECRET} /v1/clusters"), 400, "MALFORMED_REQUEST"),
        (request("", target=f"GET /v1/{SECRET}"), 401, "UNAUTHENTICATED"),
        (request("", target=f"GET /v1/clusters?token={SECRET}"), 401, "UNAUTHENTICATED"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_without_its_words(
    port: int, caplog: pytest.LogCaptureFixture, data: bytes, status: int, code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    found, document, answer = await ask(port, data)
    assert (found, document["code"]) == (status, code), document
    assert b"application/problem+json" in answer
    assert SECRET[3:] not in answer.decode("latin-1")
    assert not [line for line in map(JsonFormatter().format, caplog.records) if SECRET[3:] in line]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ("Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}", 415, "ENCODED_BODY"),
        ("Content-Encoding: br, gzip\r\nContent-Length: 2\r\n", b"{}", 415, "ENCODED_BODY"),
        ("Content-Encoding: deflate\r\nContent-Length: 2\r\n", b"{}", 415, "ENCODED_BODY"),
        ("Content-Encoding: zstd\r\nContent-Length: 2\r\n", b"{}", 415, "ENCODED_BODY"),
        ("Content-Encoding: Identity\r\nContent-Length: 2\r\n", b"{}", 422, "INVALID_INPUT"),
        ("Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n", 400, "MALFORMED_REQUEST"),
        ("Transfer-Encoding: gzip\r\n", b"{}", 400, "MALFORMED_REQUEST"),
    ],
)
async def test_encoded_bodies_are_refused(port: int, headers: str, body: bytes, status: int, code: str) -> None:
    head = f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n{headers}"
    found, document, _ = await ask(port, request(head, body))
    assert (found, document["code"]) == (status, code)


async def test_paths_are_logged_without_raw_control_and_bidirectional_characters(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    target = "GET /v1/clusters/%1B%5B2J%0A%C2%9B%E2%80%AE%E2%80%8B%EF%BB%BF%F3%A0%80%A1%ff"
    await ask(port, request("", target=target))
    lines = [JsonFormatter().format(record) for record in caplog.records]
    (answered,) = [line for line in lines if json.loads(line)["message"] == "answered"]
    assert answered.isprintable()
    assert "\\u001b[2J\\n\\u009b\\u202e\\u200b\\ufeff\\udb40\\udc21" in answered


def test_there_are_fewer_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: changed.append(limits))
    for soft, hard, limit, raised in (
        (1024, 1024, 512, []),
        (256, 256, 128, []),
        (64, 1_048_576, 512, [(4096, 1_048_576)]),
        (64, resource.RLIM_INFINITY, 512, [(4096, resource.RLIM_INFINITY)]),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 512, []),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=(soft, hard): found)
        changed.clear()
        assert (connections_limit(), changed) == (limit, raised)
