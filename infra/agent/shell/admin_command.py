"""What may start HBase's administration: the administrator's program, by his sudo rule, and nothing else.

An instruction says where the program is, because a host may be the gateway of several clusters. It must not thereby say
what is run: the command has one shape (``payloads.py``), and the file is one that root alone can have put there, as the
set-up script does. So whoever can write an instruction can start nothing but what the administrator installed for it.
"""

from __future__ import annotations

import os
import stat
from typing import Sequence

from infra.agent.core.operations import OperationFailed

DEFAULT_COMMAND = ("sudo", "-n", "-u", "hbase", "/usr/local/lib/understudy/hbase-admin")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def safe_command(command: Sequence[str]) -> Sequence[str]:
    """Return a command of the shape "sudo -n -u USER PATH" if root alone decides what is at its path.

    Raises "ADMIN_COMMAND_UNSAFE" otherwise. That nothing is there is told by what starts it.
    """
    reason = _why_not(command[-1])
    if reason is not None:
        raise OperationFailed(
            "ADMIN_COMMAND_UNSAFE",
            f"{' '.join(command)} is not run: {reason}",
            remedy="Run the administrator's set-up on this gateway, and enter the path of its hbase-admin.",
        )
    return command


def _why_not(program: str) -> str | None:
    """Why somebody else than root may decide what is run, or None."""
    if os.path.realpath(program) != program:
        return f"{program} is reached through a link"
    path = program
    while True:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"{path}: {error.strerror}"
        else:
            # A sticky bit is not enough: what is removed there in time (as in /tmp) can be put there by anybody.
            if status.st_uid != 0 or status.st_mode & _OTHERS_WRITE:
                return f"{path} must belong to root and be writable by root alone"
        if path == "/":
            return None
        path = os.path.dirname(path)
