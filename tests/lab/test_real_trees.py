"""What real trees contain, copied between the lab's two clusters: names, shapes and attributes of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.agent.core import hdfs
from infra.agent.core.operations import OperationFailed
from scripts.labkit.cluster import Cluster
from tests.lab.hdfs_pair import MEBIBYTE, RealPair

LONGEST_NAME_BYTES = 255
DEPTH = 100

NAMES = [
    *(" a", "a ", " ", "   ", "a b", "\t", "a\nb", "\n", "\r\n", "\x01", "\x7f"),
    *("%", "100%", "%41", "%2F", "%zz", "#", "a#b", "+", "a+b", "?", "a?b=c&d", ";", "a;b=c", "&", "=", ",", "a,b"),
    *("'", '"', "`", "\\", "a\\b", "\\n", "$HOME", "$(id)", "|", "<", ">", "^", "*", "[a]", "{a,b}", "{}", "(", "~"),
    *("-", "--", "-rf", "...", ".hidden", "_under", "null", "_SUCCESS", "a.crc", ".a.crc", "@", "!"),
    *("caf\u00e9", "cafe\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01", "\u00df", "\u0130"),
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u05e9\u05dc\u05d5\u05dd", "\u202eabc", "\u2028"),
    *("\ufeffa", "\u00a0", "\u3000", "\uffff", "\U0010ffff", "\u6771\u4eac", "\ue000"),
    *("x" * LONGEST_NAME_BYTES, "\u00e9" * 127 + "x", "\U0001f600" * 63 + "abc"),
]
"""Unicode in composed and decomposed forms stands side by side: to HDFS a name is its bytes."""

ACL = (
    "user::rwx,user:bob:rw-,group::r-x,group:staff:r--,mask::rwx,other::---,"
    "default:user::rwx,default:user:eve:r-x,default:group::r-x,default:mask::r-x,default:other::---"
)


@pytest.fixture
def pair(
    cluster_a: Cluster, cluster_b: Cluster, unique_name: Callable[[str], str], tmp_path: Path
) -> Iterator[RealPair]:
    pair = RealPair(cluster_a, cluster_b, f"/data/{unique_name('tree')}", tmp_path)
    pair.set_up()
    yield pair
    pair.tear_down()


def back_up(pair: RealPair, run: str, base: str | None = None, level: str = "bytes") -> dict[str, dict[str, object]]:
    """A run whose own verification finds both sides equal, as does the test; returns what is there."""
    result = pair.backup(run, base, level)
    assert result["digest"]["differences"] == []
    assert result["digest"]["content"]["verdict"] == result["digest"]["metadata"]["verdict"] == "EQUAL"
    return pair.assert_equal(run)


def test_names(pair: RealPair) -> None:
    files, directories = f"{pair.path}/files", f"{pair.path}/directories"
    for number, name in enumerate(NAMES):
        pair.app.put(f"{files}/{name}", f"content {number}".encode())
        pair.app.put(f"{directories}/{name}/{name}", b"")
    found = back_up(pair, "r1")
    assert {f"files/{name}" for name in NAMES} | {f"directories/{name}/{name}" for name in NAMES} <= set(found)

    pair.rename(f"files/{NAMES[0]}", "waiting")
    for taken, name in itertools.pairwise(NAMES):  # every name is the next one's
        pair.rename(f"files/{name}", f"files/{taken}")
    pair.rename("waiting", f"files/{NAMES[-1]}")
    for number, name in enumerate(NAMES):
        if number % 2:
            pair.ask(hdfs.delete("primary", f"{directories}/{name}"))
            pair.app.put(f"{directories}/{name}", b"now a file")
        else:
            pair.app.append(f"{directories}/{name}/{name}", b"more")
    found = back_up(pair, "r2", "r1")
    assert len(found) == 2 + 2 * len(NAMES) + (len(NAMES) + 1) // 2


@pytest.mark.parametrize("name", ["a:b", ".", "..", ".snapshot", "x" * (LONGEST_NAME_BYTES + 1), "\u00e9" * 128])
def test_names_that_hdfs_itself_refuses(pair: RealPair, name: str) -> None:
    """So no copy has to hold them."""
    with pytest.raises(OperationFailed):
        pair.ask(hdfs.make_directory("primary", f"{pair.path}/{name}/below", "755"))


def test_shapes_and_attributes(pair: RealPair) -> None:
    top = pair.path
    deepest = "/".join(f"level {number}" for number in range(DEPTH - 1))
    pair.app.put(f"{top}/{deepest}/bottom", b"deep")
    longest = "/".join("y" * LONGEST_NAME_BYTES for _ in range(14))  # a DataNode's WebHDFS takes lines of 4 KiB
    pair.app.put(f"{top}/{longest}/file", b"long")
    pair.app.put(f"{top}/empty", b"")
    pair.ask(hdfs.make_directory("primary", f"{top}/empty directory/empty", "755"))
    pattern = bytes(range(256)) * (MEBIBYTE // 128)
    for blocks in (1, 2):
        for more in (-1, 0, 1):
            length = blocks * MEBIBYTE + more
            pair.app.put(f"{top}/blocks/{blocks}{more:+}", (pattern * 2)[:length], MEBIBYTE)
    for replication in (1, 2, 3):
        pair.app.put(f"{top}/replicated/{replication}", b"r")
        pair.ask(hdfs.set_replication("primary", f"{top}/replicated/{replication}", replication))
    for policy in ("HOT", "WARM", "COLD", "ALL_SSD", "ONE_SSD"):
        # Written before: no DataNode here has the media of a COLD file, and it may have no other from the beginning.
        pair.app.put(f"{top}/policies/{policy}/inherits", b"i")
        pair.app.put(f"{top}/policies/{policy}/has its own", b"o")
        pair.ask(hdfs.set_storage_policy("primary", f"{top}/policies/{policy}", policy))
        pair.ask(hdfs.set_storage_policy("primary", f"{top}/policies/{policy}/has its own", "WARM"))
    for mode in ("1777", "1700", "0", "777", "711"):
        pair.ask(hdfs.make_directory("primary", f"{top}/modes/{mode}", "755"))
        pair.ask(hdfs.set_permission("primary", f"{top}/modes/{mode}", mode))
    pair.ask(hdfs.make_directory("primary", f"{top}/acl", "755"))
    pair.ask(hdfs.set_acl("primary", f"{top}/acl", ACL))
    pair.app.put(f"{top}/acl/inherits", b"a")
    pair.ask(hdfs.make_directory("primary", f"{top}/acl/inherits too", "750"))
    attributed = (f"{top}/empty", f"{top}/acl", f"{top}/acl/inherits")
    values = {"empty": "0x", "binary": "0x00ff0a22c328", "text": "0x6162", "long": "0x" + "ab" * 4000}
    for path in attributed:
        for name, value in values.items():
            for namespace in ("user", "trusted"):
                pair.ask(hdfs.set_extended_attribute("primary", path, f"{namespace}.{name}", value))
    pair.ask(hdfs.set_modification_time("primary", f"{top}/empty directory/empty", 0))
    pair.ask(hdfs.set_modification_time("primary", f"{top}/empty", 4_102_444_800_123))
    found = back_up(pair, "r1")
    assert {"modes/1777", f"{deepest}/bottom", f"{longest}/file"} <= set(found)
    carried = {f"{namespace}.{name}": value for name, value in values.items() for namespace in ("user", "trusted")}
    assert found["acl/inherits"]["xattrs"] == carried

    pair.ask(hdfs.remove_extended_attribute("primary", attributed[0], "trusted.text"))
    pair.ask(hdfs.set_extended_attribute("primary", attributed[1], "trusted.text", "0x"))
    pair.ask(hdfs.set_extended_attribute("primary", f"{top}/blocks/1+0", "trusted.alone", "0x01"))
    pair.ask(hdfs.remove_acl("primary", f"{top}/acl/inherits"))
    pair.ask(hdfs.set_permission("primary", f"{top}/modes/0", "1000"))
    pair.ask(hdfs.set_replication("primary", f"{top}/replicated/3", 1))
    pair.ask(hdfs.unset_storage_policy("primary", f"{top}/policies/COLD"))
    pair.ask(hdfs.set_storage_policy("primary", f"{top}/policies/HOT", "ALL_SSD"))
    pair.app.append(f"{top}/{deepest}/bottom", b"er")
    back_up(pair, "r2", "r1")
