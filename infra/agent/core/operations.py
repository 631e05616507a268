"""The operations: everything that a procedure can ask of the world, as frozen data.

Each class states what its result is. All may fail with ``OperationFailed``. ``site`` is "primary" or "secondary": the
instruction's payload says where that is and the credential is added by the shell in one place. Times are milliseconds
since the epoch on the gateway's clock, as floats; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class OperationFailed(Exception):
    """An operation, or a procedure as a whole, did not succeed.

    ``code`` is permanent (upper case). ``unknown`` is True when the effect may have happened (the answer was lost):
    then the only way on is a probe. ``transient`` is True when the same operation may succeed later. ``detail`` holds
    small JSON facts (``exception`` is the remote exception's class name where there was one).
    """

    def __init__(
        self,
        code: str,
        message: str,
        remedy: str = "",
        unknown: bool = False,
        transient: bool = False,
        detail: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = remedy
        self.unknown = unknown
        self.transient = transient
        self.detail: dict[str, Any] = dict(detail or {})

    @property
    def is_final(self) -> bool:
        """Whether this says something of what was asked for: no trouble that passes, no lost answer, no abort."""
        return not (self.transient or self.unknown or self.code == "ABORTED")


class Operation:
    """The base of all operations."""


@dataclass(frozen=True)
class HdfsCall(Operation):
    """One WebHDFS request on the NameNode that answers with JSON (``{}`` for an empty body). Result: that dict.

    ``path`` is decoded text (the shell quotes it); ``user`` is "hdfs" (the superuser's credential) or "hbase".
    Failure code "HDFS": ``detail["exception"]`` names the remote exception, ``detail["status"]`` the HTTP status.
    Standby and retriable answers, and time-outs of read-only calls, were already tried again by the shell.
    """

    site: str
    method: str
    op: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    user: str = "hdfs"


@dataclass(frozen=True)
class ReadFile(Operation):
    """Read ``length`` bytes from ``offset`` of an HDFS file; at most 64 MiB. Result: bytes."""

    site: str
    path: str
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True)
class WriteFile(Operation):
    """Create a small HDFS file whose parent exists already (``createparent=false``). Result: None.

    A file that is there is replaced, so repeating it is harmless.
    """

    site: str
    path: str
    data: bytes
    permission: str = "600"


@dataclass(frozen=True)
class CopyRange(Operation):
    """Stream ``length`` bytes from ``offset`` of ``source_path`` into the new file ``target_path`` on another site.

    The target's parent exists (``createparent=false``) and the target is replaced if it is there. The failure
    "SOURCE_DAMAGED" means that the source could not be read whole. Result: dict(bytes=…, seconds=…, checksum=…), the
    latter the stored checksum of the whole source file, as ``FileChecksum`` tells it, if the copying has shown it.
    """

    source: str
    source_path: str
    offset: int
    length: int
    target: str
    target_path: str
    block_size: int
    replication: int
    permission: str


@dataclass(frozen=True)
class DigestFile(Operation):
    """Read ``length`` bytes of an HDFS file from ``offset`` on and hash them. Result: dict(sha256=hex, bytes=…)."""

    site: str
    path: str
    length: int
    offset: int = 0


@dataclass(frozen=True)
class SpoolAppend(Operation):
    """Append to a file of the instruction's spool directory; flushed to disk before the outcome if ``durable``.

    Result: None. ``name`` is a plain file name such as "journal"; ``data`` ends with a newline. After a crash the
    last line of such a file may be torn: readers drop a line without its newline.
    """

    name: str
    data: bytes
    durable: bool = True


@dataclass(frozen=True)
class SpoolRead(Operation):
    """Read a part of a spool file. Result: bytes, b"" at or past its end or when there is no such file."""

    name: str
    offset: int = 0
    length: int = 1 << 20


@dataclass(frozen=True)
class SpoolTruncate(Operation):
    """Cut a spool file to ``length`` bytes (0 also creates it); durable. Result: None."""

    name: str
    length: int = 0


@dataclass(frozen=True)
class SpoolSort(Operation):
    """Sort the lines of a spool file bytewise into another one with bounded memory. Result: number of lines."""

    source: str
    target: str


@dataclass(frozen=True)
class Upload(Operation):
    """Copy a spool file to a new HDFS file (parent exists, replaced if there). Result: dict(bytes=…, sha256=hex)."""

    name: str
    site: str
    path: str


@dataclass(frozen=True)
class Download(Operation):
    """Copy an HDFS file into a spool file, replacing it. Result: dict(bytes=…, sha256=hex)."""

    site: str
    path: str
    name: str


@dataclass(frozen=True)
class Ahead(Operation):
    """Say that a read will be asked for soon, so that it may be under way meanwhile. Result: None, at once.

    A hint, which may be ignored: the read is asked for all the same, once, and fails then if it fails.
    """

    read: Operation


@dataclass(frozen=True)
class Progress(Operation):
    """Tell how far it is; volatile, never decides anything. Result: None.

    ``facts`` is small JSON, by convention ``step, data_set, bytes, bytes_total, files, files_total``.
    """

    facts: dict[str, Any]


@dataclass(frozen=True)
class Milestone(Operation):
    """Record durably in the spool that a named point was reached; the control device reads it. Result: None."""

    name: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Now(Operation):
    """Read the gateway's clock. Result: float milliseconds since the epoch."""


@dataclass(frozen=True)
class SleepUntil(Operation):
    """Wait until the gateway's clock shows a time, or as long as that was away when the clock is set back meanwhile.

    Result: the gateway's time afterwards, which may then be earlier.
    """

    at_ms: float


@dataclass(frozen=True)
class HBaseCall(Operation):
    """One request to the HBase administration process of a site (started when needed, kept warm).

    ``request`` is a JSON object with "do"; see ``infra/agent/shell/hbase_admin.rb`` for the vocabulary. Only the
    gateway's own cluster has such a process. Result: the reply's dict. Failure codes "HBASE" and
    "HBASE_REFUSED" (by the process itself) with ``detail["exception"]``, or "HBASE_ADMIN_DIED" (unknown).
    """

    site: str
    request: dict[str, Any]
    timeout_seconds: float = 300.0


@dataclass(frozen=True)
class Fire(Operation):
    """Wait until ``at_ms`` and then start all ``calls`` (HdfsCall or HBaseCall) at once, each on a thread of its own.

    The shell opens the connections before, waits in short steps and spins through the last two milliseconds. Result:
    one dict per call, in order: ``asked_ms`` and ``done_ms`` on the gateway's clock, ``value`` or
    ``failure = dict(code, message, detail)``. Nothing is fired, and it fails with MOMENT_MISSED, when the clock is
    past ``at_ms + tolerance_ms`` at the time of firing.
    """

    at_ms: float
    tolerance_ms: float
    calls: tuple[Operation, ...]


@dataclass(frozen=True)
class RunHook(Operation):
    """Run a named file of the gateway's root-owned ``hooks.d``; never a command. Result: dict(exit=0, output=…)."""

    name: str
    argument: str
    timeout_seconds: float


@dataclass(frozen=True)
class GatewayFacts(Operation):
    """Facts about the gateway itself.

    Result: dict(python, agent, user, boot_id, hostname, spool_free_bytes, hooks=[names], reboot_safe=bool,
    hbase_admin_sha256 or None).
    """


@dataclass(frozen=True)
class StartWatchdog(Operation):
    """Start a detached process that runs a hook after ``after_seconds``, whatever becomes of the agent. Result: None.

    It ends without running the hook when the journal's newest ``barrier`` record is "released" by then, and runs it
    earlier when the instruction has ended without that. Failure code "WATCHDOG_FAILED": it does not watch.
    """

    name: str
    argument: str
    after_seconds: int


@dataclass(frozen=True)
class OpenFiles(Operation):
    """List the files that are open for writing now. Result: dict(paths=[absolute, beginning with ``path``], way=…).

    ``way`` says how it was found out. One way takes milliseconds, the other, which only the gateway's own cluster can
    be asked in, seconds; with ``quick`` only the first is tried. Failure code "OPEN_FILES_UNKNOWN".
    """

    site: str
    path: str
    quick: bool = False
