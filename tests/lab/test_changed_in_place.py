"""Contents that real files got in place, with length and time as before: copied, healed, proved and refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core import hdfs
from infra.agent.core.hdfs_snapshots import snapshot_path
from infra.agent.core.operations import OperationFailed, ReadFile
from infra.agent.core.work import Work, read_journal
from infra.agent.shell import listed_files
from infra.agent.shell.web_listing import WebListing
from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.contracts.hdfs_contract import once
from tests.lab.hdfs_pair import MEBIBYTE, RealPair
from tests.lab.hdfs_peer import RealWriter

FILES = {"small": 80, "sub/middle": 40_000, "sub/large": MEBIBYTE, "same": 900}
REWRITTEN = ("small", "sub/middle", "sub/large")


@pytest.fixture
def pair(lab: Lab, tmp_path: Path) -> Iterator[RealPair]:
    pair = RealPair(lab.cluster("a"), lab.cluster("b"), f"/data/inplace-{secrets.token_hex(4)}", tmp_path)
    pair.set_up()
    for name, size in FILES.items():
        pair.app.put(f"{pair.path}/{name}", secrets.token_bytes(size), block_size=MEBIBYTE // 4)
    yield pair
    pair.tear_down()


def rewrite(pair: RealPair, site: str, app: RealWriter, name: str) -> bytes:
    """Cut a file to about half, append other bytes up to its old length, set its time back; returns its bytes."""
    path, size = f"{pair.path}/{name}", FILES[name]
    before = pair.ask(hdfs.status(site, path))
    app.truncate(path, size // 2)
    pair.ask(closed(site, path))
    app.append(path, secrets.token_bytes(size - size // 2))
    pair.ask(hdfs.set_modification_time(site, path, before["modificationTime"]))
    after = pair.ask(hdfs.status(site, path))
    assert {**before, "accessTime": 0} == {**after, "accessTime": 0}
    data: bytes = pair.ask(once(ReadFile(site, path)))
    return data


def closed(site: str, path: str) -> Any:
    """Wait until a file that was cut is closed: its last block has to be recovered."""

    def asked() -> Any:
        try:
            return (yield from hdfs.checksum(site, path))
        except OperationFailed as failure:
            failure.transient = "under construction" in failure.message
            raise

    return hdfs.persist(asked)


def content(pair: RealPair, run: str, name: str) -> bytes:
    data: bytes = pair.ask(once(ReadFile("secondary", f"{snapshot_path(pair.path, run)}/{name}")))
    return data


def test_an_increment_copies_what_was_changed_in_place(
    pair: RealPair, cluster_b: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly: list[dict[str, Any]] = []
    read = listed_files._entry
    monkeypatch.setattr(listed_files, "_entry", lambda data: slowly.append(read(data)) or slowly[-1])
    monkeypatch.setattr(WebListing, "list_page", lambda *_: pytest.fail("RPC lists blocks, and is there"))
    pair.backup("r1")
    expected = {name: rewrite(pair, "primary", pair.app, name) for name in REWRITTEN}
    result = pair.backup("r2", "r1", level="bytes")
    assert {name: content(pair, "r2", name) for name in REWRITTEN} == expected
    assert (result["files_moved"], result["replaced"]) == (3, 3)
    assert (result["digest"]["content"]["proved"], result["digest"]["unseen"]) == ("bytes", None)
    pair.assert_equal("r2")

    rewrite(pair, "secondary", RealWriter(cluster_b), "sub/middle")
    healed = pair.backup("r3", "r2")
    assert (healed["files_moved"], healed["healed"]) == (0, True)
    pair.assert_equal("r3")
    assert {entry["type"] for entry in slowly} == {"DIRECTORY"}
    unchanged = pair.backup("r4", "r3")
    assert (unchanged["files_moved"], unchanged["steps"], unchanged["healed"]) == (0, 0, False)


def test_without_rpc_few_files_are_asked_for_one_by_one(pair: RealPair, monkeypatch: pytest.MonkeyPatch) -> None:
    without_rpc(monkeypatch)
    pair.backup("r1")
    expected = {name: rewrite(pair, "primary", pair.app, name) for name in REWRITTEN}
    result = pair.backup("r2", "r1")
    assert {name: content(pair, "r2", name) for name in REWRITTEN} == expected
    assert (result["files_moved"], result["digest"]["unseen"]) == (3, None)


def test_without_rpc_and_with_many_files_it_is_said_what_was_not_looked_at(
    pair: RealPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the blocks of no file are told here; as soon as they are, the change is found."""
    with monkeypatch.context() as patched:
        without_rpc(patched)
        patched.setattr("infra.agent.shell.assembly.WebListing", lambda ask: WebListing(ask, limit=0))
        pair.backup("r1")
        expected = rewrite(pair, "primary", pair.app, "sub/middle")
        result = pair.backup("r2", "r1", level="bytes")
        cut = pair.ask(hdfs.status("primary", snapshot_path(pair.path, "r1")))["modificationTime"]
        assert result["files_moved"] == 0
        assert result["digest"]["unseen"] == {"files": len(FILES), "bytes": sum(FILES.values()), "since_ms": cut}
        assert result["digest"]["content"]["proved"] == "bytes, some of it as of an earlier moment"
    found = pair.backup("r3", "r2", level="bytes")
    assert (found["files_moved"], found["digest"]["unseen"]) == (1, None)
    assert content(pair, "r3", "sub/middle") == expected


def test_no_proof_is_carried_over_to_other_blocks(pair: RealPair, cluster_b: Cluster) -> None:
    pair.backup("r1")
    pair.cut("r2")
    pair.send("r2", "r1")
    pair.apply_staged("r2", "r1")
    rewrite(pair, "secondary", RealWriter(cluster_b), "sub/middle")
    pair.carry_out(pair.component.freeze, "FreezeCopies", "r2", "r1")
    proving = {**pair.data_set, "proved_by": {"snapshot": "r1", "recovery_point": "r1"}}
    sample = {"percent": 0, "seed": "r2"}
    digest = pair.carry_out(
        lambda work, _: pair.component.digest(work, proving),
        "DigestSnapshots", "r2", "r1", level="checksum", sample=sample, recheck_days=3000,
    )  # fmt: skip
    assert (digest["carried"]["files"], digest["files_computed"]) == (3, 1)
    assert digest["differences"] == ["sub/middle: has other bytes"]


def test_what_is_adopted_may_not_have_been_changed_in_place(pair: RealPair, cluster_b: Cluster) -> None:
    theirs = RealWriter(cluster_b)
    for name in FILES:
        theirs.put(f"{pair.path}/{name}", pair.ask(once(ReadFile("primary", f"{pair.path}/{name}"))))
    pair.cut("r1")
    instruction = pair.instruction(
        "SendSnapshots", "r1", base=None, base_is_on_source=False, recovery_point=None, open_files=[],
        level="checksum", workers=8, adopts=True,
    )  # fmt: skip
    sent = pair.gateway.run(instruction, sending(pair, instruction))
    assert sent["adopted"]["equal_files"] == len(FILES)
    rewrite(pair, "secondary", theirs, "sub/middle")
    data_set = {**pair.data_set, "base": None, "recovery_point": None, "from_head": True}
    data_set["as_found"] = sent["adopted"]["fingerprint"]
    with pytest.raises(OperationFailed) as refused:
        pair.carry_out(lambda work, _: pair.apply(work, data_set), "ApplyStaged", "r1", None, head_mode="700")
    assert refused.value.code == "HEAD_CHANGED"


def sending(pair: RealPair, instruction: Any) -> Callable[[bytes], Any]:
    return lambda journal: pair.component.send(Work(instruction, read_journal(journal, "")), pair.data_set)


def without_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a firewall lets WebHDFS alone through."""

    def refuse(self: object, site: str) -> tuple[str, int]:
        return "127.0.0.1", 9

    monkeypatch.setattr("infra.agent.shell.namenode_rpc.NameNodeRpc._address", refuse)
