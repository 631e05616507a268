"""How a script of the plain shell is run on a gateway whatever its user's login shell is, and whatever that says first.

SSH hands a command to the login shell, which may be csh, where "!" and line ends mean something even between quotation
marks, or fish. So the script travels in octal digits within one word that means the same in all of them, and /bin/sh
runs it. A start-up file may greet (``echo`` in .bashrc): before anything else the script writes a mark of its own, and
whatever came before it on standard output is passed over.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

LONGEST_GREETING_BYTES = 64 << 10
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ./_-=:,@+")


@dataclass(frozen=True)
class RemoteCommand:
    """A command line for SSH; what the script writes begins right after ``mark``."""

    line: str
    mark: bytes


def remote_command(script: str) -> RemoteCommand:
    """The command line that runs a script of /bin/sh."""
    mark = f"understudy-{secrets.token_hex(8)}"
    written = f"echo {mark}\n{script}"
    encoded = "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in written.encode("utf-8"))
    return RemoteCommand(f"""/bin/sh -c 'eval "$(printf "{encoded}")"'""", f"{mark}\n".encode("ascii"))


def own_output(received: bytes, mark: bytes) -> bytes | None:
    """What the script itself has written, or None as long as its mark has not come."""
    begin = received.find(mark)
    return None if begin < 0 else received[begin + len(mark) :]
