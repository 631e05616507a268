"""WebHDFS over real sockets: quoting, fail-over, lost answers, damaged sources, nodes that die and come back."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.agent.core.operations import CopyRange, DigestFile, HdfsCall, OperationFailed, ReadFile, WriteFile
from infra.agent.shell.connections import Connections
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.datanodes import DataNodes
from infra.agent.shell.transfers import Transfers
from infra.agent.shell.webhdfs import Limits, WebHdfs, parse_answer
from tests.agent.http_peer import Peer, break_off_after, exception, hang_up, html, peers

ODD_NAME = "/data/a#b?c%d+e;f g&h=ü\u3042"
LIMITS = Limits(1.0, 0.5, 2.0, 3.0, 3.0, 0.01, 0.05)
CREDENTIALS = {
    site: {"hdfs": {"kind": "simple", "user": "hdfs"}, "hbase": {"kind": "simple", "user": "hbase"}}
    for site in ("primary", "secondary")
}


class Client:
    """The shell's clients on two sites with some NameNodes each."""

    def __init__(
        self, directory: Path, primary: list[str], secondary: list[str] | None = None, patient: bool = False
    ) -> None:
        limits = Limits() if patient else LIMITS
        path = directory / "credentials.json"
        path.write_text(json.dumps(CREDENTIALS))
        self.credentials = path
        sites: dict[str, Any] = {"primary": {"namenodes": primary}, "secondary": {"namenodes": secondary or primary}}
        self.cancelled = threading.Event()
        self.connections = Connections(limits.connect_seconds)
        self.webhdfs = WebHdfs(sites, Credentials(str(path)), self.connections, limits, self.cancelled)
        nodes = DataNodes(sites, self.webhdfs, self.connections, limits)
        self.transfers = Transfers(nodes, self.cancelled, limits)

    def get(self, path: str = "/x", user: str = "hdfs") -> dict[str, Any]:
        return self.webhdfs.call(HdfsCall("primary", "GET", "GETFILESTATUS", path, user=user))

    def put(self, path: str = "/x") -> dict[str, Any]:
        return self.webhdfs.call(HdfsCall("primary", "PUT", "MKDIRS", path))

    def copy(self, length: int, offset: int = 0) -> dict[str, Any]:
        return self.transfers.copy(
            CopyRange("primary", ODD_NAME, offset, length, "secondary", f"{ODD_NAME}.copy", 1 << 20, 1, "600")
        )


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Client, Peer, Peer]]:
    """A client of one cluster with two NameNodes."""
    with peers(2) as (first, second):
        client = Client(tmp_path, [first.url, f"{second.url}/"])
        yield client, first, second
        client.connections.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Client, Peer, Peer]]:
    """A client of two clusters with a file of some megabytes on the first."""
    with peers(2) as (first, second):
        client = Client(tmp_path, [first.url], [second.url])
        first.files[ODD_NAME] = bytes(range(256)) * 12_000
        yield client, first, second
        client.connections.close()


Two = tuple[Client, Peer, Peer]


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def failure_of(action: Any, *arguments: Any) -> OperationFailed:
    """The failure that an action ends with."""
    with pytest.raises(OperationFailed) as caught:
        action(*arguments)
    return caught.value


def test_every_name_arrives_as_it_is_and_each_user_with_its_credential(two: Two) -> None:
    client, _, _ = two
    assert client.get(ODD_NAME) == {"path": ODD_NAME, "op": "GETFILESTATUS", "user": "hdfs"}
    assert client.get("/", "hbase")["user"] == "hbase"


def test_one_connection_serves_many_calls(two: Two) -> None:
    client, first, _ = two
    for _ in range(20):
        client.get()
    assert first.connections == 1


def test_renewed_credentials_are_used_at_the_next_call(two: Two) -> None:
    client, _, _ = two
    assert client.get()["user"] == "hdfs"
    renewed = {"primary": {"hdfs": {"kind": "simple", "user": "other"}}}
    replacement = client.credentials.with_suffix(".new")
    replacement.write_text(json.dumps(renewed))
    replacement.replace(client.credentials)
    assert client.get()["user"] == "other"
    assert failure_of(client.get, "/", "hbase").code == "NO_RIGHT"


def test_a_standby_sends_us_to_the_other_namenode_and_we_stay_there(two: Two) -> None:
    client, first, second = two
    first.misbehaviours["NN:MKDIRS"] = [exception("StandbyException")] * 5
    client.put()
    client.put()
    assert len(first.requests) == 1
    assert len(second.requests) == 2


def test_a_buried_retriable_answer_is_tried_again_and_a_final_one_is_not(two: Two) -> None:
    client, first, second = two
    buried = "org.apache.hadoop.ipc.RetriableException: InvalidToken: can't be found in cache"
    for peer in (first, second):
        peer.misbehaviours["NN:MKDIRS"] = [exception("SecurityException", buried)] * 2
    client.put()
    first.misbehaviours["NN:MKDIRS"] = [exception("AccessControlException", "no")]
    second.misbehaviours["NN:MKDIRS"] = []
    client.webhdfs._active.clear()
    failed = failure_of(client.put)
    assert failed.code == "NO_RIGHT"
    assert failed.detail["exception"] == "AccessControlException"
    assert not failed.unknown
    assert not failed.transient


def test_safe_mode_is_told_at_once_as_something_that_passes(two: Two) -> None:
    client, first, _ = two
    first.misbehaviours["NN:MKDIRS"] = [exception("SafeModeException", "Name node is in safe mode")]
    failed = failure_of(client.put)
    assert failed.transient
    assert not failed.unknown


def test_a_namenode_that_refuses_connections_is_passed_over(tmp_path: Path) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [f"http://127.0.0.1:{unused_port()}", peer.url])
        assert client.put()["op"] == "MKDIRS"
        client.connections.close()


def test_where_nobody_answers_nothing_has_happened(tmp_path: Path) -> None:
    client = Client(tmp_path, [f"http://127.0.0.1:{unused_port()}"])
    failed = failure_of(client.put)
    assert failed.code == "HDFS_UNREACHABLE"
    assert failed.transient
    assert not failed.unknown


def test_a_lost_answer_to_a_write_is_unknown_and_a_read_is_repeated(two: Two) -> None:
    client, first, second = two
    first.misbehaviours["NN:MKDIRS"] = [hang_up]
    assert failure_of(client.put).unknown
    assert first.ops() + second.ops() == ["NN:MKDIRS"]
    first.misbehaviours["NN:GETFILESTATUS"] = [hang_up]
    second.misbehaviours["NN:GETFILESTATUS"] = [hang_up]
    assert client.get()["op"] == "GETFILESTATUS"


def test_a_namenode_that_hangs_is_unknown_for_writes_and_survived_by_reads(two: Two) -> None:
    client, first, second = two
    wake = threading.Event()
    for peer in (first, second):
        peer.misbehaviours = {op: [lambda handler: not wake.wait(1.0)] for op in ("NN:MKDIRS", "NN:GETFILESTATUS")}
    failed = failure_of(client.put)
    assert failed.unknown
    assert "timed out" in failed.message
    assert client.get()["op"] == "GETFILESTATUS"
    wake.set()


def test_an_answer_that_is_not_from_a_namenode_is_no_success(two: Two) -> None:
    client, first, second = two
    first.misbehaviours["NN:MKDIRS"] = [html(502), html(200), html(404)]
    assert failure_of(client.put).unknown
    assert failure_of(client.put).code == "HDFS"
    assert failure_of(client.put).detail["status"] == 404
    first.misbehaviours["NN:GETFILESTATUS"] = [html(503)]
    assert client.get()["op"] == "GETFILESTATUS"
    assert second.ops() == ["NN:GETFILESTATUS"]


def test_an_idle_connection_that_the_server_closed_is_not_used_for_a_write(two: Two) -> None:
    client, first, _ = two

    def answer_and_close(handler: Any) -> bool:
        handler.answer(200, {})
        handler.close_connection = True
        return True

    first.misbehaviours["NN:GETFILESTATUS"] = [answer_and_close]
    client.get()
    time.sleep(0.05)  # for the end of the connection to arrive; nothing tells when
    assert client.put()["op"] == "MKDIRS"
    assert first.connections == 2


def test_a_range_is_copied_through_the_locations_that_the_namenodes_name(pair: Two) -> None:
    client, first, second = pair
    result = client.copy(length=2_000_000, offset=300)
    assert result["bytes"] == 2_000_000
    assert second.files[f"{ODD_NAME}.copy"] == first.files[ODD_NAME][300:2_000_300]
    asked = next(query for op, _, query in second.requests if op == "DN:CREATE")
    assert asked["createparent"] == "false"
    assert asked["overwrite"] == "true"
    assert (asked["blocksize"], asked["replication"], asked["permission"]) == ("1048576", "1", "600")


def test_an_empty_range_makes_an_empty_file(pair: Two) -> None:
    client, first, second = pair
    client.copy(length=0)
    assert second.files[f"{ODD_NAME}.copy"] == b""
    assert first.requests == []


def test_a_source_that_breaks_off_once_is_read_again(pair: Two) -> None:
    client, first, second = pair
    first.misbehaviours["DN:OPEN"] = [break_off_after(1_500_000), hang_up]
    client.copy(length=3_000_000)
    assert second.files[f"{ODD_NAME}.copy"] == first.files[ODD_NAME][:3_000_000]


def test_a_source_that_always_breaks_off_at_the_same_place_is_damaged(pair: Two) -> None:
    client, first, second = pair
    first.misbehaviours["DN:OPEN"] = [break_off_after(1_500_000)] * 20
    failed = failure_of(client.copy, 3_000_000)
    assert failed.code == "SOURCE_DAMAGED"
    assert failed.detail["position"] == 1_500_000
    assert len(second.files.get(f"{ODD_NAME}.copy", b"")) < 3_000_000
    assert first.ops().count("DN:OPEN") == 3


def test_a_node_that_says_that_a_block_is_missing_is_a_damaged_source(pair: Two) -> None:
    client, first, _ = pair
    first.misbehaviours["DN:OPEN"] = [exception("BlockMissingException", "Could not obtain block", 500)] * 20
    assert failure_of(client.copy, 3_000_000).code == "SOURCE_DAMAGED"


def test_a_file_that_is_shorter_than_wanted_is_not_tried_again(pair: Two) -> None:
    client, first, second = pair
    failed = failure_of(client.copy, 4_000_000)
    assert failed.code == "SOURCE_DAMAGED"
    assert first.ops().count("DN:OPEN") == 1
    assert "DN:CREATE" not in second.ops()


def test_a_target_that_refuses_for_good_is_not_tried_again(pair: Two) -> None:
    client, _, second = pair
    second.misbehaviours["DN:CREATE"] = [exception("FileNotFoundException", "Parent directory doesn't exist", 404)]
    failed = failure_of(client.copy, 3_000_000)
    assert failed.code == "HDFS"
    assert failed.detail["exception"] == "FileNotFoundException"
    assert second.ops().count("DN:CREATE") == 1


def test_a_target_that_breaks_is_tried_again_and_named_when_it_stays_broken(pair: Two) -> None:
    client, first, second = pair
    second.misbehaviours["DN:CREATE"] = [hang_up, exception("IOException", "0 of the 1 minReplication nodes", 500)]
    client.copy(length=3_000_000)
    assert second.files[f"{ODD_NAME}.copy"] == first.files[ODD_NAME][:3_000_000]
    second.misbehaviours["DN:CREATE"] = [exception("IOException", "0 of the 1 minReplication nodes", 500)] * 1000
    failed = failure_of(client.copy, 3_000_000)
    assert failed.code == "HDFS"
    assert failed.transient or "minReplication" in failed.message


def test_a_datanode_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with peers(1) as (namenode,):
        port = unused_port()
        location = f"http://127.0.0.1:{port}/webhdfs/v1/x?op=OPEN&offset=0&namenoderpcaddress=nn"

        def elsewhere(handler: Any) -> bool:
            handler.answer(200, {"Location": location})
            return True

        namenode.misbehaviours["NN:OPEN"] = [elsewhere] * 1000
        client = Client(tmp_path, [namenode.url])
        late: list[Peer] = []

        def come_back() -> None:
            late.append(Peer(port))
            late[0].files["/x"] = b"back"

        timer = threading.Timer(0.5, come_back)
        timer.start()
        assert client.transfers.read(ReadFile("primary", "/x")) == b"back"
        timer.join()
        late[0].close()
        assert any("excludedatanodes" in query for _, _, query in namenode.requests)
        client.connections.close()


def test_small_files_are_read_written_and_hashed(pair: Two) -> None:
    client, first, _ = pair
    client.transfers.write(WriteFile("primary", "/small", b"content", "640"))
    assert first.files["/small"] == b"content"
    assert client.transfers.read(ReadFile("primary", "/small")) == b"content"
    assert client.transfers.read(ReadFile("primary", "/small", 2, 3)) == b"nte"
    assert client.transfers.read(ReadFile("primary", "/small", 2, 0)) == b""
    digest = client.transfers.digest(DigestFile("primary", ODD_NAME, 1_000_000))
    assert digest == {"sha256": hashlib.sha256(first.files[ODD_NAME][:1_000_000]).hexdigest(), "bytes": 1_000_000}
    assert failure_of(client.transfers.digest, DigestFile("primary", "/small", 8)).code == "SOURCE_DAMAGED"


def test_an_instruction_that_ends_cuts_copies_and_pauses_short(pair: Two) -> None:
    client, first, _ = pair
    client.cancelled.set()
    assert failure_of(client.copy, 3_000_000).code == "ABORTED"
    first.misbehaviours["NN:OPEN"] = [exception("StandbyException")] * 100
    assert failure_of(client.copy, 3_000_000).code == "ABORTED"


@pytest.mark.parametrize(
    ("exception", "code"),
    [
        ("AccessControlException", "NO_RIGHT"),
        ("DSQuotaExceededException", "NO_SPACE"),
        ("NSQuotaExceededException", "NO_SPACE"),
        ("QuotaByStorageTypeExceededException", "NO_SPACE"),
        ("PathComponentTooLongException", "LIMIT_REACHED"),
        ("MaxDirectoryItemsExceededException", "LIMIT_REACHED"),
        ("SnapshotException", "HDFS_REFUSED"),
        ("HadoopIllegalArgumentException", "HDFS_REFUSED"),
        ("UnsupportedOperationException", "HDFS_REFUSED"),
        ("IOException", "HDFS"),
        ("FileNotFoundException", "HDFS"),
        ("SafeModeException", "HDFS"),
        ("RetriableException", "HDFS"),
        ("AclException: Support for ACLs has been disabled", "ACLS_OFF"),
        ("IOException: Support for XAttrs has been disabled by setting", "XATTRS_OFF"),
        ("IOException: Cannot add additional XAttr to inode, would exceed limit of 3", "LIMIT_REACHED"),
        ("HadoopIllegalArgumentException: The XAttr is too big. The maximum", "LIMIT_REACHED"),
        ("IOException: Requested replication factor of 4 exceeds maximum of 3 for /x/f", "LIMIT_REACHED"),
        ("IOException: Specified block size 1024 is less than configured minimum value", "LIMIT_REACHED"),
        ("IOException: File has reached the limit on maximum number of blocks", "LIMIT_REACHED"),
        (
            "SnapshotException: there are 2 snapshot(s) and the per directory snapshot limit is 2",
            "LIMIT_REACHED",
        ),
        ("SnapshotException: Source /a and dest /b are not under the same snapshot root.", "RENAMES_FORBIDDEN"),
        ("IOException: Failed to set, since dfs.storage.policy.enabled is set to false.", "NO_STORAGE_POLICY"),
        ('IllegalArgumentException: "svc@X" does not belong to the domain ^(default:)', "HDFS_REFUSED"),
    ],
)
def test_what_an_administrator_can_mend_has_a_code_and_a_remedy(exception: str, code: str) -> None:
    """The messages are those of Hadoop 3.4.3."""
    name, _, message = exception.partition(": ")
    answer = json.dumps({"RemoteException": {"exception": name, "message": message or "no"}}).encode()
    with pytest.raises(OperationFailed) as failed:
        parse_answer(403, answer, "CREATE /f")
    assert failed.value.code == code
    assert bool(failed.value.remedy) is (code != "HDFS")
