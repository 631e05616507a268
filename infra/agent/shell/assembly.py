"""Put the shell together for one instruction: the only place that knows all of its parts."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Sequence

from infra.agent.core.abort import EndInstruction
from infra.agent.core.hdfs import EncryptionZones, ExtendedAttributes, FileChecksum, Identify, ListPage, LocateAhead
from infra.agent.core.kept_manifests import JoinLayers, MakeLayer
from infra.agent.core.operations import (
    CopyRange,
    DigestFile,
    Download,
    Fire,
    GatewayFacts,
    HBaseCall,
    HdfsCall,
    Milestone,
    OpenFiles,
    Operation,
    OperationFailed,
    Progress,
    ReadFile,
    RunHook,
    SpoolAppend,
    SpoolRead,
    SpoolSort,
    SpoolTruncate,
    StartWatchdog,
    Upload,
    WriteFile,
)
from infra.agent.core.ownership import Submitter
from infra.agent.protocol import Instruction
from infra.agent.shell.admin_command import DEFAULT_COMMAND, safe_command
from infra.agent.shell.block_transfer import BlockTransfers
from infra.agent.shell.checksums import Checksums
from infra.agent.shell.clock import system_clock_ms
from infra.agent.shell.connections import Connections
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.datanodes import DataNodes
from infra.agent.shell.detaching import own_command
from infra.agent.shell.disk import Appender
from infra.agent.shell.ending import Ending
from infra.agent.shell.executor import Executor, Perform
from infra.agent.shell.firing import Firing
from infra.agent.shell.gateway import facts
from infra.agent.shell.hbase_process import HBaseProcess
from infra.agent.shell.hooks import Hooks
from infra.agent.shell.layer_files import LayerFiles
from infra.agent.shell.namenode_rpc import NameNodeRpc
from infra.agent.shell.native import Native, zones_unknown
from infra.agent.shell.open_files import OpenFileListing
from infra.agent.shell.pace import Pace
from infra.agent.shell.reports import Log, MilestoneFile, ProgressFile
from infra.agent.shell.spool import Entry, Spool
from infra.agent.shell.throttle import Throttle
from infra.agent.shell.transfers import Transfers
from infra.agent.shell.watchdog import WatchdogStarter
from infra.agent.shell.web_listing import WebListing
from infra.agent.shell.webhdfs import Limits, WebHdfs
from infra.agent.shell.work_files import WorkFiles

DEFAULT_WORKERS = 16
MAXIMUM_WORKERS = 64


def own_admin_command(instruction: Instruction) -> Sequence[str]:
    """What starts the HBase administration process of the gateway's own cluster."""
    sites = (instruction.payload.get("sites") or {}).values()
    own = [site.get("hbase") or {} for site in sites if site["cluster"] == instruction.cluster]
    return next((hbase["admin_command"] for hbase in own if hbase.get("admin_command")), DEFAULT_COMMAND)


class HBaseProcesses:
    """The HBase administration process of each site, joined when it is first needed."""

    def __init__(self, spool: Spool, sites: dict[str, Any], log: Log) -> None:
        self._spool = spool
        self._sites = sites
        self._log = log
        self._lock = threading.Lock()
        self._processes: dict[str, HBaseProcess] = {}

    def of(self, site: str) -> HBaseProcess:
        """The process of a site; raises "NO_HBASE" where the instruction knows none, and as ``safe_command`` does."""
        with self._lock:
            if site not in self._processes:
                hbase = self._sites.get(site, {}).get("hbase")
                if hbase is None:
                    raise OperationFailed("NO_HBASE", f"the {site} cluster is configured without HBase")
                command = safe_command(hbase.get("admin_command") or DEFAULT_COMMAND)
                self._processes[site] = HBaseProcess(self._spool.root, command, self._log)
            return self._processes[site]

    def close(self) -> None:
        """Leave them all."""
        for process in self._processes.values():
            process.close()


def make_executor(
    spool: Spool, start: Callable[[Entry], None], instruction: Instruction, entry: Entry, log: Log
) -> Executor:
    """The executor of one run of an instruction; ``start`` starts an agent for another entry."""
    sites = instruction.payload.get("sites") or {}
    now_ms = system_clock_ms
    cancelled = threading.Event()
    limits = Limits()
    connections = Connections(limits.connect_seconds)
    credentials = Credentials(entry.path("credentials.json"))
    webhdfs = WebHdfs(sites, credentials, connections, limits, cancelled)
    throttle = Throttle(cancelled.wait)
    rpc = NameNodeRpc(webhdfs.call, credentials, sites)
    client = f"understudy-{instruction.id}-{os.getpid()}"
    blocks = BlockTransfers(sites, client, cancelled, throttle.pay)
    native = Native(rpc, blocks, client, cancelled, log.write)
    checksums = Checksums(sites, webhdfs, connections, limits)
    listing = WebListing(webhdfs.call)
    transfers = Transfers(DataNodes(sites, webhdfs, connections, limits), cancelled, limits, throttle)
    appender = Appender(spool.disk, entry.directory)
    files = WorkFiles(entry, spool.disk, appender, transfers)
    layers = LayerFiles(files)
    processes = HBaseProcesses(spool, sites, log)
    firing = Firing(webhdfs, connections, processes.of, now_ms, cancelled)
    progress = ProgressFile(entry, now_ms, time.monotonic)
    milestones = MilestoneFile(entry, appender, now_ms)
    hooks = Hooks()
    ending = Ending(spool, now_ms, start)

    def close() -> None:
        processes.close()
        connections.close()
        blocks.close()
        rpc.close()
        appender.close()

    performs: dict[type[Operation], Perform] = {
        HdfsCall: native.or_else(native.call, webhdfs.call),
        ExtendedAttributes: native.or_else(native.extended_attributes, webhdfs.extended_attributes),
        EncryptionZones: native.or_else(native.encryption_zones, zones_unknown),
        LocateAhead: native.or_else(native.locate_ahead, lambda operation: None),
        ListPage: native.or_else(native.list_page, listing.list_page),
        Identify: native.or_else(native.identify, listing.identify),
        FileChecksum: native.or_else(native.checksum, checksums.checksum),
        ReadFile: transfers.read,
        WriteFile: transfers.write,
        CopyRange: native.or_else(native.copy, transfers.copy),
        DigestFile: transfers.digest,
        SpoolAppend: files.append,
        SpoolRead: files.read,
        SpoolTruncate: files.truncate,
        SpoolSort: files.sort,
        MakeLayer: layers.make,
        JoinLayers: layers.join,
        Upload: files.upload,
        Download: files.download,
        Progress: lambda operation: progress.tell(operation.facts),
        Milestone: lambda operation: milestones.reach(operation.name, operation.facts),
        HBaseCall: lambda operation: processes.of(operation.site).call(operation.request, operation.timeout_seconds),
        Fire: firing.fire,
        RunHook: hooks.run,
        StartWatchdog: WatchdogStarter(own_command(), spool.root, entry).start,
        OpenFiles: OpenFileListing(rpc, credentials, cancelled).of,
        GatewayFacts: lambda operation: facts(spool, hooks, own_admin_command(instruction)),
        Submitter: lambda operation: entry.controller(),
        EndInstruction: lambda operation: ending.end(operation.id),
    }
    workers = max(1, min(int(instruction.payload.get("workers") or DEFAULT_WORKERS), MAXIMUM_WORKERS))
    pace = Pace(entry, instruction, workers, time.monotonic, throttle.set_rate)
    return Executor(performs, workers, now_ms, cancelled, log, close, pace)
