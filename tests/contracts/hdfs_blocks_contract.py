"""What agents rely on in how an HDFS tells contents apart by blocks: as ``hdfs_contract``, which has the rest."""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.machine import Procedure
from tests.contracts.hdfs_contract import BLOCK, NAMES, SITE, Asking, Peer, once


def identities(root: str) -> Procedure:
    """The identities of the contents of a tree's files, by their paths; None of those that have none."""
    walk = Walk(SITE, root, identifies=True)
    found: dict[str, str | None] = {}
    while (entry := (yield from walk.next())) is not None:
        if entry["t"] == "f":
            found[entry["p"]] = entry.get("B")
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before if after.get(name) != before[name]}


class HdfsBlocksContract(Asking):
    """The suite."""

    def test_every_change_of_contents_shows_in_blocks(self, peer: Peer) -> None:
        top = peer.directory
        names = ["appended", "cut", "cut between", "rewritten", "joined", "touched", "moved"]
        whole = ["grown", "rewritten whole"]
        for name in (*names, *whole):
            peer.app.put(f"{top}/{name}", b"1" * (2 * BLOCK if name in whole else 2 * BLOCK - 24))
        peer.app.put(f"{top}/empty", b"")
        self.snapshot(peer, "s")
        peer.app.put(f"{top}/tail", b"3")
        before = peer.run(identities(top))
        assert [name for name, identity in before.items() if identity is None] == ["empty"]
        assert len(set(before.values())) == len(before)
        peer.app.append(f"{top}/appended", b"2")
        peer.app.append(f"{top}/grown", b"2")
        peer.app.truncate(f"{top}/cut", BLOCK + 5)
        peer.app.truncate(f"{top}/cut between", BLOCK)
        for name in ("rewritten", "rewritten whole"):
            length = peer.run(hdfs.status(SITE, f"{top}/{name}"))["length"]
            peer.app.truncate(f"{top}/{name}", BLOCK // 2 if name == "rewritten" else BLOCK)
            peer.app.append(f"{top}/{name}", b"2" * (length - (BLOCK // 2 if name == "rewritten" else BLOCK)))
        peer.run(hdfs.concatenate(SITE, f"{top}/joined", [f"{top}/tail"], 2 * BLOCK - 23))
        peer.run(hdfs.set_modification_time(SITE, f"{top}/touched", 5_000))
        peer.run(hdfs.set_permission(SITE, f"{top}/touched", "600"))
        peer.run(self.rename(peer, "moved", "elsewhere"))
        after = peer.run(identities(top))
        assert after.pop("elsewhere") == before.pop("moved")
        assert changed(before, after) == {*names, *whole, "tail"} - {"touched", "moved"}
        frozen = peer.run(identities(snapshot_path(top, "s")))
        del before["tail"]
        # An append is to a block that the snapshot shares: its stamp is today's there, too.
        assert changed(before, frozen) == {"appended"}

    def test_who_asks_for_files_is_told_the_same(self, peer: Peer) -> None:
        top = peer.directory
        for number, name in enumerate(NAMES):
            peer.app.put(f"{top}/{name}", b"x" * (number * 300))
        peer.run(hdfs.make_directory(SITE, f"{top}/d", "1777"))
        paths = tuple(f"{top}/{name}" for name in NAMES)
        told = peer.run(once(hdfs.Identify(SITE, paths)))
        assert peer.run(identities(top)) == dict(zip(NAMES, told, strict=True))
        assert told[0] is None
        assert None not in told[1:]

    def test_a_page_with_blocks_is_the_page_without_them(self, peer: Peer) -> None:
        top = peer.directory
        for number, name in enumerate(NAMES):
            peer.app.put(f"{top}/{name}", b"x" * (number * 300))
        peer.run(hdfs.make_directory(SITE, f"{top}/d/e", "1777"))
        acl = "user::rw-,user:bob:r--,group::r--,mask::r--,other::r--"
        peer.run(hdfs.set_acl(SITE, f"{top}/z", acl))
        peer.run(hdfs.set_modification_time(SITE, f"{top}/A", 1))
        peer.run(hdfs.set_storage_policy(SITE, f"{top}/d", "ALL_SSD"))
        self.snapshot(peer, "s")
        for path in (top, f"{top}/d", snapshot_path(top, "s"), f"{top}/d/e"):
            for after in ("", "Z"):
                plain = peer.run(hdfs.list_page(SITE, path, after))
                page = peer.run(hdfs.ask_page(hdfs.ListPage(SITE, path, after)))
                for status in (*plain.entries, *page.entries):
                    for name in ("accessTime", "blocks"):
                        status.pop(name, None)
                assert page == plain
        failure = self.refused(peer, hdfs.ask_page(hdfs.ListPage(SITE, f"{top}/none", "")))
        assert hdfs.exception_of(failure) == "FileNotFoundException"
