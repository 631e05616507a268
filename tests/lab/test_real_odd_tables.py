"""Tables that are not as most are, by whole runs of the product: disabled, with replicas, with classes of their own.

A table with a coprocessor whose class is nowhere cannot be open anywhere: it is altered while it is disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.hbase_peer import Families, HBasePeer
from tests.lab.product import Product

ROWS = ("a", "m", "x")
UNCHECKED = {"hbase.table.sanity.checks": "false"}
NOWHERE = {
    "coprocessor$1": "hdfs:///jars/nowhere.jar|com.example.Nowhere|1001|",
    "coprocessor$2": "|org.apache.hadoop.hbase.coprocessor.Nowhere|1002|",
    "SPLIT_POLICY": "com.example.SplitPolicy",
}


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


def spoil(peer: HBasePeer, name: str, families: Families, attributes: dict[str, str]) -> None:
    """Give a disabled table what no server could load."""
    peer.disable(name)
    peer.alter(name, families, {**UNCHECKED, **attributes})


def test_odd_tables_are_backed_up_tried_and_opened(product: Product, peer: HBasePeer, cluster_b: Cluster) -> None:
    spoilt, replicated = table(peer, "spoilt"), table(peer, "replicas", {"REGION_REPLICATION": "2"})
    long = table(peer, "n" * 165)
    peer.console.run(f"split({replicated!r}, 'c')")  # its daughters refer to the parent's file
    spoil(peer, spoilt, {}, NOWHERE)
    service = peer.name("odd").replace("_", "-")
    product.protect(service, (), (spoilt, replicated, long), ("--trial-clone-hours", "0"))
    before = cluster_b.facts("regionserver")
    page = product.back_up(service, with_tables=True)
    warned = [one for one in page["warnings"] if one["code"] == "COPROCESSORS"]
    assert [one["subject"] for one in warned] == [spoilt]
    assert all(name.rpartition("|")[0] in warned[0]["message"] or "Nowhere" in warned[0]["message"] for name in NOWHERE)
    snapshots = {one["name"]: page["snapshots"][one["id"]] for one in page["data_sets"]}
    assert snapshots[spoilt]["evidence"]["grade"] == "EXACT"
    assert "disabled from before" in snapshots[spoilt]["evidence"]["reason"]
    assert peer.call({"do": "tables", "pattern": spoilt})["tables"][0]["state"] == "DISABLED", "left as it was"
    assert page["verification"]["trial_clone"]["rows_seen"] == len(ROWS)
    opened = open_all(product, page)
    print(page["verification"]["trial_clone"], opened)
    assert any("com.example.Nowhere" in text for text in opened[spoilt]["left_out"])
    assert opened[replicated]["left_out"] == ["REGION_REPLICATION 2"]
    assert "left_out" not in opened[long]
    for name, told in opened.items():
        with cluster_b.hbase() as connection:
            found = {row.decode() for row, _ in connection.table(told["readable"]).scan()}
        assert found == set(ROWS), name
    refused = product.attempt("recovery-point", "expire", page["recovery_point"], "--yes")
    assert "error HELD" in refused.stderr, "it is open"
    product.run("close", page["recovery_point"], "--yes")
    after = cluster_b.facts("regionserver")
    assert before is not None
    assert after is not None, "the RegionServer is there"
    assert after.pid == before.pid, "and never was another one"


def open_all(product: Product, page: dict[str, Any]) -> dict[str, Any]:
    """What opening a recovery point has made on the secondary, by table."""
    point = page["recovery_point"]
    product.run("open", point)
    product.wait_for("it is open", lambda: product.ask("recovery-point", "show", point)["state"] == "OPEN", 60)
    readable = product.ask("recovery-point", "show", point)["summary"]["readable"]
    return {one["name"]: readable[one["id"]] for one in page["data_sets"]}


@pytest.mark.parametrize("code", ["CODEC_MISSING", "TABLE_NAME_LONG"])
def test_a_table_that_the_secondary_could_never_open_is_told_in_the_check(
    product: Product, peer: HBasePeer, code: str
) -> None:
    made = table(peer, "n" * 200 if code == "TABLE_NAME_LONG" else "codec")
    if code == "CODEC_MISSING":
        spoil(peer, made, {"f": {"COMPRESSION": "LZO"}}, {})
    service = peer.name("never").replace("_", "-")
    product.protect(service, (), (made,))
    page = product.fail_to_back_up(service, with_tables=True)
    print(page["failure"])
    assert (page["failure"]["code"], page["snapshots"]) == (code, {})
    assert page["failure"]["subject"] == made
