"""A cluster that is full is told from one whose DataNodes are busy or away, for which HDFS has the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.agent.core.operations import OperationFailed, WriteFile
from tests.agent.http_peer import Handler, Misbehave, Peer, exception, peers
from tests.agent.test_webhdfs import ODD_NAME, Client, failure_of

NOBODY = (
    "File /x could only be written to 0 of the 1 minReplication nodes. There are 1 datanode(s) running and"
    " no node(s) are excluded in this operation."
)
OUT_OF_SPACE = (
    "Out of space: The volume with the most available space (=5 B) is less than the block size (=134217728 B)."
)
NOWHERE = "Failed to find datanode, suggest to check cluster health. excludeDatanodes=null"
ALWAYS = 1000


def status(remaining: int, capacity: int) -> Misbehave:
    """What a NameNode says of its cluster's room."""

    def answer(handler: Handler) -> bool:
        handler.answer(200, {"FsStatus": {"used": 1, "remaining": remaining, "capacity": capacity}})
        return True

    return answer


def refuse(peer: Peer, message: str, room: Misbehave) -> str:
    """Let every try to write fail with this message; returns which request fails."""
    op = "NN:CREATE" if message == NOWHERE else "DN:CREATE"
    peer.misbehaviours[op] = [exception("IOException", message, 500)] * ALWAYS
    peer.misbehaviours["NN:GETSTATUS"] = [room] * ALWAYS
    return op


@pytest.mark.parametrize("message", [NOBODY, NOWHERE, OUT_OF_SPACE])
@pytest.mark.parametrize(("remaining", "capacity"), [(0, 1 << 40), (1 << 20, 1 << 40), (5, 6)])
def test_a_cluster_that_is_full_is_told_at_once(tmp_path: Path, message: str, remaining: int, capacity: int) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        op = refuse(peer, message, status(remaining, capacity))
        failed = failure_of(client.transfers.write, WriteFile("primary", "/x", b"content"))
        assert failed.code == "NO_SPACE"
        assert failed.is_final
        assert message in failed.message
        assert f"{remaining} of {capacity} bytes are free" in failed.message
        assert "add DataNodes" in failed.remedy
        assert peer.ops().count(op) == 1
        client.connections.close()


@pytest.mark.parametrize(
    ("message", "room"),
    [
        (NOBODY, status(1 << 39, 1 << 40)),
        (NOWHERE, status(0, 0)),
        (NOBODY, exception("UnsupportedOperationException", "GETSTATUS is not supported", 400)),
        ("All datanodes are bad. Aborting...", status(0, 1 << 40)),
    ],
    ids=["room", "no DataNode", "too old to tell", "something else"],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, message: str, room: Misbehave) -> None:
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        op = refuse(peer, message, room)
        del peer.misbehaviours[op][2:]
        client.transfers.write(WriteFile("primary", "/x", b"content"))
        assert peer.files["/x"] == b"content"
        assert peer.ops().count(op) == 3
        client.connections.close()


def test_a_file_that_is_copied_needs_room_for_a_whole_block(tmp_path: Path) -> None:
    """The file is small, and there would be room for it; the NameNode wants that of one block of the wanted size."""
    with peers(1) as (peer,):
        client = Client(tmp_path, [peer.url])
        peer.files[ODD_NAME] = b"content"
        refuse(peer, NOBODY, status((1 << 20) - 1, 1 << 21))
        with pytest.raises(OperationFailed, match="NO_SPACE"):
            client.copy(7)
        client.connections.close()
