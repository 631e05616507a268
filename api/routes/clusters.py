"""Clusters: ``/v1/clusters``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from api.face import FACE, answer, changed, find, page, shown
from api.requests import Empty, Page, body, caller, query
from api.routes.names import Name
from domain.preflight.finding import REFUSE, WARN
from domain.preflight.observed import WARNINGS
from domain.values.endpoints import Endpoints, Gateway, HBase
from domain.values.limits import Window

OK = "OK"
HostName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}$")]
Port = Annotated[int, Meta(ge=1, le=65_535)]
UserName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9._-]{0,63}$")]
HostKey = Annotated[str, Meta(pattern=r"^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]{40,2000}$")]
KeyFile = Annotated[str, Meta(pattern=r"^/?[A-Za-z0-9_@+.-]+(/[A-Za-z0-9_@+.-]+)*$", max_length=1_024)]
PlainPath = Annotated[str, Meta(pattern=r"^(/(?!\.{1,2}(/|$))[A-Za-z0-9_@+.-]+)+$", max_length=1_024)]
Command = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_/][A-Za-z0-9_./-]{0,255}$")]
HBaseAdmin = Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9_@+.-]+)*/hbase-admin$", max_length=1_024)]
AdminCommand = tuple[Literal["sudo"], Literal["-n"], Literal["-u"], UserName, HBaseAdmin]
WebHdfsUrl = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.\[\]:_-]+(:[0-9]+)?/?$", max_length=300)]


class GatewayBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """See ``domain.values.endpoints.Gateway``."""

    host: HostName
    port: Port = 22
    user: UserName
    host_key: HostKey
    client_key_file: KeyFile
    spool: PlainPath
    python: Command = Gateway.python

    def to_domain(self) -> Gateway:
        """Return the value that it describes."""
        return Gateway(
            self.host, self.port, self.user, self.host_key, self.client_key_file, self.spool, python=self.python
        )


class HBaseBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """See ``domain.values.endpoints.HBase``."""

    root: PlainPath = HBase.root
    admin_command: AdminCommand = ("sudo", "-n", "-u", "hbase", HBase.admin_command[-1])

    def to_domain(self) -> HBase:
        """Return the value that it describes."""
        return HBase(root=self.root, admin_command=self.admin_command)


class EndpointsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """See ``domain.values.endpoints.Endpoints``."""

    gateway: GatewayBody
    namenodes: Annotated[tuple[WebHdfsUrl, ...], Meta(min_length=1, max_length=16)]
    hbase: HBaseBody | None = None
    hdfs_user: UserName = Endpoints.hdfs_user
    hbase_user: UserName = Endpoints.hbase_user

    def to_domain(self) -> Endpoints:
        """Return the value that it describes."""
        return Endpoints(
            gateway=self.gateway.to_domain(),
            namenodes=self.namenodes,
            hbase=self.hbase.to_domain() if self.hbase else None,
            hdfs_user=self.hdfs_user,
            hbase_user=self.hbase_user,
        )


class ClusterBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """A cluster to enter, or whose endpoints change."""

    name: Name
    endpoints: EndpointsBody


async def add(request: web.Request) -> web.Response:
    """Enter a cluster, or change its endpoints."""
    wanted = await body(request, ClusterBody)
    commands = request.app[FACE].commands
    identity = await commands.add_cluster(caller(request), wanted.name, wanted.endpoints.to_domain())
    return await changed(request, "cluster", identity)


class LimitsBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """What changes of ``domain.values.limits.Limits``; null is no limit. Windows are texts, and all of them."""

    agents: int | UnsetType | None = UNSET
    workers: int | UnsetType | None = UNSET
    megabytes_per_second: int | UnsetType | None = UNSET
    windows: Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=100)] | UnsetType = UNSET

    def to_changes(self) -> dict[str, Any]:
        """The changes; raise ``InvalidInput`` naming the first value that cannot be accepted."""
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not UNSET}
        if not isinstance(self.windows, UnsetType):
            given["windows"] = tuple(
                Window.parse(text, f"windows[{number}]") for number, text in enumerate(self.windows)
            )
        return given


async def change_limits(request: web.Request) -> web.Response:
    """Let other limits hold for a cluster; agents that are at work obey them, too."""
    wanted = await body(request, LimitsBody)
    name = request.match_info["name"]
    identity = await request.app[FACE].commands.change_limits(caller(request), name, wanted.to_changes())
    return await changed(request, "cluster", identity)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of clusters."""
    return await page(request.app[FACE], "cluster", query(request, Page), {})


async def show(request: web.Request) -> web.Response:
    """Answer one cluster."""
    return answer(shown(await find(request.app[FACE], "cluster", request.match_info["name"])))


async def check(request: web.Request) -> web.Response:
    """Look at a cluster through its gateway, now; answer facts, and findings with what each means for a run."""
    await body(request, Empty)
    face = request.app[FACE]
    entry = await find(face, "cluster", request.match_info["name"])
    assert entry.name is not None
    facts = await face.commands.check_cluster(caller(request), entry.name)
    findings = [{**finding, "severity": _severity(finding)} for finding in facts.get("findings") or ()]
    return answer({**facts, "findings": findings})


async def owner(request: web.Request) -> web.Response:
    """Say whose a cluster is, as it says now."""
    face = request.app[FACE]
    entry = await find(face, "cluster", request.match_info["name"])
    assert entry.name is not None
    return answer({"cluster": entry.name, **await face.commands.cluster_owner(caller(request), entry.name)})


def _severity(finding: dict[str, Any]) -> str:
    """What a run that met this finding would do: go on, go on and tell it, or be refused."""
    if finding["ok"]:
        return OK
    return WARN if finding["code"] in WARNINGS else REFUSE


ROUTES = (
    web.post("/v1/clusters", add),
    web.get("/v1/clusters", list_all),
    web.get("/v1/clusters/{name}", show),
    web.get("/v1/clusters/{name}/owner", owner),
    web.post("/v1/clusters/{name}/check", check),
    web.post("/v1/clusters/{name}/limits", change_limits),
)
