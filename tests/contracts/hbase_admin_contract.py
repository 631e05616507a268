"""What every HBase administration process answers, the real one and the simulated one alike.

A peer offers ``call(request)``, as the agent's operation does, and an application's side: ``create_table(name,
families, splits)``, ``put(table, row, value)`` (family "f"), ``disable(table)`` and ``name(prefix)`` for names that
nobody else uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from infra.agent.core.hdfs import exception_of
from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import hbase_snapshot_name

ROWS = ("a", "b", "c", "x", "y")


class Peer(Protocol):
    """A running HBase with its administration process."""

    def call(self, request: dict[str, Any]) -> dict[str, Any]: ...

    def create_table(self, name: str, families: Sequence[str], splits: Sequence[str]) -> None: ...

    def put(self, table: str, row: str, value: str) -> None: ...

    def disable(self, table: str) -> None: ...

    def name(self, prefix: str) -> str: ...


def refused(peer: Peer, **request: Any) -> str:
    """The exception that a request is answered with."""
    with pytest.raises(OperationFailed) as caught:
        peer.call(request)
    exception = exception_of(caught.value)
    assert caught.value.code == ("HBASE_REFUSED" if exception == "Refused" else "HBASE")
    return exception


def scratch(peer: Peer, prefix: str) -> str:
    return f"understudy_scratch:{peer.name(prefix)}"


def snapshot(peer: Peer) -> str:
    return f"us-{peer.name('snapshot')}"


def drop(peer: Peer, table: str) -> None:
    peer.call({"do": "disable", "table": table})
    assert peer.call({"do": "drop", "table": table}) == {"dropped": True}


class HBaseAdminContract:
    """Inherit it and give a fixture ``peer``."""

    @pytest.fixture
    def table(self, peer: Peer) -> str:
        """A table of two regions and two families with five rows."""
        name = f"default:{peer.name('contract')}"
        peer.create_table(name, ("f", "g"), ("m",))
        for row in ROWS:
            peer.put(name, row, f"value of {row}")
        return name

    def test_status(self, peer: Peer) -> None:
        status = peer.call({"do": "status"})
        assert status["version"].startswith("2.")
        assert status["settings"]["root"].endswith("/hbase")
        assert status["settings"]["snapshot_working_directory"] is None
        assert status["settings"]["snapshot_ttl_seconds"] == 0
        assert status["settings"]["rpc_timeout_ms"] > 0
        assert len(status["servers"]) == 1
        assert status["dead_servers"] == []
        assert status["master"]
        assert len(status["script_sha256"]) == 64

    def test_tables_by_wildcards(self, peer: Peer, table: str) -> None:
        name = table.partition(":")[2]
        other = f"default:{name}.other"
        peer.create_table(other, ("f",), ())
        summary = {
            "table": table,
            "state": "ENABLED",
            "families_count": 2,
            "regions_count": 2,
            "read_only": False,
            "region_replication": 1,
            "coprocessors": [],
            "plugins": [],
            "codecs": [],
            "ciphers": [],
        }
        assert peer.call({"do": "tables", "pattern": table}) == {"tables": [summary]}
        assert peer.call({"do": "tables", "pattern": name}) == {"tables": [summary]}
        found = peer.call({"do": "tables", "pattern": f"defa*:{name}*"})["tables"]
        assert [item["table"] for item in found] == [table, other]
        assert peer.call({"do": "tables", "pattern": f"{name}.othe?"})["tables"][0]["table"] == other
        assert peer.call({"do": "tables", "pattern": f"{name}Xother"}) == {"tables": []}

    def test_snapshots_are_taken_listed_and_deleted(self, peer: Peer, table: str) -> None:
        name = snapshot(peer)
        find = {"do": "find_snapshot", "table": table, "name": name}
        assert peer.call(find) == {"found": False}
        taken = peer.call({"do": "snapshot", "table": table, "name": name, "timeout_ms": 60_000})
        assert (taken["name"], taken["table"], taken["type"]) == (name, table, "FLUSH")
        assert taken["asked_ms"] <= taken["done_ms"]
        assert peer.call(find) == {"found": True}
        assert peer.call({**find, "name": f"{name}x"}) == {"found": False}
        (listed,) = peer.call({"do": "list_snapshots", "pattern": name})["snapshots"]
        assert (listed["name"], listed["table"], listed["type"], listed["ttl_seconds"]) == (name, table, "FLUSH", 0)
        assert listed in peer.call({"do": "list_snapshots"})["snapshots"]
        assert peer.call({"do": "list_snapshots", "pattern": f"{name}?"}) == {"snapshots": []}
        assert refused(peer, do="snapshot", table=table, name=name) == "SnapshotExistsException"
        assert peer.call({"do": "delete_snapshot", "name": name}) == {"deleted": True}
        assert peer.call(find) == {"found": False}
        assert peer.call({"do": "delete_snapshot", "name": name}) == {"deleted": False}
        missing = peer.name("nothing")
        assert refused(peer, do="snapshot", table=missing, name=name) == "TableNotFoundException"

    def test_what_clones_need(self, peer: Peer) -> None:
        conditions = peer.call({"do": "clone_conditions"})
        assert conditions["codecs"]["GZ"] is None
        assert conditions["codecs"]["LZO"], "its licence keeps it out of every distribution"
        assert conditions["ciphers"]["AES"], "nobody has given HBase a key provider"
        assert (conditions["most_tables"], conditions["most_regions"]) == (None, None)
        assert conditions["tables"] >= 0
        assert peer.call({"do": "tables", "pattern": "understudy_scratch:probe"}) == {"tables": []}

    def test_a_snapshot_without_flush_lacks_what_is_in_memory(self, peer: Peer, table: str) -> None:
        assert peer.call({"do": "flush", "table": table}) == {}
        peer.put(table, "new", "in memory only")
        name, clone = snapshot(peer), scratch(peer, "clone")
        assert peer.call({"do": "snapshot", "table": table, "name": name, "type": "SKIPFLUSH"})["type"] == "SKIPFLUSH"
        peer.call({"do": "clone", "snapshot": name, "table": clone})
        assert peer.call({"do": "count", "table": clone, "limit": 100})["rows"] == len(ROWS)
        drop(peer, clone)
        peer.call({"do": "delete_snapshot", "name": name})

    def test_clones(self, peer: Peer, table: str) -> None:
        name, clone = snapshot(peer), scratch(peer, "clone")
        assert refused(peer, do="clone", snapshot=name, table=clone) == "SnapshotDoesNotExistException"
        peer.call({"do": "snapshot", "table": table, "name": name})
        assert peer.call({"do": "clone", "snapshot": name, "table": clone, "timeout_ms": 60_000}) == {}
        assert peer.call({"do": "tables", "pattern": clone})["tables"][0]["state"] == "ENABLED"
        counted = peer.call({"do": "count", "table": clone, "limit": 100})
        assert (counted["rows"], counted["regions"], counted["regions_read"]) == (len(ROWS), 2, 2)
        assert 0 < peer.call({"do": "count", "table": clone, "limit": 2})["rows"] <= 2
        assert refused(peer, do="clone", snapshot=name, table=clone) == "TableExistsException"
        assert refused(peer, do="drop", table=clone) == "TableNotDisabledException"
        assert peer.call({"do": "disable", "table": clone, "timeout_ms": 60_000}) == {}
        assert peer.call({"do": "disable", "table": clone}) == {}
        assert peer.call({"do": "tables", "pattern": clone})["tables"][0]["state"] == "DISABLED"
        assert peer.call({"do": "drop", "table": clone}) == {"dropped": True}
        assert peer.call({"do": "drop", "table": clone}) == {"dropped": False}
        peer.call({"do": "delete_snapshot", "name": name})

    def test_names_have_letters_of_any_script(self, peer: Peer) -> None:
        table = f"default:{peer.name('größe')}.表-1"
        name = hbase_snapshot_name(snapshot(peer), table)
        clone = f"{scratch(peer, 'clone')}.{name}"
        peer.create_table(table, ("f",), ())
        peer.put(table, "row", "value")
        assert peer.call({"do": "snapshot", "table": table, "name": name, "timeout_ms": 60_000})["table"] == table
        assert [found["name"] for found in peer.call({"do": "list_snapshots", "pattern": name})["snapshots"]] == [name]
        peer.call({"do": "clone", "snapshot": name, "table": clone, "timeout_ms": 60_000})
        assert peer.call({"do": "tables", "pattern": f"{clone[:-4]}?*"})["tables"][0]["table"] == clone
        assert peer.call({"do": "count", "table": clone, "limit": 100})["rows"] == 1
        drop(peer, clone)
        assert peer.call({"do": "delete_snapshot", "name": name}) == {"deleted": True}

    def test_a_disabled_table_is_snapshotted(self, peer: Peer, table: str) -> None:
        name, clone = snapshot(peer), scratch(peer, "clone")
        peer.disable(table)
        assert peer.call({"do": "snapshot", "table": table, "name": name})["type"] == "DISABLED"
        peer.call({"do": "clone", "snapshot": name, "table": clone, "timeout_ms": 60_000})
        assert peer.call({"do": "count", "table": clone, "limit": 100})["rows"] == len(ROWS)
        drop(peer, clone)
        peer.call({"do": "delete_snapshot", "name": name})

    def test_live_region_metrics_count_writes(self, peer: Peer, table: str) -> None:
        def writes() -> dict[str, int]:
            regions = peer.call({"do": "region_metrics", "table": table})["regions"]
            assert all(region["live"] for region in regions)
            assert all({"server", "open_sequence_id", "memstore_bytes", "store_files"} <= set(r) for r in regions)
            return {region["start"]: region["write_requests"] for region in regions}

        before = writes()
        assert writes() == before
        peer.put(table, "x", "again")
        after = writes()
        assert (after[""], after["6d"]) == (before[""], before["6d"] + 1)
        enabled = peer.call({"do": "region_metrics", "table": table})
        assert enabled["state"] == "ENABLED"
        peer.disable(table)
        disabled = peer.call({"do": "region_metrics", "table": table})
        assert disabled["state"] == "DISABLED"
        assert disabled["state_since_ms"] >= enabled["state_since_ms"]
        again = peer.call({"do": "region_metrics", "table": table})
        assert again["state_since_ms"] == disabled["state_since_ms"]
        assert not any(region["live"] for region in disabled["regions"])
        assert refused(peer, do="region_metrics", table=peer.name("nothing")) == "TableNotFoundException"

    def test_the_clock_of_the_canary(self, peer: Peer) -> None:
        peer.call({"do": "create_canary", "table": "understudy:canary"})
        assert peer.call({"do": "create_canary", "table": "understudy:canary"}) == {"created": False}
        clock = peer.call({"do": "clock", "table": "understudy:canary", "samples": 4})
        assert clock["samples"] == 4
        assert 0 < clock["uncertainty_ms"] < 1000
        assert abs(clock["offset_ms"]) < 60_000

    def test_other_words_are_refused(self, peer: Peer) -> None:
        for do in ("nonsense", "restore", "enable", "public_send", "exit"):
            with pytest.raises(OperationFailed, match="ADMIN_COMMAND_OLD"):
                peer.call({"do": do, "table": "default:t", "snapshot": "us-s"})

    def test_what_is_not_the_products_own_is_not_changed(self, peer: Peer, table: str) -> None:
        taken = snapshot(peer)
        peer.call({"do": "snapshot", "table": table, "name": taken})
        foreign = peer.name("foreign")
        for name in (foreign, f"-us-{foreign}", f"x{taken}", f"{taken}/../{foreign}", f"us-/../{taken}", "us-"):
            assert refused(peer, do="snapshot", table=table, name=name) == "Refused"
            assert refused(peer, do="delete_snapshot", name=name) == "Refused"
        for target in (foreign, f"default:{foreign}", "understudy:canary", f"understudy_scratch2:{foreign}"):
            assert refused(peer, do="clone", snapshot=taken, table=target) == "Refused"
        for name in (foreign, f"{taken}/../{foreign}", f"us-x/../{taken}", f"{taken}\n"):
            assert refused(peer, do="clone", snapshot=name, table=scratch(peer, "clone")) == "Refused"
        for do in ("disable", "drop"):
            for target in (table, table.partition(":")[2], "understudy:canary", "hbase:meta"):
                assert refused(peer, do=do, table=target) == "Refused"
        for target in (table, scratch(peer, "canary")):
            assert refused(peer, do="create_canary", table=target) == "Refused"
            assert refused(peer, do="clock", table=target, samples=1) == "Refused"
        assert peer.call({"do": "tables", "pattern": table})["tables"][0]["state"] == "ENABLED"
        peer.call({"do": "delete_snapshot", "name": taken})
