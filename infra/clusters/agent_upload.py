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

from domain.errors import Unavailable
from infra.agent.archive import Archive
from infra.clusters.ssh_connection import SshConnection

OLDEST_PYTHON = (3, 8)
USUAL_PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(14, 7, -1)), "/usr/libexec/platform-python")
STABLE_NAME = "understudy-agent.pyz"
_FULL = ("No space left on device", "Disk quota exceeded")
_FOUND = re.compile(rb"(\S+) (\d+) (\d+) (\d+)\n")


@dataclass(frozen=True)
class InstalledAgent:
    """Where the agent lies on a gateway and what runs it."""

    python: str
    path: str
    spool: str

    def command(self, name: str, limit_seconds: float | None = None) -> str:
        """The script that runs it; with a limit, the remote process ends itself when nobody waits for it any more."""
        words = [self.python, "-I", self.path]
        words += [] if limit_seconds is None else ["--limit", str(int(limit_seconds) + 5)]
        words += [name] if name in ("clock", "version") else [name, "--spool", self.spool]
        return f"exec {shlex.join(words)}"


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
    completed = await connection.run(script)
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


_UPLOAD = """\
LC_ALL=C
export LC_ALL
umask 077
mkdir -p {directory} &&
    cat >{target}.{token} &&
    [ "$(wc -c <{target}.{token})" -eq {size} ] &&
    chmod 500 {target}.{token} &&
    mv -f {target}.{token} {target} &&
    ln -s {file_name} {stable}.{token} &&
    mv -f {stable}.{token} {stable} && exit 0
rm -f {target}.{token} {stable}.{token}
exit 1
"""
"""By the shell, because not every SSH server has SFTP; what was cut short on its way is never put into place."""


async def _upload(connection: SshConnection, archive: Archive, directory: str) -> None:
    script = _UPLOAD.format(
        directory=shlex.quote(directory),
        target=shlex.quote(f"{directory}/{archive.file_name}"),
        stable=shlex.quote(f"{directory}/{STABLE_NAME}"),
        file_name=shlex.quote(archive.file_name),
        token=secrets.token_hex(8),
        size=len(archive.data),
    )
    completed = await connection.run(script, archive.data)
    if completed.exit_status == 0:
        return
    reason = completed.stderr.decode("utf-8", "replace").strip()[-300:] or "it did not arrive whole"
    if any(words in reason for words in _FULL):
        raise Unavailable(
            "SPOOL_FULL",
            f"the agent could not be put into {directory} on {connection.where}: {reason}.",
            remedy="Make room on the file system of the spool directory, or raise the quota of its user.",
        )
    raise Unavailable(
        "AGENT_NOT_UPLOADED",
        f"the agent could not be put into {directory} on {connection.where}: {reason}.",
        remedy="The spool directory must belong to the gateway's user, with mode 0700, and be writable.",
    )
