"""Is a part ready? Each probe asks the part itself and returns what is still missing, or None when nothing is.

A probe has its own short time-outs and never raises because the part is not there yet; a JMX page may lack
attributes while its part is starting.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import happybase
from thriftpy2.thrift import TException

from scripts.labkit import processes
from scripts.labkit.layout import HOST, ClusterLayout

Probe = Callable[[ClusterLayout], str | None]
_ANSWER_WITHIN_SECONDS = 2.0
_THRIFT_ANSWER_WITHIN_MS = 10_000


def namenode(cluster: ClusterLayout) -> str | None:
    """Serves requests; and is out of safe mode, unless there is no DataNode that could end it."""
    info = _bean(cluster.ports.namenode_http, "Hadoop:service=NameNode,name=NameNodeInfo")
    if info is None:
        return "no answer on its HTTP port"
    if not _accepts(cluster.ports.namenode_rpc):
        return "no connection on its RPC port"
    if info.get("Safemode", "unknown") and processes.living(cluster, "datanode"):
        return f"in safe mode: {info.get('Safemode')}"
    return None


def datanode(cluster: ClusterLayout) -> str | None:
    """Registered with the NameNode, which has heard enough about blocks to leave safe mode."""
    info = _bean(cluster.ports.datanode_http, "Hadoop:service=DataNode,name=DataNodeInfo")
    if info is None:
        return "no answer on its HTTP port"
    links = json.loads(info.get("BPServiceActorInfo", "[]"))
    if not links or any(link["ActorState"] != "RUNNING" for link in links):
        return "not yet registered with the NameNode"
    system = _bean(cluster.ports.namenode_http, "Hadoop:service=NameNode,name=FSNamesystemState")
    if system is None:
        return "the NameNode does not answer"
    live, state = system.get("NumLiveDataNodes", 0), system.get("FSState")
    if live < 1 or state != "Operational":
        return f"the NameNode sees {live} DataNodes and its state is {state}"
    return None


def httpfs(cluster: ClusterLayout) -> str | None:
    """Answers a question about the root directory, which it must ask the NameNode."""
    url = f"{cluster.httpfs_url}/webhdfs/v1/?op=GETFILESTATUS&user.name=hdfs"
    return None if _get(url) is not None else "no answer to GETFILESTATUS"


def zookeeper(cluster: ClusterLayout) -> str | None:
    try:
        with socket.create_connection((HOST, cluster.ports.zookeeper), timeout=_ANSWER_WITHIN_SECONDS) as connection:
            connection.sendall(b"srvr")
            answer = connection.recv(4096)
    except OSError as error:
        return f"no answer to srvr: {error}"
    return None if b"Mode:" in answer else f"not serving: {answer[:80]!r}"


def master(cluster: ClusterLayout) -> str | None:
    """Has completed its initialization, which includes having a RegionServer that serves hbase:meta."""
    server = _bean(cluster.ports.master_http, "Hadoop:service=HBase,name=Master,sub=Server")
    if server is None:
        return "no answer on its HTTP port"
    if not server.get("masterFinishedInitializationTime"):
        return "initialization not completed"
    return None


def regionserver(cluster: ClusterLayout) -> str | None:
    """Known to the active master as this very process, not as one that ran at this address before."""
    own = _bean(cluster.ports.regionserver_http, "Hadoop:service=HBase,name=RegionServer,sub=Server")
    if own is None:
        return "no answer on its HTTP port"
    server = _bean(cluster.ports.master_http, "Hadoop:service=HBase,name=Master,sub=Server")
    if server is None:
        return "the HMaster does not answer"
    name = own.get("tag.serverName")
    if not name or name not in server.get("tag.liveRegionServers", ""):
        return f"the HMaster does not list {name} as live"
    return None


def thrift(cluster: ClusterLayout) -> str | None:
    """Reads a row of hbase:meta, so the whole of HBase serves."""
    if not _accepts(cluster.ports.thrift):
        return "no connection on its port"
    try:
        connection = happybase.Connection(HOST, cluster.ports.thrift, timeout=_THRIFT_ANSWER_WITHIN_MS)
        try:
            next(iter(connection.table("hbase:meta").scan(limit=1)), None)
        finally:
            connection.close()
    except (OSError, TException) as error:
        return f"cannot read hbase:meta: {str(error)[:200]}"
    return None


def gateway(cluster: ClusterLayout) -> str | None:
    try:
        with socket.create_connection((HOST, cluster.ports.gateway), timeout=_ANSWER_WITHIN_SECONDS) as connection:
            banner = connection.recv(64)
    except OSError as error:
        return f"no SSH banner: {error}"
    return None if banner.startswith(b"SSH-2.0-") else f"not an SSH server: {banner!r}"


def _bean(port: int, name: str) -> dict[str, Any] | None:
    answer = _get(f"http://{HOST}:{port}/jmx?qry={name}")
    beans = answer.get("beans") if answer is not None else None
    return beans[0] if beans else None


def _get(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_WITHIN_SECONDS) as answer:
            document = json.load(answer)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=_ANSWER_WITHIN_SECONDS).close()
    except OSError:
        return False
    return True
