"""Bodies and queries that are wrong, huge, ambiguous or malicious: refused with the field, never a fault."""

from __future__ import annotations

import copy
import io
import json
import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.requests import BODY_BYTES
from tests.api.conftest import CLUSTER
from tests.api.fake_control_plane import FakeControlPlane

Client = TestClient[Any, Any]
JSON = {"Content-Type": "application/json"}


def cluster(path: str, value: object) -> dict[str, Any]:
    """The good cluster with one field changed."""
    body: dict[str, Any] = copy.deepcopy(CLUSTER)
    *parents, last = path.split(".")
    inner = body
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        (cluster("name", 7), "name"),
        (cluster("name", ""), "name"),
        (cluster("name", "a/../b"), "name"),
        (cluster("name", "x" * 64), "name"),
        (cluster("name", "north\n"), "name"),
        (cluster("name", "north\u202e"), "name"),
        (cluster("nickname", "n"), "nickname"),
        (cluster("endpoints", None), "endpoints"),
        (cluster("endpoints.namenodes", []), "endpoints.namenodes"),
        (cluster("endpoints.namenodes", ["ftp://x"]), "endpoints.namenodes[0]"),
        (cluster("endpoints.namenodes", ["http://user:secret@x/"]), "endpoints.namenodes[0]"),
        (cluster("endpoints.gateway.port", "22"), "endpoints.gateway.port"),
        (cluster("endpoints.gateway.port", 0), "endpoints.gateway.port"),
        (cluster("endpoints.gateway.port", True), "endpoints.gateway.port"),
        (cluster("endpoints.gateway.port", 10**400), "endpoints.gateway.port"),
        (cluster("endpoints.gateway.host", "-oProxyCommand=id"), "endpoints.gateway.host"),
        (cluster("endpoints.gateway.python", "python3; id"), "endpoints.gateway.python"),
        (cluster("endpoints.gateway.spool", "/tmp/$(id)"), "endpoints.gateway.spool"),
        (cluster("endpoints.gateway.host_key", "AAAA"), "endpoints.gateway.host_key"),
        (cluster("endpoints.gateway.password", "x"), "endpoints.gateway.password"),
        (cluster("endpoints.hbase", []), "endpoints.hbase"),
        (cluster("endpoints.hbase.admin_command", []), "endpoints.hbase.admin_command"),
        (cluster("endpoints.hbase.root", "hbase"), "endpoints.hbase.root"),
        (cluster("endpoints.hbase.root", "/data/../hbase"), "endpoints.hbase.root"),
        (cluster("endpoints.hbase.root", "/data/."), "endpoints.hbase.root"),
    ],
)
async def test_a_wrong_field_is_named(
    client: Client, control_plane: FakeControlPlane, body: dict[str, Any], field: str
) -> None:
    response = await client.post("/v1/clusters", json=body)
    document = await response.json()
    assert (response.status, document["field"]) == (422, field), document
    assert document["remedy"]
    assert control_plane.calls == []


@pytest.mark.parametrize(
    ("data_sets", "field"),
    [
        ([], "data_sets"),
        ([{"component": "hdfs"}], "data_sets[0].name"),
        ([{"component": "tape", "name": "x"}], "data_sets[0].component"),
        ([{"component": "hdfs", "name": "relative"}], "data_sets[0].name"),
        ([{"component": "hdfs", "name": "/"}], "data_sets[0].name"),
        ([{"component": "hdfs", "name": "/a/../b"}], "data_sets[0].name"),
        ([{"component": "hdfs", "name": "/.understudy/x"}], "data_sets[0].name"),
        ([{"component": "hdfs", "name": "/a"}, {"component": "hbase", "name": "a b"}], "data_sets[1].name"),
        ([{"component": "hbase", "name": "hbase:meta"}], "data_sets[0].name"),
        ([{"component": "hdfs", "name": "/a\x1b[2J"}], "data_sets[0].name"),
    ],
)
async def test_data_sets_that_cannot_be_protected(client: Client, data_sets: list[Any], field: str) -> None:
    response = await client.post("/v1/services", json={"name": "orders", "pair": "sites", "data_sets": data_sets})
    assert (response.status, (await response.json())["field"]) == (422, field)


@pytest.mark.parametrize(
    ("settings_body", "field"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 1.5}, "settings.workers"),
        ({"trial_clone": "yes"}, "settings.trial_clone"),
        ({"direction": "sideways"}, "direction"),
        ({"engine": "distcp"}, "engine"),
        ({"speed": 1}, "settings.speed"),
        ({"barrier": {"hold": "../x", "release": "y", "hold_max_seconds": 1}}, "settings.barrier.hold"),
        ({"max_skew_ms": 10**30}, "max_skew_ms"),
    ],
)
async def test_settings_that_cannot_be_accepted(client: Client, settings_body: dict[str, Any], field: str) -> None:
    body = {"name": "nightly", "service": "orders", "settings": settings_body}
    response = await client.post("/v1/policies", json=body)
    assert response.status == 422
    assert (await response.json())["field"].endswith(field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"agents": 0}, "agents"),
        ({"agents": "4"}, "agents"),
        ({"workers": 10**30}, "workers"),
        ({"megabytes_per_second": -1}, "megabytes_per_second"),
        ({"megabytes_per_second": 1.5}, "megabytes_per_second"),
        ({"windows": None}, "windows"),
        ({"windows": ["always"]}, "windows[0]"),
        ({"windows": ["daily 08:00-18:00 workers=1", "mon 25:00-26:00 workers=1"]}, "windows[1]"),
        ({"windows": ["daily 08:00-18:00 workers=" + "9" * 300]}, "windows[0]"),
        ({"windows": ["daily 08:00-18:00 workers=1"] * 51}, "windows"),
        ({"speed": 1}, "speed"),
    ],
)
async def test_limits_that_cannot_be_accepted(client: Client, body: dict[str, Any], field: str) -> None:
    await client.post("/v1/clusters", json=CLUSTER)
    response = await client.post("/v1/clusters/north/limits", json=body)
    document = await response.json()
    assert (response.status, document["field"]) == (422, field), document
    assert document["remedy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "all"}, "reason"),
        ({"scope": "all", "reason": 5}, "reason"),
        ({"scope": "x" * 101, "reason": "why"}, "scope"),
        ({"scope": ["all"], "reason": "why"}, "scope"),
        ({"scope": "all", "reason": "why", "until": "tomorrow"}, "until"),
    ],
)
async def test_pauses_that_cannot_be_accepted(
    client: Client, control_plane: FakeControlPlane, body: dict[str, Any], field: str
) -> None:
    response = await client.post("/v1/pauses", json=body)
    assert (response.status, (await response.json())["field"]) == (422, field)
    assert control_plane.calls == []


@pytest.mark.parametrize(
    ("at", "remedy"),
    [
        ("2026-10-25T02:30:00", "Add Z"),
        ("2026-10-25", "Add Z"),
        ("tomorrow", "such as"),
        ("+90s", "such as"),
        ("-90s", "such as"),
        ("", "form"),
        ("9" * 65, "form"),
    ],
)
async def test_moments_that_are_no_instant(
    client: Client, control_plane: FakeControlPlane, at: str, remedy: str
) -> None:
    response = await client.post("/v1/services/orders/backups", json={"at": at})
    document = await response.json()
    assert (response.status, document["field"]) == (422, "at")
    assert remedy in document["remedy"]
    assert control_plane.calls == []


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "MALFORMED_BODY"),
        (b"{", 400, "MALFORMED_BODY"),
        (b"[]", 400, "MALFORMED_BODY"),
        (b"null", 400, "MALFORMED_BODY"),
        (b'"x"', 400, "MALFORMED_BODY"),
        (b'{"name": "\xff\xfe"}', 400, "MALFORMED_BODY"),
        (b"\xef\xbb\xbf{}", 400, "MALFORMED_BODY"),
        (b'{"name": "a", "name": "b"}', 400, "MALFORMED_BODY"),
        (b'{"endpoints": {"namenodes": [], "namenodes": []}}', 400, "MALFORMED_BODY"),
        (b'{"name": NaN}', 400, "MALFORMED_BODY"),
        (b'{"name": -Infinity}', 400, "MALFORMED_BODY"),
        (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "MALFORMED_BODY"),
        (b'{"name": ' + b"9" * 10_000 + b"}", 400, "MALFORMED_BODY"),
        (b'{"name": "\\ud800"}', 422, "INVALID_INPUT"),
        (b'{"\\ud800": 1}', 422, "INVALID_INPUT"),
        (b'{"name": "a\\u0000b"}', 422, "INVALID_INPUT"),
        (b'{"name": "' + b"x" * BODY_BYTES + b'"}', 413, "BODY_TOO_LARGE"),
    ],
)
async def test_bodies_that_are_no_acceptable_json(
    client: Client, control_plane: FakeControlPlane, data: bytes, status: int, code: str
) -> None:
    response = await client.post("/v1/clusters", data=io.BytesIO(data), headers=JSON)
    assert (response.status, (await response.json())["code"]) == (status, code)
    assert control_plane.calls == []


async def test_a_body_of_another_type_is_refused(client: Client) -> None:
    response = await client.post("/v1/clusters", data={"name": "north"})
    assert (response.status, (await response.json())["code"]) == (415, "NOT_JSON")


async def test_a_command_that_needs_nothing_said_accepts_nothing_else(client: Client) -> None:
    await client.post("/v1/clusters", json=CLUSTER)
    assert (await client.post("/v1/clusters/north/check", json={})).status == 200
    surplus = await client.post("/v1/clusters/north/check", json={"deep": True})
    assert (surplus.status, (await surplus.json())["field"]) == (422, "deep")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("after=-1", "after"),
        ("after=99999999999999999999", "after"),
        ("colour=red", "colour"),
        ("service=a%00b", "service"),
        ("service=%ff", "service"),
        ("state=FAILED'%20OR%201=1", "state"),
    ],
)
async def test_queries_are_checked(client: Client, query: str, field: str) -> None:
    response = await client.get(f"/v1/runs?{query}")
    assert (response.status, (await response.json())["field"]) == (422, field)


async def test_hostile_names_in_paths_are_only_not_found(client: Client) -> None:
    for name in ("%00", "..%2f..%2fetc", "%ff", "'%20OR%201=1", "x" * 4_000, "%E2%80%AE"):
        response = await client.get(f"/v1/clusters/{name}")
        assert response.status == 404, name
        assert (await response.json())["code"] == "NOT_FOUND"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_FIELDS = st.sampled_from(
    ["name", "endpoints", "endpoints.gateway", "endpoints.namenodes", "endpoints.hbase", "endpoints.gateway.user"]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=_FIELDS, value=_VALUES)
async def test_no_value_anywhere_is_a_fault(client: Client, field: str, value: object) -> None:
    response = await client.post("/v1/clusters", data=json.dumps(cluster(field, value)).encode(), headers=JSON)
    assert response.status in (200, 400, 422), await response.text()


def nested(levels: int, opening: str, closing: str) -> bytes:
    return b'{"name": "n", "pair": "p", "data_sets": ' + (opening * levels + "1" + closing * levels).encode() + b"}"


@pytest.mark.parametrize(
    "data",
    [
        nested(900, '{"a": ', "}"),
        nested(900, "[", "]"),
        nested(20, '{"a": ', "}"),
        b'{"data_sets": {"' + b"x" * 500_000 + b'": [' + b"1," * 250_000 + b'"\\u202e"]}}',
        b'{"data_sets": [' + b"[]," * 300_000 + b"1]}",
        b'{"data_sets": [' + b"{}," * 300_000 + b"1]}",
        b'{"data_sets": [' + b",".join([b"9" * 4_000] * 250) + b"]}",
        b'{"data_sets": {' + b",".join(b'"%d":1' % number for number in range(49_000)) + b"}}",
        b'{"data_sets": [' + b",".join([b'{"component":"hdfs","name":"/%s*"}' % (b"?" * 2_000)] * 400) + b"]}",
    ],
)
async def test_no_body_holds_the_loop_for_long(client: Client, control_plane: FakeControlPlane, data: bytes) -> None:
    assert len(data) < BODY_BYTES
    began = time.process_time()
    response = await client.post("/v1/services", data=data, headers=JSON)
    assert response.status in (400, 422)
    assert time.process_time() - began < 1.5, "a second is generous: each takes some tenths"
    assert control_plane.calls == []


async def test_no_query_holds_the_loop_for_long(client: Client) -> None:
    began = time.process_time()
    response = await client.get("/v1/runs?" + "&".join(f"{number}=" for number in range(1_300)))
    assert response.status == 422
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "at",
    ["9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"],
)
async def test_moments_at_the_limits_of_the_calendar_are_moments(client: Client, at: str) -> None:
    """They are refused by the control plane, as past or too far; here they must not be a fault."""
    response = await client.post("/v1/services/orders/backups", json={"at": at})
    assert response.status < 500


@pytest.mark.parametrize("stars", ["*", "?", "a*", "*a*b"])
@pytest.mark.parametrize(("component", "start"), [("hdfs", "/data/"), ("hbase", "")])
async def test_long_patterns_are_refused(client: Client, component: str, start: str, stars: str) -> None:
    pattern = start + stars * 257
    body = {"name": "orders", "pair": "sites", "data_sets": [{"component": component, "name": pattern[:399]}]}
    response = await client.post("/v1/services", json=body)
    document = await response.json()
    assert (response.status, document["field"]) == (422, "data_sets[0].name")
