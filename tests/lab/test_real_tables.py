"""What real tables contain, backed up between the lab's two clusters in full and by increments, and compared."""

from __future__ import annotations

import string
import time
from collections.abc import Iterable

import pytest

from infra.agent.core import hdfs
from tests.lab.hbase_pair import ROOT, RealTables
from tests.lab.hbase_peer import MOB_FROM_100_BYTES

SETTINGS = {
    "plain": {},
    "gz": {"COMPRESSION": "GZ", "BLOCKSIZE": "4096", "BLOOMFILTER": "ROWCOL"},
    "versions": {"VERSIONS": "3", "MIN_VERSIONS": "2", "KEEP_DELETED_CELLS": "TRUE", "BLOOMFILTER": "NONE"},
    "diff": {"DATA_BLOCK_ENCODING": "FAST_DIFF", "IN_MEMORY": "true", "BLOCKCACHE": "false"},
    "prefix": {"DATA_BLOCK_ENCODING": "PREFIX", "COMPRESSION": "GZ", "TTL": "864000"},
    "rows": {"DATA_BLOCK_ENCODING": "ROW_INDEX_V1", "DFS_REPLICATION": "1", "CACHE_DATA_ON_WRITE": "true"},
    "mob": MOB_FROM_100_BYTES,
    "with space & %41+#?;=": {},
    "übergrößen": {},
}
ATTRIBUTES = {"DURABILITY": "SYNC_WAL", "MAX_FILESIZE": "1073741824", "NOTE": "naïve; 'quoted' \"twice\""}
MEBIBYTE = 1 << 20
DAY_MS = 86_400_000


def ruby_words(words: Iterable[str]) -> str:
    return "[" + ", ".join(repr(word) for word in words) + "]"


def test_families_of_many_kinds_in_a_namespace_of_its_own(pair: RealTables, run: str) -> None:
    """The secondary has no such namespace, and needs none: it keeps snapshots."""
    namespace = pair.source.name("größe")
    table = f"{namespace}:_odd.name-表.all-three_{pair.source.name('t')}-."
    pair.source.console.run(f"create_namespace({namespace!r})")
    pair.source.create_table_with(table, SETTINGS, ["g"], ATTRIBUTES)
    for prefix in "aq":
        pair.source.console.run(f"fill({table!r}, {ruby_words(SETTINGS)}, {prefix!r}, 20, 20)")
    now_ms = int(time.time() * 1000)
    pair.source.console.run(f"put_at({table!r}, 'versions', 'a-00003', {[now_ms - 9_000 - n for n in range(5)]})")
    pair.source.console.run(f"delete_row({table!r}, 'a-00004')")
    first = pair.backup(run, table)
    # A file for each family of each region, and one with the medium-sized objects of each region beside it.
    assert first["files"] == first["files_moved"] == 2 * len(SETTINGS) + 2
    cells = pair.assert_equal(run, table)
    assert any("Delete" in cell for cell in cells)
    assert pair.ask(hdfs.status("secondary", f"{ROOT}/data/{namespace}")) is None
    pair.source.console.run(f"fill({table!r}, ['gz', 'übergrößen'], 'a2', 20, 20)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files_moved"], second["entries_in_base"]) == (2, first["files"])
    pair.assert_equal(f"{run}-2", table, len(cells) + 40)


@pytest.mark.parametrize("regions", [16, pytest.param(40, marks=pytest.mark.by_hand)])
def test_many_regions(pair: RealTables, run: str, regions: int) -> None:
    table = f"default:{pair.source.name('regions')}"
    splits = [f"{first}{second}" for first in string.ascii_lowercase for second in "am"][1:regions]
    pair.source.create_table_with(table, {"f": {}}, splits)
    for start in ("a", *splits):
        pair.source.console.run(f"fill({table!r}, %w[f], {start!r}, 2, 3)")
    first = pair.backup(run, table)
    assert (first["files"], first["files_moved"]) == (regions, regions)
    assert first["digest"]["trial_clone"]["rows_seen"] == 2 * regions
    pair.source.console.run(f"fill({table!r}, %w[f], {splits[7]!r}, 1, 4)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"]) == (regions + 1, 1)
    pair.assert_equal(f"{run}-2", table, 2 * regions + 1)


def test_large_cells(pair: RealTables, run: str) -> None:
    """Their file goes over in pieces that are joined; a block of it is larger than a piece."""
    table = f"default:{pair.source.name('large')}"
    pair.source.create_table_with(table, {"f": {}}, [])
    pair.source.console.run(f"fill_large({table!r}, 'f', %w[a b c], {4 * MEBIBYTE})")
    pair.source.console.run(f"fill_large({table!r}, 'f', %w[d], {9 * MEBIBYTE})")
    first = pair.backup(run, table)
    assert first["bytes_moved"] > 21 * MEBIBYTE
    pair.assert_equal(run, table, 4)
    pair.source.console.run(f"fill_large({table!r}, 'f', %w[e], {3 * MEBIBYTE})")
    second = pair.backup(f"{run}-2", table, base=run)
    assert second["files_moved"] == 1
    assert 3 * MEBIBYTE < second["bytes_moved"] < 4 * MEBIBYTE
    pair.assert_equal(f"{run}-2", table, 5)


def test_bulk_loaded_files(pair: RealTables, run: str) -> None:
    """They have another kind of name than flushed ones, with the sequence number of their loading."""
    table = f"default:{pair.source.name('bulk')}"
    pair.source.create_table_with(table, {"f": {}}, ["m"])
    pair.source.console.run(f"fill({table!r}, %w[f], 'a', 5, 3)")
    pair.source.console.run(f"bulk_load({table!r}, 'f', 'b', 20)")
    first = pair.backup(run, table)
    assert first["files_moved"] == 2
    assert any("_SeqId_" in path for path in pair.files_on_secondary(run, table))
    pair.assert_equal(run, table, 25)
    pair.source.console.run(f"bulk_load({table!r}, 'f', 'x', 10)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert second["files_moved"] == 1
    pair.assert_equal(f"{run}-2", table, 35)


def test_rows_that_expire_between_the_moment_and_the_copy(pair: RealTables, run: str) -> None:
    """By the time of the copy the live table has let go of them; the snapshot has them, and so has the copy."""
    table = f"default:{pair.source.name('ttl')}"
    pair.source.create_table_with(table, {"short": {}, "long": {"TTL": "864000"}}, [])
    pair.source.console.run(f"fill({table!r}, %w[short long], 'a', 10, 3)")
    pair.source.call({"do": "flush", "table": table})
    # Only now, because a flush, too, leaves out what has expired.
    pair.source.alter(table, {"short": {"TTL": "1"}})
    pair.take(run, table)
    time.sleep(1.1)
    pair.source.console.run(f"compact({table!r}); reopen({table!r})")
    assert not any("/short:" in cell for cell in pair.source.console.run(f"scan({table!r})"))
    first = pair.finish(run, table, pair.send_taken(run, table))
    assert (first["files"], first["files_moved"]) == (2, 2)
    cells = pair.assert_equal(run, table, 20, with_expired=True)
    assert len([cell for cell in cells if "/short:" in cell]) == 10
    second = pair.backup(f"{run}-2", table, base=run)
    assert second["files_moved"] == second["files"]
    pair.assert_equal(f"{run}-2", table, 10, with_expired=True)


def test_medium_sized_objects_by_increments_and_compacted(pair: RealTables, run: str) -> None:
    """A snapshot names every file of objects that is there, also one to which no row leads any more."""
    table = f"default:{pair.source.name('mob')}"
    pair.source.create_table_with(table, {"m": MOB_FROM_100_BYTES}, [])
    pair.source.console.run(f"fill({table!r}, %w[m], 'a', 10, 40)")
    first = pair.backup(run, table)
    assert (first["files"], first["files_moved"]) == (2, 2)
    pair.source.console.run(f"fill({table!r}, %w[m], 'b', 10, 40)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"]) == (4, 2)
    pair.source.console.run(f"compact({table!r}); reopen({table!r})")
    third = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert (third["files"], third["files_moved"]) == (4, 2), "objects are rewritten, too, and the old ones still there"
    nothing = pair.backup(f"{run}-4", table, base=f"{run}-3")
    assert (nothing["files"], nothing["files_moved"]) == (4, 0)
    assert pair.assert_equal(f"{run}-4", table, 20) == pair.assert_equal(f"{run}-2", table, 20)


def test_a_clone_of_a_clone(pair: RealTables, run: str) -> None:
    """What it leads to is the first table's, the first clone's and its own; both others are dropped."""
    first, second, third = (f"default:{pair.source.name(name)}" for name in ("origin", "clone", "again"))
    pair.source.create_table_with(first, {"f": {}}, ["m"])
    for table, following in ((first, second), (second, third)):
        pair.source.console.run(f"fill({table!r}, %w[f], {table[-6:]!r}, 10, 3); fill({table!r}, %w[f], 'x', 5, 3)")
        name = f"{run}-of-{table.rpartition('_')[2]}"
        pair.source.console.run(f"$admin.snapshot({name!r}, TableName.valueOf({table!r}))")
        pair.source.console.run(f"$admin.cloneSnapshot({name!r}, TableName.valueOf({following!r}))")
    pair.source.console.run(f"drop({first!r}); drop({second!r})")
    sent = pair.backup(run, third)
    owners = {path.split("/")[-4] for path in pair.files_on_secondary(run, third)}
    assert owners == {first.partition(":")[2], second.partition(":")[2]}
    cells = pair.assert_equal(run, third)
    pair.source.console.run(f"fill({third!r}, %w[f], 'own', 5, 3)")
    more = pair.backup(f"{run}-2", third, base=run)
    assert (more["files"], more["files_moved"]) == (sent["files"] + 1, 1)
    pair.assert_equal(f"{run}-2", third, len(cells) + 5)


def test_a_table_whose_files_are_tracked_by_a_list(pair: RealTables, run: str) -> None:
    """HBase 2.5 and later can keep a list of each family's files beside them (``.filelist``): no store file itself."""
    table = f"default:{pair.source.name('tracked')}"
    pair.source.create_table_with(table, {"f": {}}, ["m"], {"hbase.store.file-tracker.impl": "FILE"})
    pair.source.console.run(f"fill({table!r}, %w[f], 'a', 10, 3); fill({table!r}, %w[f], 'x', 10, 3)")
    first = pair.backup(run, table)
    assert (first["files"], first["files_moved"]) == (2, 2)
    pair.source.console.run(f"split({table!r}, 'a-00005')")
    second = pair.backup(f"{run}-2", table, base=run)
    assert second["files_moved"] == 0
    pair.assert_equal(f"{run}-2", table, 20)
