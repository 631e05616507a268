"""Tables copied between the lab's two clusters by the agent's procedures, compared by scanning clones on both sides."""

from __future__ import annotations

import pytest

from infra.agent.core import hbase_clones, hdfs
from infra.agent.core.hbase_snapshot import read_snapshot
from infra.agent.core.operations import CopyRange, Operation, OperationFailed
from infra.agent.protocol import hbase_snapshot_name
from tests.lab.breaking import limit
from tests.lab.hbase_pair import LONG_AGO_MS, ROOT, RealTables
from tests.lab.hbase_peer import MOB_FROM_100_BYTES


@pytest.fixture
def table(pair: RealTables) -> str:
    """A table of three regions and two families with sixty rows of two cells, flushed."""
    name = f"default:{pair.source.name('copied')}"
    pair.source.create_table(name, ("d", "e"), ("g", "p"))
    for prefix in "ahq":
        pair.source.console.run(f"fill({name!r}, %w[d e], {prefix!r}, 20, 3)")
    pair.source.call({"do": "flush", "table": name})
    return name


@pytest.mark.by_hand
def test_increments_copy_new_files_alone(pair: RealTables, table: str, run: str) -> None:
    first = pair.backup(run, table)
    assert (first["files"], first["files_moved"], first["full"]) == (6, 6, True)
    assert first["digest"]["trial_clone"]["rows_seen"] == 60
    pair.assert_equal(run, table, 120)
    for prefix in "ah":
        pair.source.console.run(f"fill({table!r}, %w[d], {f'{prefix}2'!r}, 5, 3)")
    second = pair.backup(f"{run}-2", table, base=run)
    assert (second["files"], second["files_moved"], second["entries_in_base"]) == (8, 2, 6)
    pair.assert_equal(f"{run}-2", table, 130)
    pair.source.console.run(f"compact({table!r})")
    third = pair.backup(f"{run}-3", table, base=f"{run}-2")
    assert third["files"] == 6
    pair.assert_equal(f"{run}-3", table, 130)
    nothing = pair.backup(f"{run}-4", table, base=f"{run}-3")
    assert (nothing["files_moved"], nothing["bytes_moved"]) == (0, 0)
    removed = pair.step("RemoveSnapshots", run, table, {})
    assert removed["removed"] == [hbase_snapshot_name(run, table)]
    pair.assert_equal(f"{run}-2", table, 130)


@pytest.mark.by_hand
def test_a_table_that_was_split(pair: RealTables, table: str, run: str) -> None:
    pair.source.console.run(f"split({table!r}, 'a-00010')")
    pair.source.console.run(f"fill({table!r}, %w[d], 'a-new', 5, 3)")
    directory = f"{ROOT}/.hbase-snapshot/{hbase_snapshot_name(run, table)}"
    pair.backup(run, table)
    snapshot = pair.ask(read_snapshot("secondary", directory))
    assert any(file.is_whole_reference for region in snapshot.regions for file in region.files)
    pair.assert_equal(run, table, 125)


def test_a_table_that_is_a_clone_of_a_split_one(pair: RealTables, table: str, run: str) -> None:
    pair.source.console.run(f"split({table!r}, 'a-00010')")
    clone = f"default:{pair.source.name('cloned')}"
    pair.source.console.run(f"$admin.snapshot('{run}-origin', TableName.valueOf({table!r}))")
    pair.source.console.run(f"$admin.cloneSnapshot('{run}-origin', TableName.valueOf({clone!r}))")
    pair.source.console.run(f"fill({clone!r}, %w[d e], 'own', 5, 3)")
    # Its origin goes: what the clone leads to is in the archive alone.
    pair.source.console.run(f"drop({table!r})")
    pair.backup(run, clone)
    assert any(table.partition(":")[2] in path for path in pair.files_on_secondary(run, clone))
    pair.assert_equal(run, clone, 130)


def test_a_disabled_table(pair: RealTables, table: str, run: str) -> None:
    pair.source.disable(table)
    pair.backup(run, table)
    pair.assert_equal(run, table, 120)


def test_medium_sized_objects(pair: RealTables, run: str) -> None:
    table = f"default:{pair.source.name('mob')}"
    pair.source.create_table_with(table, {"m": MOB_FROM_100_BYTES, "d": {}}, [])
    pair.source.console.run(f"fill({table!r}, %w[m d], 'a', 20, 40)")
    pair.backup(run, table)
    pair.assert_equal(run, table, 40)
    clone = f"default:{pair.source.name('mobclone')}"
    pair.source.console.run(f"$admin.cloneSnapshot({hbase_snapshot_name(run, table)!r}, TableName.valueOf({clone!r}))")
    with pytest.raises(OperationFailed) as caught:
        pair.send(f"{run}-2", clone)
    assert caught.value.code == "MOB_LINKS"


def test_the_cleaner_spares_what_is_applied(pair: RealTables, table: str, run: str) -> None:
    """The control is an old file of the same archive that nothing names: the very same cleaner takes it."""
    pair.send(run, table)
    stray = pair.plant_stray("secondary", table)
    pair.apply(run, table, disturb=lambda number, _: _clean(pair) if number % 30 == 0 else None)
    files = pair.files_on_secondary(run, table)
    assert len(files) == 6
    for path in files:
        pair.ask(hdfs.set_modification_time("secondary", path, LONG_AGO_MS))
    _clean(pair)
    assert pair.ask(hdfs.status("secondary", stray)) is None
    assert pair.files_on_secondary(run, table) == files
    pair.assert_equal(run, table, 120)


def _clean(pair: RealTables) -> None:
    pair.target.console.run("$admin.runCleanerChore")


@pytest.mark.parametrize("quotas", [(3, -1), (-1, 1 << 10)], ids=["names", "space"])
def test_quota_of_staging_reached_during_the_copy(
    pair: RealTables, table: str, run: str, quotas: tuple[int, int]
) -> None:
    cluster, incoming = pair.target.cluster, f"/.understudy/incoming/{pair.epoch}"
    limited: list[int] = []

    def limit_once(number: int, operation: Operation) -> None:
        if isinstance(operation, CopyRange) and not limited:
            limited.append(number)
            limit(cluster, incoming, *quotas)

    try:
        with pytest.raises(OperationFailed) as caught:
            pair.send(run, table, disturb=limit_once)
    finally:
        limit(cluster, incoming, -1, -1)
    assert limited
    assert caught.value.code == "NO_SPACE"
    assert incoming in caught.value.message
    assert "quota" in caught.value.remedy
    assert pair.finish(run, table, pair.send_taken(run, table))["files_moved"] == 6
    pair.assert_equal(run, table, 120)


def test_files_of_another_owner_are_found_and_a_clone_that_hangs_ends(
    pair: RealTables, table: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.backup(run, table)
    path = pair.files_on_secondary(run, table)[0]
    pair.ask(hdfs.set_owner("secondary", path, "understudy", "supergroup"))
    pair.ask(hdfs.set_permission("secondary", path, "600"))
    with pytest.raises(OperationFailed, match=path) as caught:
        pair.digest(run, table)
    assert caught.value.code == "WRONG_OWNER"
    monkeypatch.setattr(hbase_clones, "OPEN_SECONDS", 15.0)
    with pytest.raises(OperationFailed) as caught:
        pair.step("OpenCopies", run, table, {"scratch": "look"})
    assert caught.value.code == "CLONE_HANGS"
    # Given back to HBase, the region opens by itself, and the clone can be closed.
    pair.ask(hdfs.set_owner("secondary", path, "hbase", "hbase"))
    monkeypatch.undo()
    opened = pair.step("OpenCopies", run, table, {"scratch": "look"})
    assert len(pair.target.console.run(f"scan({opened['readable']!r})")) == 120
    with pytest.raises(OperationFailed) as caught:
        pair.step("RemoveSnapshots", run, table, {})
    assert caught.value.code == "CLONE_LIVES"
    _look_by_table(pair, table, run)
    assert pair.step("CloseCopies", run, table, {"scratch": "look"}) == {"removed": [opened["readable"]]}
    assert pair.step("RemoveSnapshots", run, table, {})["removed"]


def _look_by_table(pair: RealTables, table: str, run: str) -> None:
    """Open, read and close under a name for people, beside a clone that is named by its snapshot."""
    opening = {"scratch": "shop_ba92b7ca", "by_table": True}
    opened = pair.step("OpenCopies", run, table, opening)["readable"]
    assert opened == f"understudy_scratch:shop_ba92b7ca_{table.partition(':')[2]}"
    assert len(pair.target.console.run(f"scan({opened!r})")) == 120
    with pytest.raises(OperationFailed) as caught:
        pair.step("RemoveSnapshots", run, table, {"recovery_point": "ba92b7ca" + "0" * 24})
    assert caught.value.detail["table"] == opened
    assert pair.step("CloseCopies", run, table, opening) == {"removed": [opened]}


def test_a_master_that_restarts_during_apply(pair: RealTables, table: str, run: str) -> None:
    """It empties ``.tmp``, where the snapshot is being made; apply notices and does it again."""
    pair.send(run, table)
    cluster = pair.target.cluster
    restarted: list[int] = []

    def restart(number: int, _: Operation) -> None:
        working = f"{ROOT}/.hbase-snapshot/.tmp/{hbase_snapshot_name(run, table)}"
        if not restarted and cluster.webhdfs("hdfs").status(working, strict=False) is not None:
            cluster.kill("hmaster")
            cluster.start("hmaster")
            restarted.append(number)
            assert cluster.webhdfs("hdfs").status(working, strict=False) is None

    pair.apply(run, table, disturb=restart)
    assert restarted
    assert pair.digest(run, table)["content"]["verdict"] == "EQUAL"
    pair.assert_equal(run, table, 120)
