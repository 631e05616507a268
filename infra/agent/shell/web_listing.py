"""List directories over WebHDFS, and find out which blocks the files have, as far as that is affordable.

WebHDFS lists no blocks. It tells those of one file at a time, which costs the NameNode a request each; so of what is
listed no more than ``LISTED_FILES_LIMIT`` files are asked for in one instruction, and the contents of the others remain
unidentified. Of what is copied all are asked for: copying costs many requests anyway. A server that does not know the
operation (HttpFS before 3.4) is asked once.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Sequence

from infra.agent.core.block_identity import block, identity_of
from infra.agent.core.hdfs import Identify, ListPage, exception_of, page_request
from infra.agent.core.operations import HdfsCall, OperationFailed

LISTED_FILES_LIMIT = 10_000
_UNKNOWN_OPERATION = ("IllegalArgumentException", "UnsupportedOperationException", "QueryParamException")


class WebListing:
    """Lists and identifies for one instruction; ``ask`` asks a NameNode over WebHDFS."""

    def __init__(self, ask: Callable[[HdfsCall], dict[str, Any]], limit: int = LISTED_FILES_LIMIT) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._left = limit
        self._ignorant: set[str] = set()

    def list_page(self, operation: ListPage) -> dict[str, Any]:
        """Carry out a ``ListPage``."""
        page = self._ask(page_request(operation.site, operation.path, operation.start_after))
        found: Sequence[dict[str, Any]] = page["DirectoryListing"]["partialListing"]["FileStatuses"]["FileStatus"]
        for status in found:
            if status["type"] == "FILE" and status["length"] and self._may_ask():
                identity = self._identity(operation.site, f"{operation.path}/{status['pathSuffix']}")
                if identity is not None:
                    status["blocks"] = identity
        return page

    def identify(self, operation: Identify) -> list[str | None]:
        """Carry out an ``Identify``."""
        return [self._identity(operation.site, path) for path in operation.paths]

    def _may_ask(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _identity(self, site: str, path: str) -> str | None:
        if site in self._ignorant:
            return None
        try:
            answer = self._ask(HdfsCall(site, "GET", "GET_BLOCK_LOCATIONS", path))
            blocks = [located["block"] for located in answer["LocatedBlocks"]["locatedBlocks"]]
            told = b"".join(block(int(one["blockId"]), int(one["generationStamp"])) for one in blocks)
        except OperationFailed as failure:
            if not failure.is_final:
                raise
            if exception_of(failure) in _UNKNOWN_OPERATION:
                self._ignorant.add(site)
            return None  # it is gone, or not for us: whoever wants it for more than this finds that out
        except (KeyError, TypeError, ValueError):
            self._ignorant.add(site)
            return None
        return identity_of(told) if told else None
