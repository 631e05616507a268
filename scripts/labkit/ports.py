"""Who listens on a port of this machine."""

from __future__ import annotations

import re
import socket
import subprocess

from scripts.labkit.layout import HOST


def holder_of(port: int) -> str | None:
    """None when the port is free; else the program that has it, as far as it can be told."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As servers do: an old connection in TIME_WAIT does not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return _name_of_listener(port)
    return None


def _name_of_listener(port: int) -> str:
    try:
        command = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes", f"sport = :{port}"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except FileNotFoundError:
        return "another program"
    found = re.search(r'\("([^"]+)",pid=(\d+)', answer)
    return f"{found[1]} (pid {found[2]})" if found else "another program"
