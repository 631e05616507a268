"""Whether a cluster is full: HDFS itself says no more than that no DataNode takes a block.

It says the same of DataNodes that are busy or away, which passes, so the NameNode is asked how much is free. What is
free on all of them together may lie in parts of which none is as large as a block; so next to nothing is nothing.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from infra.agent.core.operations import HdfsCall, OperationFailed

NEXT_TO_NOTHING_PERCENT = 1
REMEDY = "Make room on that cluster, or add DataNodes: `hdfs dfsadmin -report` tells how much each of them has left."
# A NameNode's words, also older ones: when it is asked for a block, and when it is asked where to go with one. And
# a DataNode's own, which is full before its next heartbeat tells of it.
_NOBODY_TAKES_IT = (
    "could only be written to",
    "could only be replicated to",
    "Failed to find datanode",
    "Out of space:",
    "No space left on device",
)

AskNameNode = Callable[[HdfsCall], Mapping[str, Any]]


def no_room(ask: AskNameNode, site: str, wanted_bytes: int, failure: OperationFailed) -> OperationFailed | None:
    """NO_SPACE in place of a failure to write ``wanted_bytes`` in one block, if that is what it comes from.

    None where it comes from something else, and where the NameNode is too old to tell or does not answer.
    """
    if not any(words in failure.message for words in _NOBODY_TAKES_IT):
        return None
    try:
        status = ask(HdfsCall(site, "GET", "GETSTATUS", "/")).get("FsStatus")
    except OperationFailed:
        return None
    free, capacity = (int((status or {}).get(name) or 0) for name in ("remaining", "capacity"))
    if capacity == 0 or (free >= wanted_bytes and 100 * free >= NEXT_TO_NOTHING_PERCENT * capacity):
        return None  # without any capacity there is no DataNode
    message = f"{failure.message} ({free} of {capacity} bytes are free on the {site})"
    return OperationFailed("NO_SPACE", message, remedy=REMEDY, detail=failure.detail)
