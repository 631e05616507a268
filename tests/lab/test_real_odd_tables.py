"""Tables that are not as most are, in one service, by whole runs of the product: disabled, with region replicas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.labkit.lab import Lab
from tests.lab.hbase_peer import HBasePeer
from tests.lab.product import Product

ROWS = ("a", "m", "x")


@pytest.fixture(scope="module")
def peer(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HBasePeer]:
    found = HBasePeer(lab.cluster("a"), tmp_path_factory.mktemp("hbase") / "log")
    yield found
    found.close()


def table(peer: HBasePeer, name: str, attributes: dict[str, str] | None = None) -> str:
    """A table of two regions with three rows."""
    made = peer.name(name)
    peer.create_table_with(f"default:{made}", {"f": {}}, ["m"], attributes)
    for row in ROWS:
        peer.put(made, row, f"value of {row}")
    return made


def by_table(page: dict[str, Any]) -> dict[str, Any]:
    """What a page tells about the snapshot of each table."""
    return {one["name"]: page["snapshots"][one["id"]] for one in page["data_sets"]}


def opened(product: Product, page: dict[str, Any]) -> dict[str, str]:
    """The tables that opening a recovery point has made on the secondary, by what they are of."""
    point = page["recovery_point"]
    product.run("open", point)
    product.wait_for("it is open", lambda: product.ask("recovery-point", "show", point)["summary"]["readable"], 60)
    readable = product.ask("recovery-point", "show", point)["summary"]["readable"]
    return {one["name"]: readable[one["id"]] for one in page["data_sets"]}


def test_a_disabled_table_and_one_with_region_replicas(product: Product, peer: HBasePeer) -> None:
    disabled, replicated = table(peer, "disabled"), table(peer, "replicas", {"REGION_REPLICATION": "2"})
    peer.disable(disabled)
    service = peer.name("odd").replace("_", "-")
    product.protect(service, (), (disabled, replicated), ("--trial-clone-hours", "0"))
    page = product.back_up(service, with_tables=True)
    evidence = {name: snapshot["evidence"] for name, snapshot in by_table(page).items()}
    print(evidence, page["verification"]["trial_clone"])
    assert evidence[disabled]["grade"] == "EXACT"
    assert "disabled from before" in evidence[disabled]["reason"]
    assert peer.call({"do": "tables", "pattern": disabled})["tables"][0]["state"] == "DISABLED", "left as it was"
    assert page["verification"]["trial_clone"]["rows_seen"] == len(ROWS)
