"""What tells the contents of a file apart without reading them: which blocks it has, in which generation.

HDFS never uses the id of a block again, and gives a block another generation stamp whenever somebody appends to it or
cuts it. So a closed file of the same inode, length and blocks holds the same bytes, whatever its modification time
says. The reverse does not hold: a recovered lease changes a stamp and no byte. Ids are the cluster's own: those of a
copy say nothing about those of its source. An empty file has no blocks, and no identity.
"""

from __future__ import annotations

import hashlib

from infra.agent.core.protobuf import integer_field

DIGITS = 16


class TreeIdentity:
    """The identity of the contents of a whole tree, fed with its files in their order."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._is_told = True
        self._files = 0

    def add(self, length: int, identity: str | None) -> None:
        """Take the next file."""
        if length == 0:
            return
        self._files += 1
        if identity is None:
            self._is_told = False
        else:
            self._digest.update(identity.encode("ascii"))

    def told(self) -> str | None:
        """The identity; None where that of a file was not told."""
        return f"{self._files}:{self._digest.hexdigest()}" if self._is_told else None


def identity_of(blocks: bytes) -> str:
    """The identity of blocks that are written one after another as ``block`` writes them."""
    return hashlib.sha256(blocks).hexdigest()[:DIGITS]


def block(block_id: int, generation: int) -> bytes:
    """A block as the message ``ExtendedBlock`` has it between its pool and its length."""
    return integer_field(2, block_id & 0xFFFFFFFFFFFFFFFF) + integer_field(3, generation)
