"""What clones are called: for people, one name for one table of one recovery point, and what was opened before."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core import clone_names
from infra.agent.core.clone_names import (
    clone_of_snapshot,
    clone_of_table,
    clones_of_table,
    digest_of,
    is_clone_of_table,
    names_in_clones,
    parse_clone_of_snapshot,
)
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.agent.hbase_world import TABLE, World

POINT = "ba92b7ca" + "0123456789abcdef01234567"
SCRATCH = "shop_ba92b7ca"
BY_TABLE: dict[str, Any] = {"scratch": SCRATCH, "by_table": True}
WORDS = st.from_regex(r"[A-Za-z0-9_ü表][A-Za-z0-9_ü表.-]{0,40}", fullmatch=True)
NAMESPACES = st.from_regex(r"(default:|[a-z_ü]{1,5}:)?", fullmatch=True)
LONG = st.builds(lambda word, times: word * times, WORDS, st.sampled_from([1, 10]))
TABLES = st.builds(lambda namespace, name: f"{namespace}{name[:200]}", NAMESPACES, LONG)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.fill("one")
    world.backup("us-r1")
    return world


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("orders", "shop_ba92b7ca_orders"),
        ("default:orders", "shop_ba92b7ca_orders"),
        ("eu:orders", "shop_ba92b7ca_eu.orders"),
        ("or.ders", "shop_ba92b7ca_default.or.ders"),
        ("größe:表-1", "shop_ba92b7ca_größe.表-1"),
        ("orders_20260101", "shop_ba92b7ca_orders_20260101"),
        ("n" * 120, "shop_ba92b7ca_" + "n" * 120),
    ],
)
def test_a_table_is_called_by_service_recovery_point_and_itself(table: str, name: str) -> None:
    assert clone_of_table(SCRATCH, table) == f"understudy_scratch:{name}"


@pytest.mark.parametrize("table", ["n" * 121, "表" * 41, "orders-0123456789abcdef"])
def test_a_long_table_is_cut_and_has_a_digest(table: str) -> None:
    cut = clone_of_table(SCRATCH, table).removeprefix(f"understudy_scratch:{SCRATCH}_")
    assert len(cut.encode()) <= 120
    assert cut[:-17] == table[: len(cut) - 17]
    assert clone_of_table(SCRATCH, cut) != clone_of_table(SCRATCH, table)


@given(TABLES, TABLES)
def test_no_two_tables_have_the_same_name_and_each_fits_hbase_and_hdfs(table: str, other: str) -> None:
    def qualified(name: str) -> str:
        return name if ":" in name else f"default:{name}"

    scratch = "s" * 47 + "_" + POINT
    clone = clone_of_table(scratch, table)
    assert (clone == clone_of_table(scratch, other)) == (qualified(table) == qualified(other))
    assert is_clone_of_table(clone, POINT, table)
    assert fnmatchcase(clone, clones_of_table(POINT, table))
    assert is_clone_of_table(clone, POINT, other) == (qualified(table) == qualified(other))
    namespace, _, name = clone.partition(":")
    assert len(f"{'r' * 32}.{namespace}={name}".encode()) <= 255, "the name of a link's way back"


@pytest.mark.parametrize(
    "scratch",
    ["shop", "shop_ba92b7", "shop_BA92B7CA", "_ba92b7ca", "sh.op_ba92b7ca", "shop_ba92b7ca_", "s" * 80 + "_ba92b7ca",
     "shop_ba92b7ca_ba92b7ca", "shop_ba92b7ca\n", "trial", "look"],
)  # fmt: skip
def test_what_tells_no_recovery_point_is_refused(scratch: str) -> None:
    with pytest.raises(OperationFailed, match="MALFORMED"):
        clone_of_table(scratch, "orders")


@pytest.mark.parametrize(
    "clone",
    [
        "shop_ba92b7cb_orders",
        "shop_ba92b7ca1_orders",
        "shop_ba92b7ca_orders2",
        "shop_ba92b7ca_eu.orders",
        "shop_11111111_ba92b7ca_orders",
        "shop_ba92b7_orders",
        "orders",
        "understudy_scratch_ba92b7ca0123_1.us-r1-default.orders",
        "trial.us-r1-default.orders",
    ],
)
def test_other_tables_are_not_taken_for_clones_of_it(clone: str) -> None:
    assert not is_clone_of_table(f"understudy_scratch:{clone}", POINT, "orders")
    assert is_clone_of_table("understudy_scratch:shop_ba92b7ca0_orders", POINT, "orders")


def test_an_opened_table_is_read_holds_its_snapshot_and_is_closed(world: World) -> None:
    told = world.run(world.instruction("OpenCopies", "us-r1", **BY_TABLE))
    clone = clone_of_table(SCRATCH, TABLE)
    assert told["readable"] == clone
    assert world.secondary.scan(clone) == world.contents_at("us-r1")[0]
    assert world.run(world.instruction("OpenCopies", "us-r1", **BY_TABLE))["readable"] == clone, "it is taken"
    with pytest.raises(OperationFailed, match="CLONE_LIVES") as caught:
        world.run(world.instruction("RemoveSnapshots", "us-r1", recovery_point=POINT))
    assert caught.value.detail == {"table": clone}
    assert world.run(world.instruction("CloseCopies", "us-r1", **BY_TABLE)) == {"removed": [clone]}
    assert world.run(world.instruction("CloseCopies", "us-r1", **BY_TABLE)) == {"removed": []}
    removed = world.run(world.instruction("RemoveSnapshots", "us-r1", recovery_point=POINT))
    assert removed["removed"] == [hbase_snapshot_name("us-r1", TABLE)]


def test_a_recovery_point_with_the_very_beginning_that_a_clone_names_waits_until_it_is_closed(world: World) -> None:
    """It came after the opening, or the opening would have more digits: nothing is removed in doubt."""
    world.run(world.instruction("OpenCopies", "us-r1", **BY_TABLE))
    with pytest.raises(OperationFailed, match="CLONE_LIVES"):
        world.run(world.instruction("RemoveSnapshots", "us-r0", recovery_point=POINT[:8] + "f" * 24))


def test_a_clone_of_another_recovery_point_is_in_nobodys_way(world: World) -> None:
    world.run(world.instruction("OpenCopies", "us-r1", scratch="shop_ba92b7cb", by_table=True))
    assert world.run(world.instruction("CloseCopies", "us-r1", **BY_TABLE)) == {"removed": []}
    world.fill("two")
    world.backup("us-r2")
    assert world.run(world.instruction("RemoveSnapshots", "us-r2", recovery_point=POINT))["removed"]
    assert world.run(world.instruction("RemoveSnapshots", "us-r2", recovery_point=None))["absent"]
    assert clone_of_table("shop_ba92b7cb", TABLE) in world.secondary.tables


def test_what_was_opened_before_is_closed_and_what_is_opened_now_stays(world: World) -> None:
    before = {"scratch": "understudy_scratch_ba92b7ca0123_1"}
    old = world.run(world.instruction("OpenCopies", "us-r1", **before))["readable"]
    assert old == f"understudy_scratch:{before['scratch']}.{hbase_snapshot_name('us-r1', TABLE)}"
    new = world.run(world.instruction("OpenCopies", "us-r1", **BY_TABLE))["readable"]
    assert world.run(world.instruction("CloseCopies", "us-r1", **before)) == {"removed": [old]}
    assert set(world.secondary.tables) == {new}


@pytest.mark.parametrize("length", [20, 180])
def test_a_clone_of_a_table_with_a_long_name_is_found_closed_and_holds_its_snapshot(length: int) -> None:
    snapshot = hbase_snapshot_name("us-20261130T231819Z-cd0275bd0dea", "t" * length)
    table = clone_of_snapshot("understudy_scratch_28a90310d317_1", snapshot)
    assert len(table.partition(":")[2].encode()) <= 203
    purpose, cloned = parse_clone_of_snapshot(table)
    assert purpose == "understudy_scratch_28a90310d317_1"
    assert cloned in names_in_clones(snapshot)
    assert (cloned == snapshot) == (length == 20)


def test_an_opened_clone_that_is_named_by_a_digest_holds_its_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone_names, "_LONGEST_NAME_BYTES", 20)
    told = world.run(world.instruction("OpenCopies", "us-r1", scratch="look"))
    assert told["readable"].partition(".")[2] == digest_of(hbase_snapshot_name("us-r1", TABLE))
    with pytest.raises(OperationFailed) as caught:
        world.run(world.instruction("RemoveSnapshots", "us-r1"))
    assert caught.value.code == "CLONE_LIVES"
    assert world.run(world.instruction("CloseCopies", "us-r1", scratch="look"))["removed"] == [told["readable"]]
    assert world.run(world.instruction("RemoveSnapshots", "us-r1"))["removed"]
