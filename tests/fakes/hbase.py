"""A simulated HBase that answers as its administration process does, over a simulated HDFS.

It passes the same contract suite as the real process (tests/contracts/hbase_admin_contract.py). ``call`` is what agents
ask of it; ``put``, ``scan``, ``split``, ``compact`` and ``run_cleaner`` are the application's and the servers' side.
Faults: ``fail`` (the next such request has no effect), ``lose_answer`` (it has its effect, and nobody hears of it),
``restart_master`` (empties ``.tmp``). A clone that needs a file of another owner never finishes; one that has a
coprocessor ends the server that opens it (``aborted``), because nobody has put its class there.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from itertools import pairwise
from typing import Any

from infra.agent.core.operations import OperationFailed
from tests.fakes.hbase_snapshots import Snapshots
from tests.fakes.hbase_tables import OWNER, CannotOpen, Region, StoreFiles, Table
from tests.fakes.hdfs import FakeHdfs

SCRATCH = "understudy_scratch:.*"
CANARY = "understudy:.*"
SNAPSHOTS = r"us-[\w.-]+"
# What a request may name, by the word and the field; everything else is refused.
OWN = {
    "clone": {"snapshot": SNAPSHOTS, "table": SCRATCH},
    "disable": {"table": SCRATCH},
    "drop": {"table": SCRATCH},
    "clock": {"table": CANARY},
    "create_canary": {"table": CANARY},
    "snapshot": {"name": SNAPSHOTS},
    "delete_snapshot": {"name": SNAPSHOTS},
}


def qualified(name: str) -> str:
    """A table's name with its namespace."""
    return name if ":" in name else f"default:{name}"


def refusal(do: str, exception: str, message: str = "") -> OperationFailed:
    """A failure as the shell hands it on."""
    code = "HBASE_REFUSED" if exception == "Refused" else "HBASE"
    return OperationFailed(code, f"{do}: {exception}: {message}", detail={"exception": exception})


class FakeHBase:
    """One HBase; ``name`` keeps the names of its files apart from another one's."""

    def __init__(self, hdfs: FakeHdfs, name: str, root: str = "/hbase") -> None:
        self.hdfs = hdfs
        self.root = root
        self.name = name
        self.tables: dict[str, Table] = {}
        self.files = StoreFiles(hdfs, root)
        self.snapshots = Snapshots(self.files)
        self.requests: list[dict[str, Any]] = []
        self.aborted: list[str] = []
        self.codecs: dict[str, str | None] = {"GZ": None, "SNAPPY": None, "LZO": "there is no such class"}
        self.ciphers: dict[str, str | None] = {"AES": "there is no key provider"}
        self._counter = 0
        self._faults: list[tuple[str, OperationFailed, bool]] = []
        hdfs.call("PUT", "MKDIRS", root, {"permission": "755"})
        hdfs.call("PUT", "SETOWNER", root, {"owner": OWNER, "group": OWNER})
        for directory in ("data/default", "archive/data/default", "mobdir", ".hbase-snapshot/.tmp"):
            hdfs.call("PUT", "MKDIRS", f"{root}/{directory}", {"permission": "755"}, OWNER)

    # The application's side

    def create_table(self, name: str, families: tuple[str, ...] = ("f",), splits: tuple[str, ...] = ()) -> None:
        """Make an enabled table."""
        name = qualified(name)
        bounds = ["", *splits, ""]
        regions = [Region(name, low, high, self._next()) for low, high in pairwise(bounds)]
        self.tables[name] = Table(name, families, regions)

    def put(self, table: str, row: str, value: str, family: str = "f") -> None:
        """Store a row."""
        region = self.tables[qualified(table)].region_of(row)
        region.memstore.setdefault(family, {})[row] = (value, self._next())
        region.writes += 1

    def scan(self, table: str) -> dict[tuple[str, str], str]:
        """Every value by (row, family)."""
        found = self.tables[qualified(table)]
        return {
            (row, family): value
            for region in found.regions
            for family in found.families
            for row, (value, _) in self.files.read(region, family).items()
        }

    def disable(self, table: str) -> None:
        """Take a table out of service."""
        self.flush(table)
        self._set_state(table, "DISABLED")

    def enable(self, table: str) -> None:
        """Take a table into service again."""
        self._set_state(table, "ENABLED")

    def _set_state(self, table: str, state: str) -> None:
        found = self.tables[qualified(table)]
        found.state, found.state_since_ms = state, self.hdfs.now_ms()

    def clone(self, snapshot: str, table: str) -> None:
        """Make a table of a snapshot."""
        self.tables[qualified(table)] = self.snapshots.clone(snapshot, qualified(table), self._next)

    # The servers' side

    def flush(self, table: str) -> None:
        """Write what is in memory."""
        found = self.tables[qualified(table)]
        for region in found.regions:
            for family, rows in sorted(region.memstore.items()):
                if rows:
                    self.files.write(region, family, self._file_name(), json.dumps(rows).encode())
            region.memstore = {}

    def compact(self, table: str) -> None:
        """Rewrite each region's files into one and archive the old ones; split parents are not needed afterwards."""
        self.flush(table)
        found = self.tables[qualified(table)]
        for region in found.regions:
            for family in found.families:
                old = self.files.names(region, family)
                rows = self.files.read(region, family)
                if rows:
                    self.files.write(region, family, self._file_name(), json.dumps(rows).encode())
                for name in old:
                    self.files.archive(region, family, name)
        for parent in found.parents:
            for family in found.families:
                for name in self.files.names(parent, family):
                    self.files.archive(parent, family, name)
        found.parents = []

    def split(self, table: str, row: str) -> None:
        """Split the region of a row there: the daughters refer to the parent's files, or share its links."""
        self.flush(table)
        found = self.tables[qualified(table)]
        parent = found.region_of(row)
        number = self._next()
        daughters = [Region(found.name, low, high, number) for low, high in ((parent.start, row), (row, parent.end))]
        for family in found.families:
            for name in self.files.names(parent, family):
                for daughter in daughters:
                    self.files.write(daughter, family, f"{name}.{parent.encoded}", b"half")
        found.regions = [r for r in found.regions if r is not parent] + daughters
        found.regions.sort(key=lambda region: region.start)
        found.parents.append(parent)

    def restart_master(self) -> None:
        """What a restarting master does to snapshots that are being made."""
        working = self.hdfs.find(f"{self.root}/.hbase-snapshot/.tmp")
        for name in list((working.children or {}) if working is not None else ()):
            self.hdfs.call("DELETE", "DELETE", f"{self.root}/.hbase-snapshot/.tmp/{name}", {"recursive": "true"}, OWNER)

    def run_cleaner(self, ttl_ms: int = 300_000) -> list[str]:
        """Delete what is old in the archive and named by no snapshot, and empty directories; returns the paths."""
        return self.snapshots.clean(ttl_ms)

    # Faults

    def fail(self, do: str, exception: str) -> None:
        """Let the next such request fail without any effect."""
        self._faults.append((do, refusal(do, exception), False))

    def lose_answer(self, do: str) -> None:
        """Let the next such request have its effect and fail as unknown."""
        lost = OperationFailed("HBASE_ADMIN_DIED", f"{do}: no answer", unknown=True, transient=True)
        self._faults.append((do, lost, True))

    # The administration process

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request; raises as the shell does."""
        self.requests.append(dict(request))
        do = request["do"]
        perform = getattr(self, f"_do_{do}", None)
        if perform is None:
            raise OperationFailed("ADMIN_COMMAND_OLD", f"{do!r} is not in the vocabulary")
        for field, own in OWN.get(do, {}).items():
            if not re.fullmatch(own, request[field]):
                raise refusal(do, "Refused", f"{request[field]} is not of {own}")
        fault = next((fault for fault in self._faults if fault[0] == do), None)
        if fault is not None:
            self._faults.remove(fault)
            if not fault[2]:
                raise fault[1]
        result: dict[str, Any] = perform(request)
        if fault is not None:
            raise fault[1]
        return result

    def _do_status(self, request: dict[str, Any]) -> dict[str, Any]:
        settings = {
            "root": f"hdfs://{self.name}{self.root}",
            "snapshot_working_directory": None,
            "rpc_timeout_ms": 60000,
            "snapshot_ttl_seconds": 0,
            "cleaner_ttl_ms": 300000,
        }
        return {
            "version": "2.6.4",
            "client_version": "2.6.4",
            "script_sha256": "0" * 64,
            "master": f"{self.name},16000,1",
            "servers": [f"{self.name},16020,1"],
            "dead_servers": [],
            "regions_in_transition": 0,
            "settings": settings,
        }

    def _do_tables(self, request: dict[str, Any]) -> dict[str, Any]:
        namespace, _, name = qualified(request["pattern"]).partition(":")
        found = [
            self._summary(table)
            for table in self.tables.values()
            if fnmatch.fnmatchcase(table.name.partition(":")[0], namespace)
            and fnmatch.fnmatchcase(table.name.partition(":")[2], name)
        ]
        return {"tables": sorted(found, key=lambda table: table["table"])}

    def _do_region_metrics(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request)
        regions = []
        for region in table.regions:
            live = {
                "live": True,
                "write_requests": region.writes,
                "memstore_bytes": 0,
                "flushed_sequence_id": 1,
                "store_files": sum(len(self.files.names(region, family)) for family in table.families),
            }
            regions.append({**self._boundary(region), **(live if table.state == "ENABLED" else {"live": False})})
        now = self.hdfs.clock.now_ms
        state = {"state": table.state, "state_since_ms": table.state_since_ms}
        return {**state, "regions": sorted(regions, key=lambda r: str(r["region"])), "asked_ms": now, "done_ms": now}

    def _do_clone_conditions(self, request: dict[str, Any]) -> dict[str, Any]:
        tables = sum(name.startswith(SCRATCH) for name in self.tables)
        quotas = {"tables": tables, "most_tables": None, "most_regions": None}
        return {"codecs": self.codecs, "ciphers": self.ciphers, **quotas}

    def _do_list_snapshots(self, request: dict[str, Any]) -> dict[str, Any]:
        pattern = request.get("pattern", "*")
        return {"snapshots": [s for s in self.snapshots.listed() if fnmatch.fnmatchcase(s["name"], pattern)]}

    def _do_snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request)
        name = request["name"]
        if any(found["name"] == name for found in self.snapshots.listed()):
            raise refusal("snapshot", "SnapshotExistsException", f"Snapshot '{name}' already stored on the filesystem.")
        kind = "DISABLED" if table.state == "DISABLED" else request.get("type", "FLUSH")
        asked_ms = self.hdfs.clock.now_ms
        if kind == "FLUSH":
            self.flush(table.name)
        self.snapshots.take(name, table, kind)
        times = {"asked_ms": asked_ms, "done_ms": self.hdfs.clock.now_ms}
        return {"name": name, "table": table.name, "type": kind, **times}

    def _do_find_snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"found": any(found["name"] == request["name"] for found in self.snapshots.listed())}

    def _do_delete_snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"deleted": self.snapshots.delete(request["name"])}

    def _do_flush(self, request: dict[str, Any]) -> dict[str, Any]:
        self.flush(self._table(request).name)
        return {}

    def _do_clone(self, request: dict[str, Any]) -> dict[str, Any]:
        name = qualified(request["table"])
        if name in self.tables:
            raise refusal("clone", "TableExistsException", name)
        if all(found["name"] != request["snapshot"] for found in self.snapshots.listed()):
            raise refusal("clone", "SnapshotDoesNotExistException", request["snapshot"])
        self.clone(request["snapshot"], name)
        table = self.tables[name]
        if any(key.lower().startswith("coprocessor") for key in table.attributes):
            self.aborted.append(name)
            table.state = "CHANGING"
            raise refusal("clone", "TimeoutException", "no server is left to open it")
        try:
            for region in table.regions:
                for family in table.families:
                    self.files.read(region, family)
        except CannotOpen as reason:
            table.state = "CHANGING"  # the region's server tries again and again
            raise refusal("clone", "TimeoutException", str(reason)) from reason
        return {}

    def _do_disable(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request)
        if table.state == "CHANGING":
            raise refusal("disable", "TimeoutException", "the table is busy")
        self.disable(table.name)
        return {}

    def _do_drop(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables.get(request["table"])
        if table is None:
            return {"dropped": False}
        if table.state != "DISABLED":
            raise refusal("drop", "TableNotDisabledException", table.name)
        for region in [*table.regions, *table.parents]:
            for family in table.families:
                for name in self.files.names(region, family):
                    self.files.archive(region, family, name)
        del self.tables[table.name]
        return {"dropped": True}

    def _do_count(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request)
        rows = len({row for row, _ in self.scan(table.name)})
        read = min(rows, request["limit"])
        return {"rows": read, "cells": read, "regions_read": len(table.regions), "regions": len(table.regions)}

    def _do_clock(self, request: dict[str, Any]) -> dict[str, Any]:
        self._table(request)
        return {"offset_ms": float(self.hdfs.shift_ms), "uncertainty_ms": 1.5, "samples": request.get("samples", 8)}

    def _do_create_canary(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["table"]
        if name in self.tables:
            return {"created": False}
        self.create_table(name, ("c",))
        return {"created": True}

    def _table(self, request: dict[str, Any]) -> Table:
        name = qualified(request["table"])
        if name not in self.tables:
            raise refusal(request["do"], "TableNotFoundException", name.removeprefix("default:"))
        return self.tables[name]

    def _summary(self, table: Table) -> dict[str, Any]:
        return {
            "table": table.name,
            "state": table.state,
            "families_count": len(table.families),
            "regions_count": len(table.regions),
            "read_only": False,
            "region_replication": 1,
            "coprocessors": [text.split("|")[1] for key, text in table.attributes.items() if key.startswith("copro")],
            "plugins": [f"{key} {text}" for key, text in table.attributes.items() if key.endswith("_POLICY")],
            "codecs": [],
            "ciphers": [],
        }

    def _boundary(self, region: Region) -> dict[str, Any]:
        return {
            "region": region.encoded,
            "start": region.start.encode().hex(),
            "end": region.end.encode().hex(),
            "server": f"{self.name},16020,1",
            "open_sequence_id": region.open_sequence_id,
        }

    def _next(self) -> int:
        self._counter += 1
        return 1_700_000_000_000 + self._counter

    def _file_name(self) -> str:
        return hashlib.md5(f"{self.name}/{self._next()}".encode()).hexdigest()
