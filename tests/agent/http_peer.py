"""A NameNode and a DataNode that speak WebHDFS over real sockets, and misbehave where a test asks for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

Misbehave = Callable[["Handler"], bool]


class Peer:
    """One server that plays both parts; ``files`` is what it stores, ``requests`` what it was asked.

    ``misbehaviours`` are taken one per request of the named op ("NN:OPEN", "DN:CREATE", …): each gets the handler and
    returns True when it has dealt with the request.
    """

    def __init__(self, port: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.misbehaviours: dict[str, list[Misbehave]] = {}
        self.connections = 0
        self.sockets: list[socket.socket] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (Handler,), {"peer": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        for opened in self.sockets:
            with suppress(OSError):  # it is closed already
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def ops(self) -> list[str]:
        """The ops that were asked for, in order."""
        return [op for op, _, _ in self.requests]


@contextmanager
def peers(count: int) -> Iterator[list[Peer]]:
    """That many peers."""
    started = [Peer() for _ in range(count)]
    try:
        yield started
    finally:
        for peer in started:
            peer.close()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    peer: Peer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.peer.connections += 1
        self.peer.sockets.append(self.request)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.file_path = unquote(parts.path[len("/webhdfs/v1") :])
        self.query = query
        part = "DN" if "namenoderpcaddress" in query else "NN"
        op = f"{part}:{query['op']}"
        self.peer.requests.append((op, self.file_path, query))
        waiting = self.peer.misbehaviours.get(op, [])
        if waiting and waiting.pop(0)(self):
            return
        if part == "DN":
            getattr(self, f"_dn_{query['op'].lower()}")()
        elif query.get("noredirect") == "true":
            rest = "&".join(item for item in parts.query.split("&") if not item.startswith("noredirect"))
            # As the NameNode does it: quoted, all but letters beyond ASCII and some signs.
            path = "".join(quote(c, safe="/+;&=") if c.isascii() else c for c in self.file_path)
            self.answer(200, {"Location": f"{self.peer.url}/webhdfs/v1{path}?{rest}&namenoderpcaddress=nn:8020"})
        else:
            self.answer(200, {"path": self.file_path, "op": query["op"], "user": query.get("user.name")})

    def _dn_open(self) -> None:
        data = self.peer.files[self.file_path][int(self.query["offset"]) :]
        data = data[: int(self.query["length"])] if "length" in self.query else data
        self.send_bytes(data, len(data))

    def _dn_create(self) -> None:
        length = int(self.headers["Content-Length"])
        self.peer.files[self.file_path] = self.rfile.read(length)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def send_bytes(self, data: bytes, announced: int) -> None:
        """Send a file as a DataNode does; fewer bytes than announced are a broken transfer."""
        self.send_response(200)
        self.send_header("Content-Length", str(announced))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def answer(self, status: int, value: Any) -> None:
        """Answer with JSON."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def exception(name: str, message: str = "", status: int = 403) -> Misbehave:
    """Answer with a remote exception."""

    def misbehave(handler: Handler) -> bool:
        handler.answer(status, {"RemoteException": {"exception": name, "javaClassName": name, "message": message}})
        handler.close_connection = True
        return True

    return misbehave


def hang_up(handler: Handler) -> bool:
    """Close the connection without an answer: the effect may have happened."""
    handler.close_connection = True
    return True


def break_off_after(count: int) -> Misbehave:
    """Send so many bytes of the file and then close the connection."""

    def misbehave(handler: Handler) -> bool:
        data = handler.peer.files[handler.file_path][int(handler.query["offset"]) :]
        handler.send_bytes(data[:count], int(handler.query.get("length", len(data))))
        return True

    return misbehave


def html(status: int) -> Misbehave:
    """Answer as a proxy or a starting server does."""

    def misbehave(handler: Handler) -> bool:
        data = b"<html>no</html>"
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
        return True

    return misbehave
