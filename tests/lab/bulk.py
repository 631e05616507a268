"""What copies in bulk on the lab's gateways: which agents, what they may take, and what they tell of their bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.cli.remote.transport import ApiClient
from api.cli.remote.transport import path as resource
from infra.agent.protocol import BULK_KINDS
from scripts.labkit.cluster import Cluster
from tests.lab.breaking import agents_of
from tests.lab.product import Product

WITHIN_SECONDS = 90.0
MEGABYTE = 1_000_000
_OBEYS_WITHIN_SECONDS = 30.0
_SETTLED_SECONDS = 2.0  # twice what an agent takes to obey


def enter(
    client: ApiClient, product: Product, name: str, names: Mapping[str, str], settings: Mapping[str, Any]
) -> None:
    """A service of data sets (name → component) with a policy of its own."""
    data_sets = [{"component": component, "name": data_set} for data_set, component in names.items()]
    client.post(resource("services"), {"name": name, "pair": product.pair, "data_sets": data_sets})
    client.post(resource("policies"), {"name": name, "service": name, "settings": dict(settings)})


def plain(run: str) -> str:
    """A run's id as instructions have it."""
    return run.replace("-", "")


def instructions(cluster: Cluster) -> dict[int, tuple[Path, dict[str, Any]]]:
    """What a gateway's agents are at, in bulk and not ended: process id → its place in the spool, the instruction."""
    found = {}
    for pid, instruction in agents_of(cluster).items():
        place = cluster.layout.spool / "instructions" / instruction
        wire = json.loads((place / "instruction.json").read_text())
        if wire["kind"] in BULK_KINDS and not (place / "outcome.json").exists():
            found[pid] = (place, wire)
    return found


def bulk_agent_of(product: Product, cluster: Cluster, run: str) -> tuple[int, Path]:
    """The agent that copies for a run, when there is one, and its place in the spool."""
    found: list[tuple[int, Path]] = []

    def is_there() -> bool:
        mine = [(pid, place) for pid, (place, wire) in instructions(cluster).items() if wire["run"] == plain(run)]
        found.extend(mine)
        return bool(mine)

    product.wait_for(f"an agent copies for {run}", is_there, WITHIN_SECONDS)
    return found[0]


def wait_until_allowed(product: Product, place: Path, workers: int, megabytes: float | None) -> None:
    """Return when the spool says that the agent may take so much."""

    def is_so() -> bool:
        told = json.loads((place / "allowance.json").read_text())
        rate = told["bytes_per_second"]
        right = rate is None if megabytes is None else rate is not None and abs(rate - megabytes * MEGABYTE) <= 1
        return bool(told["workers"] == workers and right)

    product.wait_for(f"{workers} workers and {megabytes} MB/s are allowed", is_so, _OBEYS_WITHIN_SECONDS)


def moved(place: Path) -> tuple[int, int]:
    """How many bytes an agent has moved, as it has told last, and when that was, in its milliseconds."""
    try:
        lines = (place / "progress.ndjson").read_bytes().rpartition(b"\n")[0].splitlines()
    except FileNotFoundError:
        return 0, 0
    told = [json.loads(line) for line in lines]
    return max(((int(one.get("bytes") or 0), int(one["at_ms"])) for one in told), default=(0, 0))


def settled(product: Product, place: Path) -> int:
    """The bytes that an agent has moved, once they have not grown for twice what it takes to obey."""
    seen = [(-1, time.monotonic())]

    def has_settled() -> bool:
        now_moved, _ = moved(place)
        if now_moved != seen[-1][0]:
            seen.append((now_moved, time.monotonic()))
        return time.monotonic() - seen[-1][1] >= _SETTLED_SECONDS

    product.wait_for("what was in flight has ended", has_settled, _OBEYS_WITHIN_SECONDS)
    return seen[-1][0]


def told_after(product: Product, place: Path, after_ms: float) -> tuple[int, int]:
    """What an agent tells of its bytes when that instant has passed."""
    found = [moved(place)]

    def is_later() -> bool:
        found.append(moved(place))
        return found[-1][1] > after_ms

    product.wait_for("the agent tells how far it is", is_later, WITHIN_SECONDS)
    return found[-1]
