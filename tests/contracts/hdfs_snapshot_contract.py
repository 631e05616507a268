"""What agents rely on in an HDFS's snapshots: as ``hdfs_contract``, which has the rest."""

from __future__ import annotations

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_compare import modified_ids
from infra.agent.core.hdfs_snapshots import allow_snapshots, create_snapshot, delete_snapshot, snapshot_path
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import DigestFile, HdfsCall, ReadFile
from tests.contracts.hdfs_contract import BLOCK, SITE, Asking, Peer, listed, once


class HdfsSnapshotContract(Asking):
    """The suite."""

    def test_snapshot_is_frozen_and_made_once(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/f", b"one")
        first = self.snapshot(peer, "s")
        root = peer.run(hdfs.status(SITE, peer.directory))
        assert (first["fileId"], first["modificationTime"]) == (root["fileId"], root["modificationTime"])
        peer.app.append(f"{peer.directory}/f", b"two")
        peer.run(hdfs.delete(SITE, f"{peer.directory}/f"))
        assert self.snapshot(peer, "s") == first
        assert peer.run(once(ReadFile(SITE, f"{peer.directory}/.snapshot/s/f"))) == b"one"
        assert peer.run(listed(snapshot_path(peer.directory, "s")))["f"]["l"] == 3
        assert [e["pathSuffix"] for e in peer.run(hdfs.list_directory(SITE, f"{peer.directory}/.snapshot"))] == ["s"]

    def test_snapshot_is_removed_once(self, peer: Peer) -> None:
        assert peer.run(delete_snapshot(SITE, peer.directory, "s")) is False
        self.snapshot(peer, "s")
        assert peer.run(delete_snapshot(SITE, peer.directory, "s")) is True
        assert peer.run(delete_snapshot(SITE, peer.directory, "s")) is False
        assert peer.run(delete_snapshot(SITE, f"{peer.directory}/none", "s")) is False

    def test_snapshottable_directories_do_not_nest(self, peer: Peer) -> None:
        peer.run(hdfs.make_directory(SITE, f"{peer.directory}/d", "755"))
        peer.run(allow_snapshots(SITE, peer.directory))
        peer.run(allow_snapshots(SITE, peer.directory))
        assert self.refused(peer, allow_snapshots(SITE, f"{peer.directory}/d")).code == "NESTED_SNAPSHOTTABLE"

    def test_directory_with_snapshots_stays_where_it_is(self, peer: Peer) -> None:
        self.snapshot(peer, "s")
        params = (("destination", f"{peer.directory}-moved"), ("renameoptions", "NONE"))
        move = HdfsCall(SITE, "PUT", "RENAME", peer.directory, params)
        assert hdfs.exception_of(self.refused(peer, once(move))) == "SnapshotException"
        assert hdfs.exception_of(self.refused(peer, hdfs.delete(SITE, peer.directory))) == "SnapshotException"

    def test_snapshottable_directory_without_snapshots_may_move_and_go(self, peer: Peer) -> None:
        top = peer.directory
        peer.run(hdfs.make_directory(SITE, f"{top}/d", "755"))
        peer.run(allow_snapshots(SITE, f"{top}/d"))
        peer.run(self.rename(peer, "d", "moved"))
        assert peer.run(hdfs.list_directory(SITE, f"{top}/moved/.snapshot")) == []
        assert peer.run(hdfs.delete(SITE, f"{top}/moved")) is True

    def test_what_the_difference_knows(self, peer: Peer) -> None:
        top = peer.directory
        for name in ("touched", "rewritten", "appended", "moded", "attributed", "listed", "same", "moved"):
            peer.app.put(f"{top}/{name}", b"1" * 1000)
        peer.app.put(f"{top}/d/inner", b"x")
        self.snapshot(peer, "s1")
        before = {path: entry["i"] for path, entry in peer.run(listed(top)).items()}
        peer.run(hdfs.set_modification_time(SITE, f"{top}/touched", 5_000))
        peer.app.truncate(f"{top}/rewritten", 500)
        peer.app.append(f"{top}/rewritten", b"2" * 500)
        peer.app.append(f"{top}/appended", b"2")
        peer.run(hdfs.set_permission(SITE, f"{top}/moded", "600"))
        peer.run(hdfs.set_extended_attribute(SITE, f"{top}/attributed", "user.k", "0x00"))
        peer.run(hdfs.set_acl(SITE, f"{top}/listed", "user::rw-,user:bob:r--,group::r--,mask::r--,other::r--"))
        peer.run(self.rename(peer, "moved", "d/moved"))
        self.snapshot(peer, "s2")
        modified = set(peer.run(modified_ids(SITE, top, "s1", "s2")))
        named = {path for path, identity in before.items() if identity in modified}
        assert named == {"", "d", "appended", "moded", "attributed", "listed"}
        assert set(peer.run(modified_ids(SITE, top, "s1", ""))) == modified
        assert list(peer.run(modified_ids(SITE, top, "s2", ""))) == []
        frozen = peer.run(listed(snapshot_path(top, "s1")))
        after = peer.run(listed(snapshot_path(top, "s2")))
        for name in ("touched", "rewritten"):
            assert (frozen[name]["i"], frozen[name]["l"]) == (after[name]["i"], after[name]["l"])
            assert frozen[name]["m"] != after[name]["m"]

    @pytest.mark.long
    def test_difference_of_many_pages(self, peer: Peer) -> None:
        count = 1003
        self.snapshot(peer, "s1")
        for number in range(4):
            peer.run(hdfs.make_directory(SITE, f"{peer.directory}/{number}/x", "755"))
        peer.run(_many(f"{peer.directory}/0/x", count))
        self.snapshot(peer, "s2")
        peer.run(_chmod_many(f"{peer.directory}/0/x", count))
        self.snapshot(peer, "s3")
        assert len(peer.run(modified_ids(SITE, peer.directory, "s2", "s3"))) == count
        assert len(peer.run(listed(snapshot_path(peer.directory, "s3")))) == 1 + 8 + count

    def test_open_file_and_the_snapshot(self, peer: Peer) -> None:
        path = f"{peer.directory}/open"
        written = 20 * BLOCK + 100
        peer.app.start(path, b"1" * written)
        self.snapshot(peer, "s1")
        frozen = snapshot_path(peer.directory, "s1")
        known = peer.run(listed(frozen))["open"]["l"]
        # Whole blocks, as far as the writer's client has sent what it holds back.
        assert 0 < known < written
        assert known % BLOCK == 0
        assert "under construction" in self.refused(peer, hdfs.checksum(SITE, path)).message
        assert peer.run(once(DigestFile(SITE, f"{frozen}/open", known)))["bytes"] == known
        peer.app.grow(path, b"2" * BLOCK)
        peer.app.close(path)
        cut = peer.run(hdfs.status(SITE, frozen))["modificationTime"]
        self.snapshot(peer, "s2")
        found = peer.run(listed(frozen))["open"]
        modified = list(peer.run(modified_ids(SITE, peer.directory, "s1", "s2")))
        if peer.captures_open_files:
            assert found["l"] == known
            assert found["i"] in modified
        else:
            assert found["l"] == written + BLOCK
            assert found["m"] > cut
            assert modified == []

    def test_no_file_that_is_in_a_snapshot_is_joined_to_another(self, peer: Peer) -> None:
        top = peer.directory
        for name in ("a", "b"):
            peer.app.put(f"{top}/{name}", b"a" * BLOCK)
        self.snapshot(peer, "s")
        peer.app.put(f"{top}/c", b"c" * BLOCK)
        failure = self.refused(peer, hdfs.concatenate(SITE, f"{top}/a", [f"{top}/b"], 2 * BLOCK))
        assert hdfs.exception_of(failure) == "SnapshotException"
        peer.run(hdfs.concatenate(SITE, f"{top}/a", [f"{top}/c"], 2 * BLOCK))

    def test_a_snapshot_lists_todays_storage_policy_and_the_difference_tells_of_the_change(self, peer: Peer) -> None:
        top = peer.directory
        peer.app.put(f"{top}/f", b"x")
        peer.run(hdfs.make_directory(SITE, f"{top}/d", "755"))
        peer.run(allow_snapshots(SITE, top))
        peer.run(create_snapshot(SITE, top, "s1"))
        for name in ("f", "d"):
            peer.run(hdfs.set_storage_policy(SITE, f"{top}/{name}", "COLD"))
        peer.run(create_snapshot(SITE, top, "s2"))
        cold = peer.run(listed(top))["d"]["s"]
        for snapshot in ("s1", "s2"):
            entries = peer.run(listed(f"{top}/.snapshot/{snapshot}"))
            assert [entries[name].get("s") for name in ("f", "d")] == [cold, cold]
        changed = peer.run(modified_ids(SITE, top, "s1", "s2"))
        assert {entries["f"]["i"], entries["d"]["i"]} <= set(changed)

    def test_a_directorys_time_is_todays_in_every_snapshot_until_something_else_of_it_is_changed(
        self, peer: Peer
    ) -> None:
        top, directory = peer.directory, f"{peer.directory}/d"
        peer.app.put(f"{directory}/f", b"x")
        peer.run(hdfs.set_modification_time(SITE, directory, 1_000_000))

        def times() -> list[int]:
            names = (snapshot_path(top, "s1"), snapshot_path(top, "s2"), top)
            return [peer.run(listed(name))["d"]["m"] for name in names]

        self.snapshot(peer, "s1")
        cut = peer.run(hdfs.status(SITE, snapshot_path(top, "s1")))["modificationTime"]
        self.snapshot(peer, "s2")
        assert times() == [1_000_000] * 3
        peer.app.put(f"{directory}/g", b"x")
        first, *others = times()
        assert first != 1_000_000
        assert others == [first, first]
        assert peer.run(modified_ids(SITE, top, "s1", "s2")).tolist() == []
        peer.run(hdfs.set_permission(SITE, directory, "700"))
        peer.run(hdfs.set_modification_time(SITE, directory, 2_000_000))
        assert times() == [first, first, 2_000_000]
        assert peer.run(hdfs.status(SITE, snapshot_path(top, "s1")))["modificationTime"] == cut


def _many(directory: str, count: int) -> Procedure:
    yield Together(
        (hdfs.make_directory(SITE, f"{directory}/{number}", "755") for number in range(count)), 16, keep_results=False
    )


def _chmod_many(directory: str, count: int) -> Procedure:
    yield Together(
        (hdfs.set_permission(SITE, f"{directory}/{number}", "700") for number in range(count)), 16, keep_results=False
    )
