"""What CheckCluster finds out about HBase: its process, its tables, its settings, and the rights on its files."""

from __future__ import annotations

import re
from typing import Any, Sequence

from infra.agent.core import hdfs
from infra.agent.core.check_directories import data_set_id
from infra.agent.core.findings import Findings
from infra.agent.core.hbase_calls import DISABLED, ENABLED
from infra.agent.core.hbase_layout import SNAPSHOTS, WORKING
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import HBaseCall, OperationFailed
from infra.agent.core.sizes import table_size
from infra.agent.core.work import PRIMARY
from infra.agent.protocol import Instruction, hbase_snapshot_name

AT_ONCE = 8
CALL_SECONDS = 90.0
# The cleaner must leave what is renamed into the archive alone until the manifest names it.
SHORTEST_CLEANER_TTL_MS = 60_000
SCRATCH = "/.understudy/scratch"
LONG_NAME_BYTES = 1000  # longer than any table's link


def check_tables(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """(status of HBase or None, data sets that the table patterns stand for, in wire form with facts)."""
    payload = instruction.payload
    patterns = [pattern for pattern in payload["patterns"] if pattern["component"] == "hbase"]
    here = payload["sites"][site]
    if here.get("hbase") is None:
        for pattern in patterns:
            message = f"cluster {here['cluster']} is configured without HBase"
            findings.bad("tables", pattern["table"], "NO_HBASE", message, "Enter HBase in the cluster's settings.")
        return None, []
    if payload["patterns"] and not patterns:
        return None, []  # a service of directories alone does not care
    try:
        status = yield HBaseCall(site, {"do": "status"}, timeout_seconds=CALL_SECONDS)
    except OperationFailed as failure:
        remedy = "Is HBase up? If it is, run the administrator's set-up script on this gateway."
        findings.failed("hbase", here["cluster"], "HBase does not answer its administration process", failure, remedy)
        return None, []
    findings.good("hbase", here["cluster"], f"HBase {status['version']} answers its administration process")
    _check_settings(site, here["cluster"], status, findings)
    yield from _check_directories(instruction, site, findings)
    yield from _check_snapshots_are_on(instruction, site, findings)
    if site != PRIMARY:
        status["clones"] = yield from _clone_conditions(instruction, site, findings)
        return status, []
    found = yield Together((_resolve(site, pattern["table"], findings) for pattern in patterns), AT_ONCE)
    data_sets = [table for tables in found for table in tables]
    for data_set in data_sets:
        yield from _check_snapshot_is_free(site, data_set["table"], payload["snapshot"], findings)
        if payload.get("sizes"):
            data_set["size"] = yield from table_size(site, here["hbase"]["root"], data_set["table"])
    return status, data_sets


def _resolve(site: str, pattern: str, findings: Findings) -> Procedure:
    """The tables of one pattern: a plain name stays as it was given, for its id is derived from it."""
    try:
        answer = yield HBaseCall(site, {"do": "tables", "pattern": pattern}, timeout_seconds=CALL_SECONDS)
    except OperationFailed as failure:
        findings.failed("tables", pattern, "the tables could not be listed", failure)
        return []
    if not answer["tables"]:
        findings.bad("tables", pattern, "NO_SUCH_TABLE", f"there is no table {pattern}", "Correct the service.")
    is_pattern = "*" in pattern or "?" in pattern
    data_sets = []
    for facts in answer["tables"]:
        name = facts["table"] if is_pattern else pattern
        _judge_table(name, facts, findings)
        known = {key: value for key, value in facts.items() if key != "table"}
        data_sets.append({"id": data_set_id("hbase", name), "component": "hbase", "table": name, **known})
    return data_sets


def _judge_table(name: str, facts: dict[str, Any], findings: Findings) -> None:
    findings.judge(
        "tables",
        name,
        facts["state"] in (ENABLED, DISABLED),
        "TABLE_CHANGING",
        (
            f"{facts['state'].lower()}, {facts['regions_count']} regions",
            f"table {name} is being enabled or disabled",
        ),
        "Wait until it is enabled or disabled; look at the master's page if that takes long.",
    )
    if facts["read_only"] and facts["state"] != DISABLED:  # of a disabled table nothing is flushed
        message = f"table {name} is read-only: HBase would try the flush of its snapshot without end"
        findings.bad("tables", name, "TABLE_READ_ONLY", message, "Set READONLY to false.")
    if "codecs" not in facts:
        message = f"HBase's administration on this gateway is older than the agent: it tells nothing of {name}'s codecs"
        remedy = "Let the administrator run today's set-up script on this gateway: understudy setup-script CLUSTER."
        findings.bad("tables", name, "ADMIN_COMMAND_OLD", message, remedy)
    loaded = [*facts["coprocessors"], *facts.get("plugins", ())]
    if loaded:
        message = f"RegionServers load for table {name}: {', '.join(loaded)}"
        remedy = (
            "Trial clones and opened tables are made without them, so a backup needs none of them on the secondary."
            " To take the table over, its RegionServers must have these classes, and jars in its own HDFS."
        )
        findings.bad("tables", name, "COPROCESSORS", message, remedy)


def _clone_conditions(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """What tables this HBase could open: its codecs, ciphers and quotas, and how long names may be; None if unknown."""
    cluster = instruction.payload["sites"][site]["cluster"]
    try:
        conditions = yield HBaseCall(site, {"do": "clone_conditions"}, timeout_seconds=CALL_SECONDS)
        longest = yield from _longest_name_bytes(instruction, site)
    except OperationFailed as failure:
        remedy = failure.remedy or "See the master's log; HBase's user must be allowed to make tables in its namespace."
        findings.failed("clones", cluster, "nobody could tell which tables HBase could open", failure, remedy)
        return None
    return {**conditions, "longest_name_bytes": longest}


def _longest_name_bytes(instruction: Instruction, site: str) -> Procedure:
    """How long a name may be in this HDFS (dfs.namenode.fs-limits.max-component-length), up to what matters."""
    path = f"{SCRATCH}/{instruction.id}/{'n' * LONG_NAME_BYTES}"
    longest = LONG_NAME_BYTES
    try:
        yield from hdfs.make_directory(site, path, "700")
    except OperationFailed as failure:
        limit = re.search(r"limit=(\d+)", failure.message)
        if hdfs.exception_of(failure) != "PathComponentTooLongException" or limit is None:
            raise
        longest = int(limit[1])
    yield from hdfs.delete(site, path.rpartition("/")[0])
    return longest


def _check_settings(site: str, cluster: str, status: dict[str, Any], findings: Findings) -> None:
    settings = status["settings"]
    expiry = settings["snapshot_ttl_seconds"]
    findings.judge(
        "snapshot ttl",
        cluster,
        not expiry,
        "SNAPSHOT_TTL",
        ("snapshots do not expire by themselves", f"hbase.master.snapshot.ttl lets snapshots expire after {expiry} s"),
        "Set hbase.master.snapshot.ttl to 0: recovery points are kept as long as their policy says.",
    )
    cleaner_ms = settings["cleaner_ttl_ms"]
    findings.judge(
        "cleaner",
        cluster,
        cleaner_ms >= SHORTEST_CLEANER_TTL_MS,
        "CLEANER_TTL",
        (f"files stay in the archive for {cleaner_ms / 1000:.0f} s", f"the archive is cleaned after {cleaner_ms} ms"),
        "Set hbase.master.hfilecleaner.ttl to its default, 300000 ms.",
    )
    moving = status["regions_in_transition"]
    if moving or status["dead_servers"]:
        message = f"{moving} regions are in transition, {len(status['dead_servers'])} servers are dead"
        findings.bad("hbase", cluster, "HBASE_UNSETTLED", message, "Wait until HBase has settled.")
    working = settings["snapshot_working_directory"]
    if working and site != PRIMARY:
        message = f"hbase.snapshot.working.dir is set ({working}); copies are prepared in {WORKING}"
        findings.bad("hbase", cluster, "SNAPSHOT_WORKING_DIRECTORY", message, "Unset it.")


def _check_snapshots_are_on(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """Where hbase.snapshot.enabled is false, none can be taken, and the cleaner does not spare what they name."""
    cluster = instruction.payload["sites"][site]["cluster"]
    try:
        request = {"do": "delete_snapshot", "name": f"us-none-{instruction.id}"}
        yield HBaseCall(site, request, timeout_seconds=CALL_SECONDS)
    except OperationFailed as failure:
        if hdfs.exception_of(failure) != "UnsupportedOperationException":
            what, remedy = "HBase could not be asked whether it allows snapshots", "See the master's log."
            findings.failed("hbase snapshots", cluster, what, failure, failure.remedy or remedy)
            return
        message = f"HBase of {cluster} allows no snapshots: {failure.message}"
        findings.bad("hbase snapshots", cluster, "SNAPSHOTS_OFF", message, "Set hbase.snapshot.enabled to true.")


def _check_directories(instruction: Instruction, site: str, findings: Findings) -> Procedure:
    """Read HBase's own directories as its user; on a secondary write where a snapshot is prepared."""
    sites: dict[str, Any] = instruction.payload["sites"]
    looked_at: Sequence[str] = list(sites) if instruction.payload["copies_here"] else [site]
    for each in looked_at:
        hbase = sites[each].get("hbase")
        if hbase is None:
            continue
        cluster, root = sites[each]["cluster"], hbase["root"]
        remedy = f"The user whom the set-up names must own {root}, or be allowed to read it."
        try:
            yield from hdfs.list_page(each, f"{root}/data", user="hbase")
            if (yield from hdfs.status(each, f"{root}/{SNAPSHOTS}", "hbase")) is not None:
                yield from hdfs.list_page(each, f"{root}/{SNAPSHOTS}", user="hbase")
            if each != PRIMARY:
                probe = f"{root}/{WORKING}/understudy-{instruction.id}"
                yield from hdfs.make_directory(each, probe, "755", "hbase")
                yield from hdfs.delete(each, probe, user="hbase")
        except OperationFailed as failure:
            findings.failed("hbase files", cluster, f"{root} could not be used as HBase's user", failure, remedy)
        else:
            findings.good("hbase files", cluster, f"{root} can be used as HBase's user")


def _check_snapshot_is_free(site: str, table: str, snapshot: str, findings: Findings) -> Procedure:
    name = hbase_snapshot_name(snapshot, table)
    try:
        request = {"do": "find_snapshot", "name": name, "table": table}
        answer = yield HBaseCall(site, request, timeout_seconds=CALL_SECONDS)
    except OperationFailed as failure:
        findings.failed("snapshots", table, "HBase could not be asked for snapshots", failure)
        return
    if answer["found"]:
        message = f"HBase has a snapshot {name} already"
        findings.bad("snapshots", table, "SNAPSHOT_EXISTS", message, "Look who made it, and remove it.")
