"""The highest epoch and term seen per pair, whose they were, and the cluster that this spool serves.

A fast refusal, before an agent is started: what counts is told by the cluster itself (``core/ownership`` and the
markers), which knows it on a new gateway, too. Invariant: the epoch of a store only grows, and so does the term within
an epoch as long as one control device follows another; both are raised before an instruction that carries them can be
seen. So a controller that was paused while another took over is refused, even if its message arrives late. Terms of
different stores cannot be compared.

Whoever the cluster refuses may have been here first: a copy of the store with a higher term, or another store with a
later epoch. So a control device that is refused for either reads the record on the cluster, and says so
(``is_confirmed``) if that is its own: then what it says counts from here on, though it is lower.

The cluster's name is remembered from the first accepted instruction on: it finds swapped gateways in a configuration.
Who the cluster *is* (its identity and epoch) is told by the marker in its HDFS alone, which the procedures read.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict

from infra.agent.protocol import LOOKS_FOR_ANYBODY, Instruction, WireError, canonical
from infra.agent.shell.disk import read_file
from infra.agent.shell.spool import Spool

Highest = Dict[str, Dict[str, Any]]
_NOTHING = {"epoch": 0, "term": 0}


class Terms:
    """Reads and raises what the spool remembers; the caller holds the spool's lock."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._epochs_path = os.path.join(spool.root, "epochs.json")
        self._cluster_path = os.path.join(spool.root, "cluster.json")

    def check(self, instruction: Instruction, controller: dict[str, Any] | None = None) -> None:
        """Refuse (``WireError``) an instruction for another cluster, of an old epoch or from an old controller."""
        cluster = self._cluster()
        if cluster not in (None, instruction.cluster):
            raise WireError(
                "WRONG_CLUSTER",
                f"this spool serves cluster {cluster!r}, the instruction is for {instruction.cluster!r}"
                f" (if the cluster was renamed, remove {self._cluster_path})",
            )
        if instruction.kind in LOOKS_FOR_ANYBODY:
            return
        highest = self._highest().get(instruction.pair, _NOTHING)
        is_same_store = _is_same_store(highest, controller)
        by_whom = f" on host {highest['host']}" if "host" in highest else ""
        if instruction.epoch < highest["epoch"]:
            if not is_same_store:
                if _is_confirmed(controller):
                    return
                raise WireError(
                    "PAIR_OWNED",
                    f"the pair was taken over by the store {highest['store']} of another control device{by_whom}",
                )
            raise WireError("OLD_EPOCH", f"epoch {instruction.epoch} is over, it is {highest['epoch']} now")
        if instruction.epoch == highest["epoch"] and is_same_store and instruction.term < highest["term"]:
            if _is_confirmed(controller):
                return
            raise WireError("OLD_TERM", f"a controller of term {highest['term']}{by_whom} has taken over")

    def raise_to(self, instruction: Instruction, controller: dict[str, Any] | None = None) -> None:
        """Remember the instruction's cluster, epoch and term, durably."""
        if instruction.kind in LOOKS_FOR_ANYBODY:
            return
        if self._cluster() is None:
            self._spool.disk.replace(self._cluster_path, canonical({"cluster": instruction.cluster}))
        highest = self._highest()
        known = highest.get(instruction.pair, _NOTHING)
        who = {} if controller is None else {"store": controller["store"], "host": controller["host"]}
        is_other_term = instruction.term > known["term"] or (
            _is_confirmed(controller) and instruction.term < known["term"]
        )
        is_same_store = _is_same_store(known, controller)
        comes_after = (
            instruction.epoch > known["epoch"]
            or (is_same_store and is_other_term)
            or (not is_same_store and instruction.epoch < known["epoch"])  # it is confirmed
        )
        # The first one to tell its store goes on from who did not tell any.
        tells_store = "store" not in known and bool(who) and instruction.epoch == known["epoch"]
        if comes_after or tells_store:
            highest[instruction.pair] = {"epoch": instruction.epoch, "term": instruction.term, **who}
            self._spool.disk.replace(self._epochs_path, canonical(highest))

    def epoch_is_over(self, instruction: Instruction, controller: dict[str, Any] | None = None) -> bool:
        """Tell whether the submitter's own store has begun a later epoch; of another store's the cluster judges."""
        highest = self._highest().get(instruction.pair, _NOTHING)
        is_lower: bool = instruction.epoch < highest["epoch"]
        return is_lower and _is_same_store(highest, controller)

    def _highest(self) -> Highest:
        value: Highest = json.loads(read_file(self._epochs_path) or b"{}")
        return value

    def _cluster(self) -> str | None:
        data = read_file(self._cluster_path)
        return None if data is None else json.loads(data)["cluster"]


def _is_confirmed(controller: dict[str, Any] | None) -> bool:
    return controller is not None and controller.get("is_confirmed", False)


def _is_same_store(known: dict[str, Any], controller: dict[str, Any] | None) -> bool:
    """Whether nothing speaks against it: who told no store may be the same."""
    return controller is None or known.get("store") in (None, controller["store"])
