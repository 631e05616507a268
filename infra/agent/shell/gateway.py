"""Facts about the gateway itself, among them whether unfinished instructions go on after it restarts."""

from __future__ import annotations

import getpass
import glob
import hashlib
import os
import platform
import pwd
import shutil
import socket
import subprocess
import sys
from typing import Any, Iterable, Sequence

from infra.agent.shell.admin_command import DEFAULT_COMMAND
from infra.agent.shell.disk import read_file
from infra.agent.shell.hooks import Hooks
from infra.agent.shell.locks import boot_id
from infra.agent.shell.spool import Spool
from infra.agent.version import agent_version

HBASE_ADMIN_SCRIPT = "hbase_admin.rb"
CRON_DIRECTORIES = ("/etc/cron.d",)
UNITS = "/etc/systemd/system/multi-user.target.wants"


def facts(spool: Spool, hooks: Hooks, hbase_admin_command: Sequence[str] = DEFAULT_COMMAND) -> dict[str, Any]:
    """The result of the operation ``GatewayFacts``; the HBase script is the one beside the command that starts it."""
    path = os.path.join(os.path.dirname(hbase_admin_command[-1]), HBASE_ADMIN_SCRIPT)
    script = read_file(path) if os.access(path, os.R_OK) else None
    disk = os.statvfs(spool.root)
    return {
        "python": platform.python_version(),
        "python_path": sys.executable,
        "agent": agent_version(),
        "user": getpass.getuser(),
        "boot_id": boot_id(),
        "hostname": socket.gethostname(),
        "spool_free_bytes": disk.f_bavail * disk.f_frsize,
        "hooks": hooks.names(),
        "reboot_safe": is_reboot_safe(spool.root),
        "hbase_admin_sha256": None if script is None else hashlib.sha256(script).hexdigest(),
    }


def is_reboot_safe(spool_root: str) -> bool:
    """Tell whether something on this gateway will run ``adopt`` for this spool after a restart.

    Either a crontab line "@reboot … adopt --spool SPOOL" and a cron daemon that runs, or a systemd unit whose
    ExecStart does the same: of the system and enabled, or of a user who lingers.
    """
    if any(_adopts(line, spool_root) and "@reboot" in line for line in _crontab_lines()) and _cron_runs():
        return True
    return any(_adopts(line, spool_root) and line.startswith("ExecStart=") for line in _unit_lines())


def _adopts(line: str, spool_root: str) -> bool:
    words = line.split()
    if line.lstrip().startswith("#") or "adopt" not in words or "--spool" not in words[:-1]:
        return False
    return os.path.realpath(words[words.index("--spool") + 1]) == os.path.realpath(spool_root)


def _crontab_lines() -> Iterable[str]:
    for directory in CRON_DIRECTORIES:
        yield from _lines_of(sorted(glob.glob(os.path.join(directory, "*"))))
    program = shutil.which("crontab")
    if program is not None:
        listed = subprocess.run([program, "-l"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        yield from listed.stdout.decode("utf-8", "replace").splitlines()


def _unit_lines() -> Iterable[str]:
    paths = glob.glob(os.path.join(UNITS, "*.service"))
    account = pwd.getpwuid(os.geteuid())
    if os.path.exists(f"/var/lib/systemd/linger/{account.pw_name}"):
        paths += glob.glob(os.path.join(account.pw_dir, ".config/systemd/user/default.target.wants/*.service"))
    if os.path.isdir("/run/systemd/system"):  # systemd is what runs this host
        yield from _lines_of(sorted(paths))


def _lines_of(paths: list[str]) -> Iterable[str]:
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                yield from stream.read().splitlines()
        except OSError:
            continue  # what this user cannot read is no evidence


def _cron_runs() -> bool:
    """Tell whether a cron daemon is among the processes."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                if stream.read().strip() in ("cron", "crond"):
                    return True
        except OSError:
            continue  # the process has ended meanwhile
    return False
