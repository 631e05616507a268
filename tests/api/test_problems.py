"""Every class of error has one answer, as a problem document; nothing of a fault leaks."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from domain.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable, UnderstudyError
from tests.api.conftest import CLUSTER, TOKEN
from tests.api.fake_control_plane import FakeControlPlane

Client = TestClient[Any, Any]


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (Refused("MOMENT_PAST", "it has passed.", remedy="Give a later one."), 409, {"remedy": "Give a later one."}),
        (Conflict("OVERLAP", "taken."), 409, {}),
        (InvalidInput("workers", "too many.", remedy="Less."), 422, {"field": "workers", "remedy": "Less."}),
        (NotFound("service", "x"), 404, {}),
        (Unavailable("GATEWAY_UNREACHABLE", "refused.", remedy="Look."), 503, {"remedy": "Look."}),
        (UnderstudyError("EVENT_TOO_NEW", "a newer version wrote this."), 500, {}),
    ],
)
async def test_each_error_of_the_tree_has_its_status(
    client: Client, control_plane: FakeControlPlane, error: UnderstudyError, status: int, more: dict[str, str]
) -> None:
    control_plane.raises = error
    response = await client.post("/v1/clusters", json=CLUSTER, headers={"X-Request-Id": "r1"})
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert await response.json() == {
        "type": f"urn:understudy:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "request_id": "r1",
        **more,
    }


async def test_an_unexpected_exception_is_logged_and_told_by_its_request_s_id_alone(
    client: Client, control_plane: FakeControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    control_plane.raises = ValueError("the password is swordfish")
    response = await client.post("/v1/clusters", json=CLUSTER, headers={"X-Request-Id": "r2"})
    text = await response.text()
    assert response.status == 500
    assert (await response.json())["code"] == "INTERNAL"
    assert "r2" in (await response.json())["remedy"]
    assert "swordfish" not in text
    assert "ValueError" not in text
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "swordfish" in (logged[0].exc_text or "")
    assert getattr(logged[0], "request_id", None) == "r2"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NO_SUCH_PATH"),
        ("GET", "/v1/nothing", 404, "NO_SUCH_PATH"),
        ("DELETE", "/v1/clusters", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/clusters/nobody", 404, "NOT_FOUND"),
        ("GET", "/v1/runs/0123456789", 404, "NOT_FOUND"),
        ("POST", "/v1/runs/not-an-id/cancel", 422, "INVALID_INPUT"),
    ],
)
async def test_paths_that_lead_nowhere(client: Client, method: str, path: str, status: int, code: str) -> None:
    response = await client.request(method, path, json={"reason": "r"} if method == "POST" else None)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert (await response.json())["code"] == code


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN} {TOKEN}"],
)
async def test_without_a_known_token_nothing_is_done(
    client: Client, control_plane: FakeControlPlane, authorization: str
) -> None:
    response = await client.post("/v1/clusters", json=CLUSTER, headers={"Authorization": authorization})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await response.json())["code"] == "UNAUTHENTICATED"
    assert control_plane.calls == []


async def test_an_unknown_path_asks_for_a_token_first(client: Client) -> None:
    assert (await client.get("/v1/nothing", headers={"Authorization": ""})).status == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""])
async def test_another_server_s_name_in_host_is_refused(client: Client, host: str) -> None:
    response = await client.get("/v1/health", headers={"Host": host})
    assert response.status == 421
    assert (await response.json())["code"] == "WRONG_HOST"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:5"])
async def test_loopback_names_in_host_are_accepted(client: Client, host: str) -> None:
    assert (await client.get("/v1/health", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [("Idempotency-Key", "yesterday's"), ("X-Request-Id", "a b"), ("X-Request-Id", "x" * 65)],
)
async def test_ids_in_headers_are_checked(
    client: Client, control_plane: FakeControlPlane, header: str, value: str
) -> None:
    response = await client.post("/v1/clusters", json=CLUSTER, headers={header: value})
    document = await response.json()
    assert (response.status, document["field"]) == (422, header)
    assert response.headers["X-Request-Id"] == document["request_id"]
    assert control_plane.calls == []
