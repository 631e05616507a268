"""Lists the files that are open for writing: over the NameNode's RPC, or through the gateway's ``hdfs`` command.

WebHDFS cannot tell (docs/decisions/0004). RPC takes milliseconds and needs nothing on the gateway; where it cannot be
used (Kerberos, a NameNode that does not say its RPC address, a closed port) the command is, which takes seconds. The
command acts with the credential of the instruction, which it finds in its environment, so nothing else on the gateway
has to allow it. Its output is a title line and a line per file: client's host, client's name, path, separated by tabs
and padded with spaces.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from typing import IO, Any, Mapping, Sequence

from infra.agent.core.operations import OpenFiles, OperationFailed
from infra.agent.shell.credentials import Credentials
from infra.agent.shell.hadoop_rpc import RpcFailed
from infra.agent.shell.namenode_rpc import NameNodeRpc

COMMAND = ("hdfs", "dfsadmin", "-listOpenFiles", "-path")
TIMEOUT_SECONDS = 120.0
MAXIMUM_BYTES = 64 << 20
POLL_SECONDS = 0.25
REMEDY = "Make the hdfs command of this cluster work in the gateway user's shell: hdfs dfsadmin -listOpenFiles."
# Where a credential has to stand for Hadoop's commands, by the query parameter that carries it for WebHDFS.
VARIABLES = {"user.name": "HADOOP_USER_NAME"}


class OpenFileListing:
    """Carries out ``OpenFiles``."""

    def __init__(
        self,
        rpc: NameNodeRpc,
        credentials: Credentials,
        cancelled: threading.Event,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._rpc = rpc
        self._credentials = credentials
        self._cancelled = cancelled
        self._command = list(command)

    def of(self, operation: OpenFiles) -> dict[str, Any]:
        """See ``OpenFiles`` for the result; OPEN_FILES_UNKNOWN if neither way works."""
        try:
            return {"paths": self._rpc.open_files(operation.site, operation.path), "way": "NameNode RPC"}
        except RpcFailed as error:
            if operation.quick:
                raise OperationFailed("OPEN_FILES_UNKNOWN", f"not over RPC: {error}") from error
            return {"paths": self._by_command(operation), "way": "hdfs command"}

    def _by_command(self, operation: OpenFiles) -> list[str]:
        query = self._credentials.query(operation.site, "hdfs")
        unknown = [parameter for parameter, _ in query if parameter not in VARIABLES]
        if unknown:
            raise OperationFailed("OPEN_FILES_UNKNOWN", f"a credential of the kind {unknown[0]} cannot be handed over")
        environment = {**os.environ, **{VARIABLES[parameter]: value for parameter, value in query}}
        output = self._run([*self._command, operation.path], environment)
        return parse_listing(output.decode("utf-8", "surrogateescape"))

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> bytes:
        # Into files: who asks for a list that does not end must not hold it in memory.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise OperationFailed("OPEN_FILES_UNKNOWN", f"{command[0]}: {error.strerror}", remedy=REMEDY) from error
            self._wait(process, output)
            if process.returncode != 0:
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
                last = errors.read().decode("utf-8", "replace").strip()[-500:]
                raise OperationFailed(
                    "OPEN_FILES_UNKNOWN",
                    f"{' '.join(command)} ended with {process.returncode}: {last}",
                    remedy=REMEDY,
                )
            output.seek(0)
            return output.read()

    def _wait(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        while True:
            ended = True
            try:
                process.wait(timeout=POLL_SECONDS)
            except subprocess.TimeoutExpired:
                ended = False
            is_too_long = os.fstat(output.fileno()).st_size > MAXIMUM_BYTES
            if not is_too_long:
                if ended:
                    return
                if not self._cancelled.is_set() and time.monotonic() < give_up_at:
                    continue
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if is_too_long:
                raise OperationFailed("OPEN_FILES_UNKNOWN", f"the list has more than {MAXIMUM_BYTES} bytes")
            if self._cancelled.is_set():
                raise OperationFailed("ABORTED", "given up because the instruction ends")
            raise OperationFailed(
                "OPEN_FILES_UNKNOWN", f"{self._command[0]} did not end within {TIMEOUT_SECONDS:.0f} s", remedy=REMEDY
            )


def parse_listing(text: str) -> list[str]:
    """The paths in the command's output; a path may hold anything but NUL, line ends included."""
    paths: list[str] = []
    for line in text.split("\n")[1:]:
        columns = line.split("\t", 2)
        if len(columns) == 3 and columns[2].lstrip().startswith("/"):
            paths.append(columns[2].lstrip())
        elif line and paths:
            paths[-1] += f"\n{line}"
    return paths
