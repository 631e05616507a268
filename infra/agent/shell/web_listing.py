"""List directories over WebHDFS, and find out which blocks the files have, as far as that is affordable.

WebHDFS lists no blocks. It tells those of one file at a time, which costs the NameNode a request each; so of what is
listed the first ``LISTED_FILES_LIMIT`` files of an instruction are asked for, and each one after them with the chance
with which it would be among so many of all until there: a million files cost 56,000 requests, and none is left out for
ever. The contents of the others remain unidentified. Of what is copied all are asked for: copying costs many requests
anyway. A server that does not know the operation (HttpFS before 3.4) is asked once.
"""

from __future__ import annotations

import random
import threading
from typing import Any, Callable, Sequence

from infra.agent.core.block_identity import block, identity_of
from infra.agent.core.hdfs import Identify, ListPage, exception_of, page_request
from infra.agent.core.operations import HdfsCall, OperationFailed

LISTED_FILES_LIMIT = 10_000
_UNKNOWN_OPERATION = ("IllegalArgumentException", "UnsupportedOperationException", "QueryParamException")


class WebListing:
    """Lists and identifies for one instruction; ``ask`` asks a NameNode over WebHDFS."""

    def __init__(
        self,
        ask: Callable[[HdfsCall], dict[str, Any]],
        limit: int = LISTED_FILES_LIMIT,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._limit = limit
        self._draw = draw
        self._listed = 0
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
            self._listed += 1
            return self._listed <= self._limit or self._draw() * self._listed < self._limit

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
