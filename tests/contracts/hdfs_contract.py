"""What agents rely on in an HDFS: the same suite for the simulated one and for the real one behind the real executor.

A test class gives the fixture ``peer``. Everything is asked through the agents' own procedures.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_entries import name_key
from infra.agent.core.hdfs_snapshots import (
    allow_snapshots,
    create_snapshot,
)
from infra.agent.core.hdfs_walk import Walk
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import (
    CopyRange,
    HdfsCall,
    Operation,
    OperationFailed,
    ReadFile,
    WriteFile,
)
from infra.agent.core.sizes import directory_size

SITE = "primary"
BLOCK = 1024
NAMES = ["a", "a-b", "A", "é", "日本", "z", "_", " ", "#", "?", "%41", "+", ";x", "'\"", "back\\slash", "0", "ü", "💾"]


class Writer(Protocol):
    """An application that writes files."""

    def put(self, path: str, data: bytes, *, block_size: int = BLOCK) -> None: ...
    def append(self, path: str, data: bytes) -> None: ...
    def truncate(self, path: str, length: int) -> None: ...
    def start(self, path: str, data: bytes) -> None: ...
    def grow(self, path: str, data: bytes) -> None: ...
    def close(self, path: str) -> None: ...


class Peer(Protocol):
    """An HDFS under test: ``directory`` is there, empty, and this test's alone."""

    directory: str
    app: Writer
    captures_open_files: bool

    def run(self, procedure: Procedure) -> Any: ...


def once(operation: Operation) -> Generator[Operation, Any, Any]:
    """An operation as a procedure."""
    return (yield operation)


def listed(root: str) -> Procedure:
    """The entries of a tree by their paths."""
    walk = Walk(SITE, root)
    entries = {}
    while (entry := (yield from walk.next())) is not None:
        entries[entry["p"]] = entry
    return entries


class Asking:
    """What every part of the suite asks with."""

    def refused(self, peer: Peer, procedure: Procedure) -> OperationFailed:
        with pytest.raises(OperationFailed) as failed:
            peer.run(procedure)
        return failed.value

    def snapshot(self, peer: Peer, name: str) -> dict[str, Any]:
        peer.run(allow_snapshots(SITE, peer.directory))
        found: dict[str, Any] = peer.run(create_snapshot(SITE, peer.directory, name))
        return found

    def rename(self, peer: Peer, source: str, target: str) -> Procedure:
        params = (("destination", f"{peer.directory}/{target}"), ("renameoptions", "NONE"))
        return once(HdfsCall(SITE, "PUT", "RENAME", f"{peer.directory}/{source}", params))


class HdfsContract(Asking):
    """The suite, but for snapshots."""

    def test_walk_in_signed_order_with_hostile_names(self, peer: Peer) -> None:
        for name in NAMES:
            peer.run(hdfs.make_directory(SITE, f"{peer.directory}/{name}", "750"))
        peer.app.put(f"{peer.directory}/é/ü #?.txt", b"x" * 10)
        entries = peer.run(listed(peer.directory))
        assert [path for path in entries if path and "/" not in path] == sorted(NAMES, key=name_key)
        assert list(entries)[list(entries).index("é") + 1] == "é/ü #?.txt"
        entry = entries["é/ü #?.txt"]
        assert (entry["t"], entry["l"], entry["b"]) == ("f", 10, BLOCK)
        assert entry["u"] == entries["é"]["i"]
        assert entries["a"]["x"] == "750"
        assert peer.run(once(ReadFile(SITE, f"{peer.directory}/é/ü #?.txt"))) == b"x" * 10

    def test_status_of_what_is_not_there(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/f", b"x")
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/none")) is None
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/f/below")) is None
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/.snapshot/none")) is None
        assert peer.run(hdfs.list_directory(SITE, f"{peer.directory}/none")) is None
        assert peer.run(hdfs.list_directory(SITE, f"{peer.directory}/.snapshot")) is None
        assert peer.run(hdfs.list_directory(SITE, peer.directory)) != []

    def test_make_directory_leaves_one_that_is_there(self, peer: Peer) -> None:
        peer.run(hdfs.make_directory(SITE, f"{peer.directory}/d", "1777"))
        peer.run(hdfs.make_directory(SITE, f"{peer.directory}/d", "700"))
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/d"))["permission"] == "1777"

    def test_rename_never_replaces_nor_moves_into(self, peer: Peer) -> None:
        for name in ("a", "b", "b/sub"):
            peer.run(hdfs.make_directory(SITE, f"{peer.directory}/{name}", "755"))
        exception = hdfs.exception_of
        assert exception(self.refused(peer, self.rename(peer, "a", "b"))) == "FileAlreadyExistsException"
        assert exception(self.refused(peer, self.rename(peer, "none", "b"))) == "FileNotFoundException"
        assert exception(self.refused(peer, self.rename(peer, "none", "c"))) == "FileNotFoundException"
        assert exception(self.refused(peer, self.rename(peer, "a", "none/a"))) == "FileNotFoundException"
        assert exception(self.refused(peer, self.rename(peer, "b", "b/sub/b"))) == "IOException"
        peer.run(self.rename(peer, "a", "b/sub/a"))
        assert list(peer.run(listed(peer.directory))) == ["", "b", "b/sub", "b/sub/a"]

    def test_ids_survive_renames_and_are_not_used_again(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/f", b"x")
        before = peer.run(hdfs.status(SITE, f"{peer.directory}/f"))["fileId"]
        peer.run(self.rename(peer, "f", "g"))
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/g"))["fileId"] == before
        peer.app.put(f"{peer.directory}/g", b"x")
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/g"))["fileId"] != before

    def test_delete_tells_what_was_there(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/d/f", b"x")
        assert peer.run(hdfs.delete(SITE, f"{peer.directory}/d")) is True
        assert peer.run(hdfs.delete(SITE, f"{peer.directory}/d")) is False

    def test_acl_round_trip(self, peer: Peer) -> None:
        path = f"{peer.directory}/d"
        peer.run(hdfs.make_directory(SITE, path, "750"))
        assert "A" not in peer.run(listed(peer.directory))["d"]
        access = "user::rwx,user:bob:rw-,group::r-x,mask::rwx,other::--x"
        default = "default:user::rwx,default:user:eve:r--,default:group::---,default:mask::r--,default:other::---"
        for specification in (f"{access},{default}", access, f"user::rwx,group::r-x,other::---,{default}"):
            peer.run(hdfs.set_acl(SITE, path, specification))
            entry = peer.run(listed(peer.directory))["d"]
            found = peer.run(hdfs.acl_entries(SITE, path))
            assert entry["A"] is True
            peer.run(hdfs.remove_acl(SITE, path))
            peer.run(hdfs.set_acl(SITE, path, hdfs.full_acl(found, entry["x"])))
            again = peer.run(listed(peer.directory))["d"]
            assert (again["x"], peer.run(hdfs.acl_entries(SITE, path))) == (entry["x"], found)

    def test_a_file_that_the_superuser_may_not_read_says_so(self, peer: Peer) -> None:
        path = f"{peer.directory}/f"
        peer.app.put(path, b"x")
        params = (("xattr.name", hdfs.UNREADABLE_MARK), ("flag", "CREATE"))
        peer.run(hdfs.call(SITE, "PUT", "SETXATTR", path, params))
        assert peer.run(hdfs.extended_attributes_of(SITE, (path,), marks=True)) == [{hdfs.UNREADABLE_MARK: "0x"}]
        assert peer.run(hdfs.extended_attributes(SITE, path)) == {}
        for reading in (once(ReadFile(SITE, path)), hdfs.checksum(SITE, path)):
            with pytest.raises(OperationFailed, match="NO_RIGHT"):
                peer.run(reading)

    def test_remove_acl_brings_the_groups_own_rights_back(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/f", b"x")
        peer.run(hdfs.set_acl(SITE, f"{peer.directory}/f", "user::rw-,user:bob:rwx,group::r--,mask::rwx,other::---"))
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/f"))["permission"] == "670"
        peer.run(hdfs.remove_acl(SITE, f"{peer.directory}/f"))
        assert peer.run(hdfs.status(SITE, f"{peer.directory}/f"))["permission"] == "640"

    def test_default_acl_stays_unless_another_one_is_set(self, peer: Peer) -> None:
        path = f"{peer.directory}/d"
        peer.run(hdfs.make_directory(SITE, path, "755"))
        for default in ("r-x", "rwx"):
            specification = f"default:user::rwx,default:group::{default},default:other::---"
            peer.run(hdfs.set_acl(SITE, path, f"user::rwx,group::r-x,other::r-x,{specification}"))
            peer.run(hdfs.set_acl(SITE, path, "user::rwx,user:bob:r--,group::r-x,mask::r-x,other::---"))
            found = peer.run(hdfs.acl_entries(SITE, path))
            assert f"default:group::{default}" in found
            assert "user:bob:r--" in found
        for _ in range(2):
            peer.run(hdfs.remove_default_acl(SITE, path))
            assert peer.run(hdfs.acl_entries(SITE, path)) == ["group::r-x", "user:bob:r--"]
        peer.app.put(f"{path}/f", b"x")
        peer.run(hdfs.remove_default_acl(SITE, f"{path}/f"))
        assert peer.run(hdfs.acl_entries(SITE, f"{path}/f")) == []

    def test_default_acl_is_inherited(self, peer: Peer) -> None:
        path = f"{peer.directory}/d"
        peer.run(hdfs.make_directory(SITE, path, "755"))
        default = "default:user::rwx,default:user:bob:rw-,default:group::r-x,default:mask::rwx,default:other::r-x"
        peer.run(hdfs.set_acl(SITE, path, f"user::rwx,group::r-x,other::r-x,{default}"))
        peer.run(once(WriteFile(SITE, f"{path}/f", b"x", "640")))
        assert peer.run(hdfs.status(SITE, f"{path}/f"))["permission"] == "640"
        assert peer.run(hdfs.acl_entries(SITE, f"{path}/f")) == ["group::r-x", "user:bob:rw-"]

    def test_extended_attributes(self, peer: Peer) -> None:
        path = f"{peer.directory}/f"
        peer.app.put(path, b"x")
        assert peer.run(hdfs.extended_attributes(SITE, path)) == {}
        peer.run(hdfs.set_extended_attribute(SITE, path, "user.k", "0x616200ff"))
        peer.run(hdfs.set_extended_attribute(SITE, path, "user.k", "0x6162"))
        peer.run(hdfs.set_extended_attribute(SITE, path, "user.none", "0x"))
        peer.run(hdfs.set_extended_attribute(SITE, path, "trusted.t", "0x01"))
        peer.run(hdfs.set_extended_attribute(SITE, path, "trusted.understudy.t", "0x02"))
        carried = {"user.k": "0x6162", "user.none": "0x", "trusted.t": "0x01"}
        assert peer.run(hdfs.extended_attributes(SITE, path)) == carried
        ours = {"trusted.understudy.t": "0x02"}
        assert peer.run(hdfs.extended_attributes(SITE, path, "trusted.")) == {"trusted.t": "0x01", **ours}
        assert peer.run(hdfs.extended_attributes(SITE, path, "trusted.understudy.")) == ours
        for name in ("user.k", "user.k", "trusted.t"):
            peer.run(hdfs.remove_extended_attribute(SITE, path, name))
        assert peer.run(hdfs.extended_attributes(SITE, path)) == {"user.none": "0x"}

    def test_stored_checksums(self, peer: Peer) -> None:
        top = peer.directory
        data = bytes(range(256)) * 12
        peer.app.put(f"{top}/one", data)
        peer.app.put(f"{top}/two", data)
        peer.app.put(f"{top}/blocks", data, block_size=2 * BLOCK)
        peer.app.put(f"{top}/other", data[:-1] + b"x")
        peer.app.put(f"{top}/joined", data[: 2 * BLOCK])
        peer.app.put(f"{top}/tail", data[2 * BLOCK :])
        peer.app.put(f"{top}/odd", data[:700])
        peer.app.put(f"{top}/rest", data[700:])
        peer.run(hdfs.concatenate(SITE, f"{top}/joined", [f"{top}/tail"], len(data)))
        peer.run(hdfs.concatenate(SITE, f"{top}/odd", [f"{top}/rest"], len(data)))
        names = ("one", "two", "blocks", "other", "joined", "odd")
        sums = {name: peer.run(hdfs.checksum(SITE, f"{top}/{name}")) for name in names}
        assert sums["one"] == sums["two"] == sums["joined"]
        assert sums["one"] not in (sums["blocks"], sums["other"], sums["odd"])
        assert peer.run(once(ReadFile(SITE, f"{top}/odd"))) == data
        assert peer.run(hdfs.status(SITE, f"{top}/tail")) is None
        self.snapshot(peer, "s")
        peer.app.append(f"{top}/one", b"more")
        assert peer.run(hdfs.checksum(SITE, f"{top}/.snapshot/s/one")) == sums["two"]
        assert peer.run(hdfs.checksum(SITE, f"{top}/one")) != sums["two"]

    def test_what_is_not_joined(self, peer: Peer) -> None:
        """Each file has to be another one of the same directory, closed and not empty, with no larger blocks."""
        top = peer.directory
        refused = [("a", "d/other"), ("a", "a"), ("a", "empty"), ("a", "large blocks"), ("a", "b", "b")]
        refused += [("a", "b", "open"), ("open", "b")]
        for name in ("a", "b", "d/other"):
            peer.app.put(f"{top}/{name}", b"a" * BLOCK)
        peer.app.put(f"{top}/empty", b"")
        peer.app.put(f"{top}/large blocks", b"l", block_size=2 * BLOCK)
        peer.app.start(f"{top}/open", b"o" * 20 * BLOCK)
        before = peer.run(listed(top))
        for target, *sources in ([f"{top}/{name}" for name in names] for names in refused):
            failure = self.refused(peer, hdfs.concatenate(SITE, target, sources, 2 * BLOCK))
            assert hdfs.exception_of(failure) == "HadoopIllegalArgumentException", sources
        peer.app.close(f"{top}/open")
        after = peer.run(listed(top))
        assert {**before, "open": after["open"]} == after

    def test_times(self, peer: Peer) -> None:
        top = peer.directory
        peer.app.put(f"{top}/d/f", b"x")
        peer.run(hdfs.set_modification_time(SITE, f"{top}/d", 1_000_000))
        peer.run(hdfs.set_modification_time(SITE, f"{top}/d/f", 2_000_000))
        peer.run(hdfs.set_owner(SITE, f"{top}/d/f", "alice", "staff"))
        peer.run(hdfs.set_permission(SITE, f"{top}/d/f", "600"))
        peer.run(hdfs.set_extended_attribute(SITE, f"{top}/d/f", "user.k", "0x00"))
        peer.run(hdfs.set_replication(SITE, f"{top}/d/f", 2))
        entries = peer.run(listed(top))
        assert (entries["d"]["m"], entries["d/f"]["m"]) == (1_000_000, 2_000_000)
        assert (entries["d/f"]["o"], entries["d/f"]["g"], entries["d/f"]["r"]) == ("alice", "staff", 2)
        peer.run(self.rename(peer, "d/f", "d/g"))
        entries = peer.run(listed(top))
        assert entries["d"]["m"] != 1_000_000
        assert entries["d/g"]["m"] == 2_000_000

    def test_storage_policy_of_its_own(self, peer: Peer) -> None:
        top = peer.directory
        policies = peer.run(hdfs.storage_policies(SITE))
        cold = next(number for number, policy in policies.items() if policy == ("COLD", False))
        assert ("WARM", True) in policies.values()
        peer.run(hdfs.make_directory(SITE, f"{top}/d/below", "755"))
        peer.run(hdfs.set_storage_policy(SITE, f"{top}/d", "COLD"))
        entries = peer.run(listed(top))
        assert entries["d"]["s"] == cold
        assert "s" not in entries["d/below"]
        peer.run(hdfs.unset_storage_policy(SITE, f"{top}/d"))
        assert "s" not in peer.run(listed(top))["d"]

    @pytest.mark.parametrize(
        ("source", "target", "exception"),
        [
            ("d", "f", "IOException"),
            ("f", "d", "IOException"),
            ("f", "g", "FileAlreadyExistsException"),
            ("f", "f", "FileAlreadyExistsException"),
            ("d", "e", "FileAlreadyExistsException"),
            ("d", "d/sub", "IOException"),
            ("none", "g", "FileNotFoundException"),
            ("f", "none/x", "FileNotFoundException"),
            ("f", "g/x", "ParentNotDirectoryException"),
        ],
    )
    def test_renames_that_are_refused(self, peer: Peer, source: str, target: str, exception: str) -> None:
        top = peer.directory
        for name in ("f", "g"):
            peer.app.put(f"{top}/{name}", b"x")
        for name in ("d", "e"):
            peer.run(hdfs.make_directory(SITE, f"{top}/{name}", "755"))
        params = (("destination", f"{top}/{target}"), ("renameoptions", "NONE"))
        request = HdfsCall(SITE, "PUT", "RENAME", f"{top}/{source}", params)
        assert hdfs.exception_of(self.refused(peer, once(request))) == exception
        if target in ("f", "d", "e", "g") and source != "none":
            told = hdfs.exception_of(self.refused(peer, hdfs.rename(SITE, f"{top}/{source}", f"{top}/{target}")))
            assert told == "FileAlreadyExistsException", "of whatever type it is"

    def test_files_are_created_only_where_the_directory_is(self, peer: Peer) -> None:
        top = peer.directory
        peer.app.put(f"{top}/f", b"x" * 3000)
        write = WriteFile(SITE, f"{top}/none/f", b"x")
        assert hdfs.exception_of(self.refused(peer, once(write))) == "FileNotFoundException"
        copy = CopyRange(SITE, f"{top}/f", 1000, 1500, SITE, f"{top}/none/f", BLOCK, 1, "640")
        assert hdfs.exception_of(self.refused(peer, once(copy))) == "FileNotFoundException"
        copy = CopyRange(SITE, f"{top}/f", 1000, 1500, SITE, f"{top}/g", BLOCK, 1, "640")
        assert peer.run(once(copy))["bytes"] == 1500
        found = peer.run(hdfs.status(SITE, f"{top}/g"))
        assert (found["length"], found["blockSize"], found["permission"]) == (1500, BLOCK, "640")
        assert peer.run(hdfs.list_directory(SITE, f"{top}/none")) is None

    def test_size_of_a_tree_without_what_only_snapshots_have(self, peer: Peer) -> None:
        peer.app.put(f"{peer.directory}/sub/a", b"a" * 1500)
        peer.app.put(f"{peer.directory}/gone", b"b" * 100)
        size = peer.run(directory_size(SITE, peer.directory))
        assert (size["files"], size["directories"], size["bytes"]) == (2, 2, 1600)
        assert size["consumed_bytes"] % 1600 == 0
        peer.run(allow_snapshots(SITE, peer.directory))
        peer.run(create_snapshot(SITE, peer.directory, "s1"))
        peer.run(hdfs.delete(SITE, f"{peer.directory}/gone"))
        peer.app.append(f"{peer.directory}/sub/a", b"a" * 10)
        size = peer.run(directory_size(SITE, peer.directory))
        assert (size["files"], size["directories"], size["bytes"]) == (1, 2, 1510)
        assert peer.run(directory_size(SITE, f"{peer.directory}/none")) is None

    def test_quotas(self, peer: Peer) -> None:
        assert peer.run(hdfs.quotas(SITE, peer.directory)) == [-1, -1]
