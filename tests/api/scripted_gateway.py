"""A gateway whose agent succeeds at once at everything, with results of the documented form; it can be told to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.values.canonical import sha256_of
from domain.values.endpoints import Endpoints
from infra.agent.protocol import Instruction, outcome
from infra.ports.gateway import ClockOffset, Seen, Submission, SubmissionRefused, Submitted
from tests.domain.honest import looks, named, place

CLOCK = {"offset_ms": 0.0, "uncertainty_ms": 0.5}


class ScriptedClusters:
    """All gateways together. ``fail`` maps a kind of instruction to the failure that it ends with, ``results`` adds
    members to the results of a kind, ``sizes`` is what each data set of a primary is told to have."""

    def __init__(self) -> None:
        self.markers: dict[str, dict[str, Any]] = {}
        self.fail: dict[str, dict[str, Any]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.done: list[Instruction] = []
        self.owner: dict[str, Any] | None = None
        self.sizes: dict[str, int] | None = None

    def open(self, cluster: str, endpoints: Endpoints) -> ScriptedGateway:
        """The gateway of a cluster."""
        return ScriptedGateway(cluster, self)


class ScriptedGateway:
    """One cluster's gateway."""

    def __init__(self, cluster: str, clusters: ScriptedClusters) -> None:
        self._cluster = cluster
        self._clusters = clusters
        self._known: dict[str, Instruction] = {}

    async def submit(self, submission: Submission) -> Submitted | SubmissionRefused:
        """Accept everything."""
        instruction = submission.instruction
        attached = instruction.id in self._known
        self._known[instruction.id] = instruction
        return Submitted(instruction.id, attached)

    async def look(
        self,
        ids: Sequence[str],
        after: Mapping[str, int] | None = None,
        allow: Mapping[str, Mapping[str, Any]] | None = None,
        wait_seconds: float = 0.0,
    ) -> dict[str, Seen]:
        """Everything is done as soon as somebody looks, snapshots at their moment."""
        await asyncio.sleep(wait_seconds)
        return {identity: self._seen(identity) for identity in ids}

    def _seen(self, identity: str) -> Seen:
        instruction = self._known.get(identity)
        if instruction is None:
            return Seen(identity, known=False, alive=False)
        now_ms = time.time() * 1000
        if instruction.kind == "TakeSnapshots" and now_ms < instruction.payload["moment_ms"] + 20:
            return Seen(identity, known=True, alive=True, milestones={"armed": {"clocks": {}}})
        failure = self._clusters.fail.get(instruction.kind)
        result = None if failure else self._result(instruction)
        if instruction not in self._clusters.done:
            self._clusters.done.append(instruction)
        told = {"data_set": None, "unknown": False, "detail": {}, "remedy": "", **failure} if failure else None
        ended = outcome(instruction.id, instruction.kind, result, told, int(now_ms))
        return Seen(identity, known=True, alive=False, outcome=ended)

    def _result(self, instruction: Instruction) -> dict[str, Any]:
        make: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, f"_{instruction.kind}")
        return {**make(instruction.payload), **self._clusters.results.get(instruction.kind, {})}

    def _ShowOwner(self, payload: dict[str, Any]) -> dict[str, Any]:
        told = {"seen_ms": None, "marker": None, "owner": self._clusters.owner}
        return {"sites": dict.fromkeys(payload["sites"], told)}

    def _WriteMarker(self, payload: dict[str, Any]) -> dict[str, Any]:
        self._clusters.markers[self._cluster] = payload["marker"]
        return {"serial": payload["serial"], "marker": payload["marker"]}

    def _CheckCluster(self, payload: dict[str, Any]) -> dict[str, Any]:
        found = [{**pattern, "facts": {}} for pattern in payload["patterns"] if "*" not in (pattern.get("table") or "")]
        if payload.get("sizes") and self._clusters.sizes is not None:
            found = [{**one, "size": self._clusters.sizes} for one in found]
        return {
            "gateway": {},
            "clocks": {"namenode": CLOCK, "hbase": CLOCK},
            "marker": self._clusters.markers.get(self._cluster),
            "safe_mode": False,
            "data_sets": found,
            "findings": [
                {"check": "right", "subject": "/", "ok": True, "code": "OK", "message": "tried.", "remedy": ""}
            ],
            "hbase": {"version": "2.6.4"},
            "space": {"free_bytes": 1 << 40},
        }

    def _TakeSnapshots(self, payload: dict[str, Any]) -> dict[str, Any]:
        moment = payload["moment_ms"]
        taken = {
            one["id"]: {
                "snapshot": named(one, payload["snapshot"]),
                "asked_ms": moment + 1.0,
                "done_ms": moment + 20.0 * number,
                "server_ms": moment + 5,
                "asked_cluster_ms": moment + 1.0,
                "done_cluster_ms": moment + 20.0 * number,
                "open_files": [],
                "evidence": {
                    "grade": "BOUNDED",
                    "reason": "regions flush one after another",
                    "looks": looks(one["component"], moment + 20.0 * number),
                },
                "attempts": 1,
            }
            for number, one in enumerate(payload["data_sets"], 1)
        }
        clocks = {"namenode": CLOCK, "hbase": CLOCK}
        return {"data_sets": taken, "clocks": {"before": clocks, "after": clocks}}

    def _SendSnapshots(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {
            "files": 10, "directories": 2, "bytes": 4096, "bytes_moved": 1024, "files_moved": 3, "deleted": 0,
            "replaced": 0, "renamed": 0, "changed_attributes": 0, "entries_in_base": 0, "full": payload["base"] is None,
            "content_digest": "0" * 64, "metadata_digest": "0" * 64, "manifest_sha256": "0" * 64,
        }  # fmt: skip

    _ReplicateSnapshots = _SendSnapshots

    def _ListLosses(self, payload: dict[str, Any]) -> dict[str, Any]:
        offset = payload["offset"]
        lost = {"do": "deleted", "p": f"extra\x1b/{offset}", "t": "f", "l": 5, "m": 0, "o": "distcp"}
        return {"losses": [lost], "next": offset + 1 if offset < 2 else None}

    def _ApplyStaged(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"data_sets": {one["id"]: {"steps": 1, "healed": False, "missing": 0} for one in payload["data_sets"]}}

    def _FreezeCopies(self, payload: dict[str, Any]) -> dict[str, Any]:
        snapshot = payload["snapshot"]
        return {"data_sets": {one["id"]: {"snapshot": named(one, snapshot)} for one in payload["data_sets"]}}

    def _DigestSnapshots(self, payload: dict[str, Any]) -> dict[str, Any]:
        equal = {"verdict": "EQUAL", "expected": "0" * 64, "found": "0" * 64, "proved": "stored checksums"}
        verdict = {"content": equal, "metadata": equal, "differences": [], "files_read": 0, "bytes_read": 0}
        table = payload["trial_clone"]
        trial = {"table": table, "rows_seen": 5, "seconds": 0.5} if table else None
        verdict["manifest_sha256"] = "0" * 64
        return {"data_sets": {one["id"]: verdict for one in payload["data_sets"]}, "trial_clone": trial}

    def _SealRecoveryPoint(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {f"{name}_sha256": sha256_of(payload[name]) for name in ("manifest", "anchor")}

    def _RemoveSnapshots(self, payload: dict[str, Any]) -> dict[str, Any]:
        names = [place(one, payload["snapshot"]) for one in payload["data_sets"]]
        recovery_point = payload["recovery_point"]
        sealed = [f"/.understudy/recovery-points/{recovery_point}"] if recovery_point else []
        return {"removed": [*names, *sealed], "absent": [payload["staging"]] if payload["staging"] else []}

    def _OpenCopies(self, payload: dict[str, Any]) -> dict[str, Any]:
        readable = {
            one["id"]: {
                "readable": f"{one['path']}/.snapshot/{payload['snapshot']}" if "path" in one else payload["scratch"],
                "seconds": 0.1,
            }
            for one in payload["data_sets"]
        }
        return {"data_sets": readable}

    def _CloseCopies(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"removed": []}

    def _Abort(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {"aborted": payload["instructions"], "ended_before": []}

    async def forget(self, ids: Sequence[str]) -> dict[str, str]:
        """Forget them all."""
        for identity in ids:
            self._known.pop(identity, None)
        return {}

    async def clock_offset(self) -> ClockOffset:
        """The same clock."""
        return ClockOffset(0.0, 0.5)

    async def facts(self) -> dict[str, Any]:
        """None that matter."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""
