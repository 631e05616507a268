"""The highest epoch and term seen per pair, and the cluster that this spool serves.

Invariant: both numbers only grow, and they are raised before an instruction that carries them can be seen. So a
controller that was paused while another took over is refused, even if its message arrives late.

The cluster's name is remembered from the first accepted instruction on: it finds swapped gateways in a configuration.
Who the cluster *is* (its identity and epoch) is told by the marker in its HDFS alone, which the procedures read.
"""

from __future__ import annotations

import json
import os
from typing import Dict

from infra.agent.protocol import Instruction, WireError, canonical
from infra.agent.shell.disk import read_file
from infra.agent.shell.spool import Spool

Highest = Dict[str, Dict[str, int]]


class Terms:
    """Reads and raises what the spool remembers; the caller holds the spool's lock."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._epochs_path = os.path.join(spool.root, "epochs.json")
        self._cluster_path = os.path.join(spool.root, "cluster.json")

    def check(self, instruction: Instruction) -> None:
        """Refuse (``WireError``) an instruction for another cluster, of an old epoch or from an old controller."""
        cluster = self._cluster()
        if cluster not in (None, instruction.cluster):
            raise WireError(
                "WRONG_CLUSTER",
                f"this spool serves cluster {cluster!r}, the instruction is for {instruction.cluster!r}"
                f" (if the cluster was renamed, remove {self._cluster_path})",
            )
        highest = self._highest().get(instruction.pair, {"epoch": 0, "term": 0})
        if instruction.epoch < highest["epoch"]:
            raise WireError("OLD_EPOCH", f"epoch {instruction.epoch} is over, it is {highest['epoch']} now")
        if instruction.term < highest["term"]:
            raise WireError("OLD_TERM", f"a controller of term {highest['term']} has taken over")

    def raise_to(self, instruction: Instruction) -> None:
        """Remember the instruction's cluster, epoch and term, durably."""
        if self._cluster() is None:
            self._spool.disk.replace(self._cluster_path, canonical({"cluster": instruction.cluster}))
        highest = self._highest()
        known = highest.get(instruction.pair, {"epoch": 0, "term": 0})
        raised = {
            "epoch": max(known["epoch"], instruction.epoch),
            "term": max(known["term"], instruction.term),
        }
        if raised != highest.get(instruction.pair):
            highest[instruction.pair] = raised
            self._spool.disk.replace(self._epochs_path, canonical(highest))

    def epoch_is_over(self, instruction: Instruction) -> bool:
        """Tell whether a later epoch than the instruction's has been seen."""
        return instruction.epoch < self._highest().get(instruction.pair, {"epoch": 0})["epoch"]

    def _highest(self) -> Highest:
        value: Highest = json.loads(read_file(self._epochs_path) or b"{}")
        return value

    def _cluster(self) -> str | None:
        data = read_file(self._cluster_path)
        return None if data is None else json.loads(data)["cluster"]
