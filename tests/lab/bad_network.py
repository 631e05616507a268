"""A bad line to a cluster: a proxy on another loopback address that delays what it passes on, loses some, can be cut.

TCP hides a lost packet as a pause until it was sent again; that is what a lost piece is here. A cut line answers
nothing and closes nothing, as when a cable is pulled; what was on its way arrives when it is mended.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from scripts.labkit.cluster import Cluster

HERE = "127.0.0.1"
FAR = "127.0.0.2"
PIECE_BYTES = 16 << 10
RETRANSMISSION_SECONDS = 0.3
IN_FLIGHT = 64  # pieces: a window of a megabyte
WAIT_SECONDS = 60.0


class BadLine:
    """Passes connections to the cluster's NameNode and DataNode ports at ``FAR`` on to where they are."""

    def __init__(self, cluster: Cluster, delay_seconds: float, loss: float) -> None:
        ports = cluster.layout.ports
        numbers = (ports.namenode_http, ports.namenode_rpc, ports.datanode, ports.datanode_http)
        self._passed_bytes = dict.fromkeys(numbers, 0)
        self._counting = threading.Lock()
        self._delay_seconds = delay_seconds
        self._loss = loss
        self._random = random.Random(1)
        self._whole = threading.Event()
        self._whole.set()
        self._is_over = threading.Event()
        self._ends: list[socket.socket] = []
        self._listeners = [socket.create_server((FAR, number)) for number in numbers]
        self._acceptors = [threading.Thread(target=self._accept, args=(one,), daemon=True) for one in self._listeners]
        for acceptor in self._acceptors:
            acceptor.start()

    def site(self, site: Mapping[str, Any]) -> dict[str, Any]:
        """A site of an instruction's payload as it is seen from this side of the line."""
        far = [url.replace(HERE, FAR) for url in site["namenodes"]]
        return {**site, "namenodes": far, "known_as": {HERE: FAR}}

    @property
    def passed_bytes(self) -> dict[int, int]:
        """How many bytes have arrived, at either end, of connections to each port."""
        with self._counting:
            return dict(self._passed_bytes)

    def wait_for(self, passed_bytes: int) -> None:
        """Return when so many bytes have arrived."""
        give_up_at = time.monotonic() + WAIT_SECONDS
        while sum(self.passed_bytes.values()) < passed_bytes:
            assert time.monotonic() < give_up_at, self.passed_bytes
            time.sleep(0.02)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing passes meanwhile."""
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    def close(self) -> None:
        """End it; its ports are free afterwards, which they are not while somebody waits at them."""
        self._is_over.set()
        self._whole.set()
        for end in (*self._listeners, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for acceptor in self._acceptors:
            acceptor.join()

    def _accept(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        while not self._is_over.is_set():
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._ends.append(near)
            threading.Thread(target=self._connect, args=(near, port), daemon=True).start()

    def _connect(self, near: socket.socket, port: int) -> None:
        self._whole.wait()
        time.sleep(self._delay_seconds)
        try:
            far = socket.create_connection((HERE, port), 10)
        except OSError:
            near.close()
            return
        self._ends.append(far)
        for begin, end in ((near, far), (far, near)):
            on_the_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
            room = threading.Semaphore(IN_FLIGHT)
            threading.Thread(target=self._send, args=(begin, on_the_way, room), daemon=True).start()
            threading.Thread(target=self._arrive, args=(port, end, on_the_way, room), daemon=True).start()

    def _send(
        self, begin: socket.socket, on_the_way: SimpleQueue[tuple[float, bytes]], room: threading.Semaphore
    ) -> None:
        while True:
            try:
                data = begin.recv(PIECE_BYTES)
            except OSError:
                data = b""
            room.acquire()
            late = RETRANSMISSION_SECONDS if self._random.random() < self._loss else 0.0
            on_the_way.put((time.monotonic() + self._delay_seconds / 2 + late, data))
            if not data:
                return

    def _arrive(
        self, port: int, end: socket.socket, on_the_way: SimpleQueue[tuple[float, bytes]], room: threading.Semaphore
    ) -> None:
        while not self._is_over.is_set():
            try:
                at, data = on_the_way.get(timeout=1.0)
            except Empty:
                continue
            time.sleep(max(0.0, at - time.monotonic()))
            self._whole.wait()
            room.release()
            try:
                if not data:
                    end.shutdown(socket.SHUT_WR)
                    return
                end.sendall(data)
            except OSError:
                end.close()
                return
            with self._counting:
                self._passed_bytes[port] += len(data)
