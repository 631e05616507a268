"""What the agent asks NameNodes over Hadoop's RPC: what WebHDFS cannot tell, and what it takes much longer for.

A request over RPC costs a NameNode and this agent a tenth of one over WebHDFS. Messages: ClientNamenodeProtocol.proto
and hdfs.proto in Hadoop's source, which promises to keep them as they are. Only what is needed is written and read.
"""

from __future__ import annotations

import functools
import re
import threading
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence, TypeVar
from urllib.parse import parse_qs, urlsplit

from infra.agent.core import block_identity
from infra.agent.core.operations import HdfsCall, OperationFailed
from infra.agent.core.protobuf import Message, ProtobufError, data_field, integer_field, text_field
from infra.agent.shell.connections import reached_as
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.hadoop_rpc import RpcClient, RpcFailed
from infra.agent.shell.listed_files import page_of

# Where a file would be created, were the NameNode's answer followed: it is asked for the address in that answer alone.
NOWHERE = "/.understudy/clock/rpc-address"
ALL_OPEN_FILES = 1
CREATE, OVERWRITE = 1, 2
ENCRYPTION_ZONES = 2
MOST_OPEN_FILES = 1_000_000
MOST_ZONES = 100_000
WHOLE = (1 << 63) - 1  # as long as a file can be
UNCHANGED = (1 << 64) - 1  # -1: a time that stays as it is

ACL_TYPES = ("user", "group", "mask", "other")
# A name may have colons and commas in it.
_ACL_ENTRY = re.compile(r"(default:)?(user|group|mask|other):(.*?):([r-][w-][x-])(?:,|$)", re.DOTALL)
NAMESPACES = ("user", "trusted", "security", "system", "raw")

Method = TypeVar("Method", bound=Callable[..., Any])


def understood(method: Method) -> Method:
    """Make an answer that is not of the expected form a failure like any other."""

    @functools.wraps(method)
    def ask(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except ProtobufError as error:
            raise RpcFailed(f"{method.__name__}: {type(error).__name__}: {error}") from error

    return ask  # type: ignore[return-value]


AskNameNode = Callable[[HdfsCall, bool], Mapping[str, Any]]


@dataclass(frozen=True)
class LocatedBlock:
    """A block of a file: its identity and length, where it begins in the file, who has it.

    ``identity`` is the message ``ExtendedBlock`` without a length, ``block`` the part of it behind the pool, ``nodes``
    are messages ``DatanodeInfo``, the nearest first, ``storages`` the kinds of storage there, and ``token`` is the
    message that gives access to it.
    """

    identity: bytes
    block: bytes
    length: int
    offset: int
    nodes: tuple[memoryview, ...]
    storages: tuple[int, ...]
    token: memoryview
    is_corrupt: bool


@dataclass(frozen=True)
class LocatedFile:
    """A file's length, and the blocks that were asked for. ``is_plain``: not striped, encrypted or being written."""

    length: int
    blocks: tuple[LocatedBlock, ...]
    is_plain: bool

    @property
    def contents(self) -> str | None:
        """The identity of the contents, if these are all blocks of the file; an empty one has none."""
        return block_identity.identity_of(b"".join(one.block for one in self.blocks)) if self.blocks else None


class NameNodeRpc:
    """Asks the active NameNode of each site; ``ask`` asks it over WebHDFS.

    ``sites`` may say by what other name its host is reached from here (see ``reached_as``).
    """

    def __init__(self, ask: AskNameNode, credentials: Credentials, sites: Mapping[str, Any] | None = None) -> None:
        self._ask = ask
        self._credentials = credentials
        self._sites = sites or {}
        self._lock = threading.Lock()
        self._clients: dict[str, RpcClient] = {}

    def close(self) -> None:
        """Close idle connections."""
        for client in self._clients.values():
            client.close()

    @understood
    def open_files(self, site: str, directory: str) -> list[str]:
        """The paths of files open for writing below a directory; raises ``RpcFailed``.

        The answers come in batches, by inode: a file that is open all the while is in one of them. A NameNode older
        than 3.1 does not know directories and lists all: what lies elsewhere is dropped here.
        """
        below = directory.rstrip("/") + "/"
        paths: set[str] = set()
        after, has_more = 0, True
        while has_more:
            request = integer_field(1, after) + integer_field(2, ALL_OPEN_FILES) + text_field(3, directory)
            answer = self._call(site, "listOpenFiles", request)
            entries = [Message(entry, "OpenFilesBatchResponse") for entry in answer.repeated(1)]
            paths.update(entry.text(2) for entry in entries)
            has_more = bool(entries) and bool(answer.integer(2))
            last = entries[-1].integer(1) if entries else after
            if has_more and (last <= after or len(paths) > MOST_OPEN_FILES):
                raise RpcFailed(
                    f"the list of open files does not end: {len(paths)} of them, and inode {last} comes next"
                )
            after = last
        return sorted(path for path in paths if path.startswith(below))

    @understood
    def locate(self, site: str, path: str, offset: int, length: int) -> LocatedFile:
        """The blocks of a part of a file; raises ``RpcFailed``."""
        return _located_file(path, self._call(site, "getBlockLocations", _part_of(path, offset, length)))

    @understood
    def locate_many(self, site: str, paths: Sequence[str]) -> list[LocatedFile]:
        """The blocks of many whole files; raises ``RpcFailed``, also where one of them is no file."""
        requests = [_part_of(path, 0, WHOLE) for path in paths]
        answers = self._client(site).call_many("getBlockLocations", requests)
        return [_located_file(path, answer) for path, answer in zip(paths, answers)]

    @understood
    def list_page(self, site: str, path: str, start_after: str) -> dict[str, Any]:
        """A page of a directory's listing with the files' blocks, as ``ListPage``; raises ``RpcFailed``."""
        request = text_field(1, path) + text_field(2, start_after) + integer_field(3, 1)
        page = page_of(self._call(site, "getListing", request))
        if page is None:
            raise RpcFailed(f"{path} is not there", "FileNotFoundException")
        return page

    @understood
    def create(self, site: str, path: str, client: str, mode: int, replication: int, block_size: int) -> int:
        """Create a file in a directory that is there, replacing one that is there; returns its inode id.

        Raises ``RpcFailed``, also where the file would be striped or encrypted.
        """
        permission = integer_field(1, mode)
        request = (
            text_field(1, path)
            + data_field(2, permission)
            + text_field(3, client)
            + integer_field(4, CREATE | OVERWRITE)
            + integer_field(5, 0)
            + integer_field(6, replication)
            + integer_field(7, block_size)
            + integer_field(8, ENCRYPTION_ZONES)
            + data_field(9, permission)
        )
        status = Message(self._call(site, "create", request).data(1), "HdfsFileStatus")
        if status.has(15) or status.has(17):
            raise RpcFailed(f"{path} would be encrypted or striped")
        return status.integer(13)

    @understood
    def add_block(self, site: str, path: str, client: str, inode: int, previous: bytes | None) -> LocatedBlock:
        """The next block of a file that is being written; raises ``RpcFailed``."""
        before = b"" if previous is None else data_field(3, previous)
        request = text_field(1, path) + text_field(2, client) + before + integer_field(5, inode)
        return _located(self._call(site, "addBlock", request).data(1))

    @understood
    def complete(self, site: str, path: str, client: str, inode: int, last: bytes | None) -> bool:
        """Close a file; False while its last block is not yet known to be stored. Raises ``RpcFailed``."""
        block = b"" if last is None else data_field(3, last)
        request = text_field(1, path) + text_field(2, client) + block + integer_field(4, inode)
        return bool(self._call(site, "complete", request).integer(1))

    @understood
    def renew_lease(self, site: str, client: str) -> None:
        """Say that a client still writes; raises ``RpcFailed``."""
        self._call(site, "renewLease", text_field(1, client))

    @understood
    def set_owner(self, site: str, path: str, owner: str, group: str) -> None:
        """Set owner and group; empty ones stay. Raises ``RpcFailed``."""
        names = (text_field(2, owner) if owner else b"") + (text_field(3, group) if group else b"")
        self._call(site, "setOwner", text_field(1, path) + names)

    @understood
    def rename(self, site: str, source: str, target: str) -> None:
        """Rename without replacing anything or moving into a directory; raises ``RpcFailed``."""
        self._call(site, "rename2", text_field(1, source) + text_field(2, target) + integer_field(3, 0))

    @understood
    def make_directory(self, site: str, path: str, mode: int) -> bool:
        """Make a directory, and those above it, as WebHDFS does; raises ``RpcFailed``."""
        request = text_field(1, path) + data_field(2, integer_field(1, mode)) + integer_field(3, 1)
        return bool(self._call(site, "mkdirs", request).integer(1))

    @understood
    def set_permission(self, site: str, path: str, mode: int) -> None:
        """Set the mode; raises ``RpcFailed``."""
        self._call(site, "setPermission", text_field(1, path) + data_field(2, integer_field(1, mode)))

    @understood
    def set_acl(self, site: str, path: str, specification: str) -> None:
        """Replace the ACL by a specification as WebHDFS has it; raises ``RpcFailed``. Names may be of any letters."""
        entries = b"".join(data_field(2, _acl_entry(*entry.groups(""))) for entry in _ACL_ENTRY.finditer(specification))
        self._call(site, "setAcl", text_field(1, path) + entries)

    @understood
    def remove_acl(self, site: str, path: str) -> None:
        """Leave nothing but the mode; raises ``RpcFailed``."""
        self._call(site, "removeAcl", text_field(1, path))

    @understood
    def remove_default_acl(self, site: str, path: str) -> None:
        """Leave no default entries; raises ``RpcFailed``."""
        self._call(site, "removeDefaultAcl", text_field(1, path))

    @understood
    def encryption_zones(self, site: str) -> list[str]:
        """The roots of all encryption zones, which only a superuser is told; raises ``RpcFailed``."""
        paths: list[str] = []
        after, has_more = 0, True
        while has_more:
            answer = self._call(site, "listEncryptionZones", integer_field(1, after))
            zones = [Message(zone, "EncryptionZone") for zone in answer.repeated(1)]
            paths += [zone.text(2) for zone in zones]
            has_more = bool(zones) and bool(answer.integer(2))
            last = zones[-1].integer(1) if zones else after
            if has_more and (last <= after or len(paths) > MOST_ZONES):
                raise RpcFailed(
                    f"the list of encryption zones does not end: {len(paths)} of them, and {last} comes next"
                )
            after = last
        return sorted(paths)

    @understood
    def set_times(self, site: str, path: str, modified_ms: int) -> None:
        """Set the modification time; raises ``RpcFailed``."""
        request = text_field(1, path) + integer_field(2, modified_ms) + integer_field(3, UNCHANGED)
        self._call(site, "setTimes", request)

    @understood
    def extended_attributes(self, site: str, paths: Sequence[str]) -> list[list[dict[str, str]]]:
        """All extended attributes of each path, as WebHDFS tells them in hexadecimal; raises ``RpcFailed``."""
        answers = self._client(site).call_many("getXAttrs", [text_field(1, path) for path in paths])
        return [[_attribute(attribute) for attribute in answer.repeated(1)] for answer in answers]

    def _call(self, site: str, method: str, request: bytes) -> Message:
        return self._client(site).call(method, request)

    def _client(self, site: str) -> RpcClient:
        with self._lock:
            if site not in self._clients:
                self._clients[site] = RpcClient(*self._address(site), self._user(site))
            return self._clients[site]

    def _user(self, site: str) -> str:
        ((kind, user),) = self._credentials.query(site, "hdfs")
        if kind != "user.name":
            raise RpcFailed(f"a credential of the kind {kind} cannot be used", was_sent=False)
        return user

    def _address(self, site: str) -> tuple[str, int]:
        """Where the active NameNode's RPC is: a redirect tells; with high availability what it tells is no address."""
        try:
            answer = self._ask(HdfsCall(site, "PUT", "CREATE", NOWHERE, (("noredirect", "true"),)), True)
        except OperationFailed as failure:
            reason = f"the NameNode does not tell its RPC address: {failure.message}"
            raise RpcFailed(reason, was_sent=False) from failure
        named = parse_qs(urlsplit(str(answer.get("Location"))).query).get("namenoderpcaddress", [""])[0]
        host, _, port = named.rpartition(":")
        if not host or not port.isdigit():
            raise RpcFailed(f"the NameNode calls itself {named!r}, which is no address", was_sent=False)
        return reached_as(self._sites.get(site, {}), host), int(port)


def _part_of(path: str, offset: int, length: int) -> bytes:
    return text_field(1, path) + integer_field(2, offset) + integer_field(3, length)


def _located_file(path: str, answer: Message) -> LocatedFile:
    if not answer.has(1):
        raise RpcFailed(f"{path} is no file", "FileNotFoundException")
    found = Message(answer.data(1), "LocatedBlocks")
    is_plain = not (found.integer(3) or found.has(6) or found.has(7))
    return LocatedFile(found.integer(1), tuple(_located(block) for block in found.repeated(2)), is_plain)


def _located(data: memoryview) -> LocatedBlock:
    block = Message(data, "LocatedBlock")
    extended = Message(block.data(1), "ExtendedBlock")
    numbers = block_identity.block(extended.integer(2), extended.integer(3))
    return LocatedBlock(
        identity=data_field(1, extended.data(1)) + numbers,
        block=numbers,
        length=extended.integer(4, 0),
        offset=block.integer(2),
        nodes=tuple(block.repeated(3)),
        storages=tuple(block.integers(7)),
        token=block.data(5),
        is_corrupt=bool(block.integer(4)),
    )


def _acl_entry(scope: str, kind: str, name: str, permission: str) -> bytes:
    bits = sum(bit for letter, bit in zip(permission, (4, 2, 1)) if letter != "-")
    entry = integer_field(1, ACL_TYPES.index(kind)) + integer_field(2, int(bool(scope))) + integer_field(3, bits)
    return entry + text_field(4, name) if name else entry


def _attribute(data: memoryview) -> dict[str, str]:
    attribute = Message(data, "XAttr")
    namespace = attribute.integer(1)
    if namespace >= len(NAMESPACES):
        raise ProtobufError(f"namespace {namespace} of an extended attribute is unknown")
    name = f"{NAMESPACES[namespace]}.{attribute.text(2)}"
    return {"name": name, "value": "0x" + attribute.data(3, b"").hex()}


def with_length(identity: bytes, length: int) -> bytes:
    """A block's identity with the number of bytes that it has got."""
    return identity + integer_field(4, length)
