"""What happens to real tables between and during runs: each increment equal, and holding what is new alone."""

from __future__ import annotations

import time

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hbase_layout import ARCHIVE, DATA
from infra.agent.core.operations import CopyRange, Operation
from infra.agent.protocol import hbase_snapshot_name
from tests.lab.hbase_pair import LONG_AGO_MS, ROOT, RealTables

PREFIXES = "ahq"  # of rows, one in each region
PUTS = 5_000


@pytest.fixture
def table(pair: RealTables) -> str:
    """A table of three regions and one family with thirty rows, flushed."""
    name = f"default:{pair.source.name('changed')}"
    pair.source.create_table(name, ("d",), ("g", "p"))
    for prefix in PREFIXES:
        pair.source.console.run(f"fill({name!r}, %w[d], {prefix!r}, 10, 3)")
    pair.source.call({"do": "flush", "table": name})
    return name


@pytest.mark.by_hand
def test_regions_split_merged_and_moved_between_runs(pair: RealTables, table: str, run: str) -> None:
    """New regions refer to files that are there; only compactions write files, and they rewrite all they touch."""
    pair.backup(run, table)
    moved = []
    changes = [
        f"split({table!r}, 'a-00005')",
        f"compact({table!r}); reopen({table!r})",
        f"merge({table!r}, 'a-00000')",
        f"reopen({table!r})",
    ]
    for number, change in enumerate(changes, start=2):
        pair.source.console.run(change)
        base = run if number == 2 else f"{run}-{number - 1}"
        moved.append(pair.backup(f"{run}-{number}", table, base=base)["files_moved"])
    assert moved == [0, 4, 0, 0]
    for number in (2, 4, 5):
        pair.assert_equal(f"{run}-{number}", table, 30)


@pytest.mark.parametrize("change", ["split", "merge"])
def test_a_region_that_splits_or_merges_between_the_snapshot_and_the_copy(
    pair: RealTables, table: str, run: str, change: str
) -> None:
    """Its compactions let go of the parents' files, and the janitor of the parents: all is in the archive by then."""
    pair.take(run, table)
    taken = pair.files_on("primary", run, table)
    how = f"split({table!r}, 'a-00005')" if change == "split" else f"merge({table!r}, 'a-00000')"
    pair.source.console.run(how)
    pair.source.console.run(f"compact({table!r}); reopen({table!r})")
    pair.source.console.run("$admin.runCatalogJanitor")
    _archive_is_old(pair, run, table)
    first = pair.finish(run, table, pair.send_taken(run, table))
    assert first["files_moved"] == len(taken) == 3
    pair.assert_equal(run, table, 30)
    second = pair.backup(f"{run}-2", table, base=run)
    assert second["files_moved"] == second["files"] == (4 if change == "split" else 2)
    pair.assert_equal(f"{run}-2", table, 30)


def _archive_is_old(pair: RealTables, run: str, table: str) -> None:
    """Everything that the snapshot names is in the archive, old enough for the cleaner, which has just worked.

    That it has, is shown by an old file that nothing names. The janitor of parents only orders procedures, so it is
    waited for, and asked once more.
    """
    give_up_at = time.monotonic() + 60
    while elsewhere := [path for path in pair.files_on("primary", run, table) if f"{ROOT}/{ARCHIVE}/" not in path]:
        assert time.monotonic() < give_up_at, elsewhere
        pair.source.console.run("$admin.runCatalogJanitor")
        time.sleep(1)
    for path in pair.files_on("primary", run, table):
        pair.ask(hdfs.set_modification_time("primary", path, LONG_AGO_MS))
    stray = pair.plant_stray("primary", table)
    pair.source.console.run("$admin.runCleanerChore")
    assert pair.ask(hdfs.status("primary", stray)) is None


def test_compaction_and_archive_cleaning_during_the_copy(pair: RealTables, table: str, run: str) -> None:
    """The files leave the table's directory when all of them have been found there and the first is being copied."""
    pair.take(run, table)
    assert all(path.startswith(f"{ROOT}/{DATA}/") for path in pair.files_on("primary", run, table))
    copied_from: list[str] = []

    def compact(_: int, operation: Operation) -> None:
        if not isinstance(operation, CopyRange):
            return
        if not copied_from:
            pair.source.console.run(f"compact({table!r}); reopen({table!r})")
            _archive_is_old(pair, run, table)
        copied_from.append(operation.source_path)

    first = pair.finish(run, table, pair.send_taken(run, table, disturb=compact))
    assert first["files_moved"] == 3
    assert any(path.startswith(f"{ROOT}/{DATA}/") for path in copied_from), "it was looked for where it had been"
    assert len([path for path in copied_from if path.startswith(f"{ROOT}/{ARCHIVE}/")]) == 3
    pair.assert_equal(run, table, 30)
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"]) == (3, 3), "all are new, no row has changed"
    assert pair.assert_equal(f"{run}-2", table) == pair.assert_equal(run, table)


def test_a_table_that_is_altered_between_runs(pair: RealTables, table: str, run: str) -> None:
    first = pair.backup(run, table)
    pair.source.alter(table, {"d": {"VERSIONS": "5", "COMPRESSION": "GZ"}, "e": {}}, {"MAX_FILESIZE": "2147483648"})
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files_moved"], second["bytes_moved"]) == (0, 0), "the descriptor alone has changed"
    assert (second["content_digest"], second["metadata_digest"] == first["metadata_digest"]) == (
        first["content_digest"],
        False,
    )
    pair.source.console.run(f"fill({table!r}, %w[d e], 'h', 10, 3)")
    third = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert third["files_moved"] == 2
    pair.assert_equal(f"{run}-3", table, 50)
    pair.source.console.run(f"drop_family({table!r}, 'd')")
    fourth = pair.backup(f"{run}-4", table, base=f"{run}-3")
    assert (fourth["files"], fourth["files_moved"], fourth["deleted"]) == (1, 0, 4)
    assert all("/e:" in cell for cell in pair.assert_equal(f"{run}-4", table, 10))
    pair.assert_equal(run, table, 30)


@pytest.mark.parametrize("how", ["truncated", "dropped and recreated"])
def test_a_table_that_begins_anew_between_runs(pair: RealTables, table: str, run: str, how: str) -> None:
    """Its regions have other names than before, so nothing of the old table is taken for the new one's."""
    pair.backup(run, table)
    if how == "truncated":
        pair.source.console.run(f"truncate({table!r}, true)")
    else:
        pair.source.console.run(f"drop({table!r})")
        pair.source.create_table(table, ("d", "new"), ())
    empty = pair.backup(f"{run}-2", table, base=run)
    assert (empty["files"], empty["files_moved"], empty["deleted"]) == (0, 0, 3)
    pair.assert_equal(f"{run}-2", table, 0)
    pair.source.console.run(f"fill({table!r}, %w[d], 'a', 10, 3)")
    again = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert (again["files"], again["files_moved"]) == (1, 1)
    pair.assert_equal(f"{run}-3", table, 10)
    pair.assert_equal(run, table, 30)


@pytest.mark.by_hand
def test_a_table_that_is_set_back_to_an_older_snapshot(pair: RealTables, table: str, run: str) -> None:
    """Its regions then hold links to what had been compacted away; all of it is there since the first run."""
    pair.backup(run, table)
    pair.source.console.run(f"fill({table!r}, %w[d], 'h2', 10, 3)")
    pair.source.call({"do": "flush", "table": table})
    pair.source.console.run(f"compact({table!r}); reopen({table!r})")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"]) == (3, 3)
    pair.source.console.run(f"restore({table!r}, {hbase_snapshot_name(run, table)!r})")
    third = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert (third["files"], third["files_moved"]) == (3, 3), "the base is the second run: only what it names is sure"
    assert pair.assert_equal(f"{run}-3", table, 30) == pair.assert_equal(run, table, 30)
    fourth = pair.backup(f"{run}-4", table, base=run)
    assert fourth["files_moved"] == 0


def test_heavy_writing_throughout(pair: RealTables, table: str, run: str) -> None:
    """Rows are overwritten and added all the time, in every region, flushed and compacted as HBase likes."""
    pair.backup(run, table)
    pair.source.console.run(f"begin_load({table!r}, %w[d], {[*PREFIXES]})")
    counts = []
    try:
        for number in (2, 3, 4):
            base = run if number == 2 else f"{run}-{number - 1}"
            sent = pair.backup(f"{run}-{number}", table, base=base)
            moved = pair.moved(f"{run}-{number}")
            assert len(moved) == sent["files_moved"] <= sent["files"]
            assert len({path.split("/")[2] for path in moved}) == len(PREFIXES), "something is new in every region"
            counts.append(len(pair.assert_equal(f"{run}-{number}", table)))
    finally:
        puts = pair.source.console.run("end_load")
    print(f"\nputs: {puts}")
    assert len(puts) == len(PREFIXES)
    assert min(puts) > PUTS, puts
    assert 30 < counts[0] < counts[1] < counts[2]
