"""Put the agent on a gateway: find a Python that fits, upload the archive under its hash, and check it there.

An interpreter that was named for the cluster is used as it is named, or none is: whoever names one has a reason. Where
nothing but "python3" is said, the usual names are tried one after another.

An archive is never changed in place: it is uploaded under a name of its own, made read-only and renamed, so two
uploads at the same time do no harm. The link ``understudy-agent.pyz`` beside it always names the newest one, for the
line that the administrator gives to cron or systemd.
"""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import dataclass

import asyncssh

from domain.errors import Unavailable
from infra.agent.archive import Archive
from infra.clusters.ssh_connection import SshConnection

OLDEST_PYTHON = (3, 8)
USUAL_PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(14, 7, -1)), "/usr/libexec/platform-python")
STABLE_NAME = "understudy-agent.pyz"
_FOUND = re.compile(rb"(\S+) (\d+) (\d+) (\d+)\n")


@dataclass(frozen=True)
class InstalledAgent:
    """Where the agent lies on a gateway and what runs it."""

    python: str
    path: str
    spool: str

    def command(self, name: str, limit_seconds: float | None = None) -> str:
        """The remote command line; with a limit, the remote process ends itself when nobody waits for it any more."""
        words = [self.python, "-I", self.path]
        words += [] if limit_seconds is None else ["--limit", str(int(limit_seconds) + 5)]
        words += [name] if name in ("clock", "version") else [name, "--spool", self.spool]
        return shlex.join(words)


async def install(connection: SshConnection, archive: Archive) -> InstalledAgent:
    """Make sure that this very archive lies on the gateway; raises ``Unavailable``."""
    python = await _find_python(connection)
    directory = f"{connection.gateway.spool}/bin"
    agent = InstalledAgent(python, f"{directory}/{archive.file_name}", connection.gateway.spool)
    if await _version(connection, agent) != archive.sha256:
        await _upload(connection, archive, directory)
        found = await _version(connection, agent)
        if found != archive.sha256:
            raise Unavailable(
                "AGENT_DAMAGED",
                f"{agent.path} on {connection.where} is not what was uploaded ({found or 'it does not run'}).",
                remedy="Check the disk of the gateway and the rights of the spool directory.",
            )
    return agent


async def _find_python(connection: SshConnection) -> str:
    named = connection.gateway.python
    is_named = named != USUAL_PYTHONS[0]
    candidates = (named,) if is_named else USUAL_PYTHONS
    ask = f"import sys; print(sys.executable, *sys.version_info[:3]); sys.exit(sys.version_info < {OLDEST_PYTHON})"
    script = "\n".join(f"{shlex.quote(name)} -c {shlex.quote(ask)} 2>/dev/null && exit" for name in candidates)
    completed = await connection.run(f"/bin/sh -c {shlex.quote(script)}")
    found = [(match[1].decode(), int(match[2]), int(match[3])) for match in _FOUND.finditer(completed.stdout)]
    for path, major, minor in found:
        if (major, minor) >= OLDEST_PYTHON and major == OLDEST_PYTHON[0]:
            return named if is_named else path
    names = ", ".join(sorted({f"{path} {major}.{minor}" for path, major, minor in found})) or "none at all"
    raise Unavailable(
        "NO_FITTING_PYTHON",
        f"{connection.where} has no Python 3.8 or newer{f' called {named}' if is_named else ''}; found: {names}.",
        remedy="Install Python 3.8 or newer there, or name its path in the cluster's gateway.python.",
    )


async def _version(connection: SshConnection, agent: InstalledAgent) -> str:
    """The hash that the agent there says of itself, or "" when it is not there or does not run."""
    completed = await connection.run(agent.command("version", connection.limits.command_seconds))
    return completed.stdout.decode("ascii", "replace").strip() if completed.exit_status == 0 else ""


async def _upload(connection: SshConnection, archive: Archive, directory: str) -> None:
    token = secrets.token_hex(8)
    target = f"{directory}/{archive.file_name}"
    async with connection.session() as session, connection.told_apart():
        try:
            async with session.start_sftp_client() as sftp:
                await sftp.makedirs(directory, asyncssh.SFTPAttrs(permissions=0o700), exist_ok=True)
                attributes = asyncssh.SFTPAttrs(permissions=0o500)
                async with sftp.open(f"{target}.{token}", "wb", attributes) as file:
                    await file.write(archive.data)
                await sftp.chmod(f"{target}.{token}", 0o500)
                await sftp.posix_rename(f"{target}.{token}", target)
                await sftp.symlink(archive.file_name, f"{directory}/{STABLE_NAME}.{token}")
                await sftp.posix_rename(f"{directory}/{STABLE_NAME}.{token}", f"{directory}/{STABLE_NAME}")
        except asyncssh.SFTPError as error:
            raise Unavailable(
                "AGENT_NOT_UPLOADED",
                f"the agent could not be put into {directory} on {connection.where}: {error.reason}.",
                remedy="The spool directory must belong to the gateway's user, with mode 0700 and some free space.",
            ) from error
