"""Locks by ``flock``: a lock is held exactly as long as its process lives, whatever else happens.

The lock of an instruction is what "alive" means: a process id can be reused and a file can be left behind, but the
kernel lets go of a lock when its holder dies. The holder writes its process id and the boot id into the file for the
operator who reads it; nothing decides by them.

A look from outside takes the lock shared for an instant. So a starter that finds it taken tries again for a while: a
look is over in microseconds, another agent is not.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

RETRY_SECONDS = 0.01


class Lock:
    """A lock that is held; ``release`` it, or die."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_holder(self, boot_id: str) -> None:
        """Note who holds it, for people."""
        text = json.dumps({"pid": os.getpid(), "boot_id": boot_id}) + "\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(path: str, patience_seconds: float) -> Lock | None:
    """Take the lock exclusively, trying for ``patience_seconds``; None when somebody else keeps holding it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up_at = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Lock(descriptor)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                os.close(descriptor)
                return None
            time.sleep(RETRY_SECONDS)


def is_held(path: str) -> bool:
    """Tell whether somebody holds the lock, without creating the file and without disturbing a starter for long."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """The kernel's id of this boot, or "" where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""
