"""Whether files and directories are one's own: as OpenSSH looks at its keys and settings before it uses them.

What others can write, they decide: the settings name the tokens, the store holds what is believed about clusters. A
directory above counts as well, because whoever can write in it can put another file in place; not one with the sticky
bit, such as /tmp, where only its owner can.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from domain.errors import InvalidInput


class Fault(NamedTuple):
    """What is wrong, with its full stop, and the command that mends it."""

    message: str
    remedy: str


def refuse_shared(field: str, path: Path, *, secret: bool = False) -> None:
    """Raise ``InvalidInput`` NOT_PRIVATE for what others can change, or can read if it is ``secret``."""
    fault = found_fault(path, secret=secret)
    if fault is not None:
        raise InvalidInput(field, fault.message, remedy=fault.remedy, code="NOT_PRIVATE")


def found_fault(path: Path, *, secret: bool = False) -> Fault | None:
    """What is wrong with a file or directory, and with those above it; None for what is not there."""
    try:
        found = path.stat()
    except OSError:
        return None  # whoever opens it tells that
    return next(_faults(path, found, secret), None)


def _faults(path: Path, found: os.stat_result, secret: bool) -> Iterator[Fault]:
    name = shlex.quote(str(path))
    private = "700" if stat.S_ISDIR(found.st_mode) else "600"
    if not _is_ours(found):
        yield Fault(f"{path} belongs to user {_user(found.st_uid)}.", f"chown {_user(os.geteuid())} {name}")
    if _others_write(found):
        yield Fault(f"others can write {path}.", f"chmod {private if secret else 'go-w'} {name}")
    if secret and found.st_mode & 0o077:
        yield Fault(f"others can read {path}.", f"chmod {private} {name}")
    real = Path(os.path.realpath(path))
    for above in dict.fromkeys((*Path(os.path.abspath(path)).parents, *real.parents)):
        found = above.stat()
        if not _is_ours(found):
            yield Fault(
                f"{path} lies in {above}, which belongs to user {_user(found.st_uid)}.",
                f"chown {_user(os.geteuid())} {shlex.quote(str(above))}, or use another place",
            )
        if _others_write(found) and not found.st_mode & stat.S_ISVTX:
            yield Fault(
                f"{path} lies in {above}, which others can write.",
                f"chmod go-w {shlex.quote(str(above))}, or use another place",
            )


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid())


def _others_write(found: os.stat_result) -> bool:
    """The group counts as others, unless it is the user's own, with nobody else in it."""
    return bool(found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_our_group(found.st_gid)))


def _is_our_group(number: int) -> bool:
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
    except KeyError:
        return False
    return user.pw_gid == number and set(group.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
