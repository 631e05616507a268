"""An outage of a simulated HDFS: from some request on nothing answers, and nobody knows what became of that request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from infra.agent.core.operations import OperationFailed
from tests.fakes.hdfs import FakeHdfs

REQUESTS = ("call", "read", "write", "checksum", "open_files")


class Outage:
    """Begins with the ``first`` request (from 1), which has its effect or not; ``unanswered`` are it and all after."""

    def __init__(self, first: int, lands: bool) -> None:
        self.first = first
        self.lands = lands
        self.count = 0
        self.unanswered: list[tuple[Any, ...]] = []

    @property
    def has_begun(self) -> bool:
        """Tell whether there were so many requests."""
        return self.count >= self.first

    def around(self, name: str, request: Callable[..., Any]) -> Callable[..., Any]:
        """The request as it is during the outage."""

        def disturbed(*words: Any, **more: Any) -> Any:
            self.count += 1
            if self.has_begun:
                if name == "call":
                    self.unanswered.append(words)
                is_unknown = self.count == self.first
                if is_unknown and self.lands:
                    with suppress(OperationFailed):
                        request(*words, **more)
                raise OperationFailed("HDFS_UNREACHABLE", "no answer", transient=True, unknown=is_unknown)
            return request(*words, **more)

        return disturbed


@contextmanager
def outage(hdfs: FakeHdfs, first: int, lands: bool) -> Iterator[Outage]:
    """Let an outage happen while the block runs; afterwards everything answers again."""
    happens = Outage(first, lands)
    for name in REQUESTS:
        setattr(hdfs, name, happens.around(name, getattr(hdfs, name)))
    try:
        yield happens
    finally:
        for name in REQUESTS:
            delattr(hdfs, name)


def arrive_late(hdfs: FakeHdfs, unanswered: list[tuple[Any, ...]]) -> None:
    """Let requests that nobody got an answer to have their effect after all."""
    for words in unanswered:
        with suppress(OperationFailed):
            hdfs.call(*words)
