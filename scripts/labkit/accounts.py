"""The operating-system users of the lab: one for each gateway, and ``hdfs`` and ``hbase`` as the targets of sudo."""

from __future__ import annotations

import os
import pwd
import subprocess

from scripts.labkit.errors import LabError

SERVICE_USERS = ("hdfs", "hbase")


def ensure_accounts(gateway_users: tuple[str, ...]) -> None:
    """Make the accounts that are missing; raises LabError when this process may not.

    A gateway's user has a real shell and the password "*": no password opens it, yet it is not locked, which an SSH
    server without PAM would refuse. The home directory of the account is an ordinary one, because two labs share the
    accounts; in a gateway's shell HOME is the lab's.
    """
    if os.geteuid() != 0:
        raise LabError("the lab makes users and runs SSH servers: run it as root")
    for name in SERVICE_USERS:
        _ensure(name, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin")
    for name in gateway_users:
        _ensure(name, "--user-group", "--create-home", "--shell", "/bin/bash", "--password", "*")


def _ensure(name: str, *options: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        done = subprocess.run(["useradd", *options, name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"useradd {name} failed: {done.stderr.strip()}") from None
