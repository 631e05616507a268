"""The levels of verification: what each of them looks at, and what it proves about contents.

A verdict about contents is EQUAL only where all of them were looked at, now or by a proof that stands for them, and the
digest of what was found is told. Where some were not, and nothing differs, it is LISTED: then ``listed`` holds two
digests, of what was expected and of what was found, without the checksums of what nobody has looked at.

``metadata`` names and lengths; ``changed`` also the stored checksums of what this run moved; ``checksum`` the stored
checksums of all files; ``bytes`` also reads every file, which a DataNode does not let pass when a block does not fit
its stored checksums. At every level ``sample.percent`` of the files are read, chosen by ``sample.seed``, so that over
the runs all are.
"""

from __future__ import annotations

import hashlib
from typing import Any

from infra.agent.core.work import Work

PROVED = {
    "metadata": "names and lengths",
    "changed": "checksums of what moved",
    "checksum": "stored checksums",
    "bytes": "bytes",
}


EQUAL = "EQUAL"
DIFFERENT = "DIFFERENT"
LISTED = "LISTED"


def content_verdict(is_equal: bool, expected: str, found: str | None, proved: str) -> dict[str, Any]:
    """What a verification says about contents; ``found`` None where not all were looked at."""
    verdict = DIFFERENT if not is_equal else LISTED if found is None else EQUAL
    return {"verdict": verdict, "expected": expected, "found": found, "proved": proved}


class Level:
    """The level of one instruction, and its sample."""

    def __init__(self, work: Work) -> None:
        self._name: str = work.payload["level"]
        self._percent: int = work.payload["sample"]["percent"]
        self._seed: str = work.payload["sample"]["seed"]

    @property
    def proved(self) -> str:
        """What it proves of every file."""
        return PROVED[self._name]

    @property
    def sees_all(self) -> bool:
        """Whether all contents are looked at, now or by proofs that stand for them."""
        return self._name in ("checksum", "bytes")

    def reads(self, path: str) -> bool:
        """Whether a file is read whole."""
        return self._name == "bytes" or self._is_in_sample(path)

    def checks(self, path: str, entry: dict[str, Any]) -> bool:
        """Whether a file's checksum is asked for; ``entry`` is its line of the source manifest."""
        if self._name == "changed" and entry.get("w"):
            return True
        return self._name == "checksum" or self.reads(path)

    def accepts_proofs(self, path: str) -> bool:
        """Whether what an earlier verification has computed of a file is as good as computing it now."""
        return self._name == "checksum" and not self.reads(path)

    def _is_in_sample(self, path: str) -> bool:
        drawn = hashlib.sha256(f"{self._seed}/{path}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") % 10_000 < self._percent * 100
