"""One rate for all transfers: never faster, never silent for long, and gone the moment it is lifted."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.operations import CopyRange
from infra.agent.shell.throttle import BURST_SECONDS, ROUND_SECONDS, SMALLEST_PIECE_BYTES, Throttle
from tests.agent.http_peer import peers
from tests.agent.test_webhdfs import Client


class Time:
    """A clock that goes on only while somebody waits."""

    def __init__(self) -> None:
        self.now_seconds = 1000.0
        self.throttle = Throttle(self.wait, lambda: self.now_seconds)

    def wait(self, seconds: float) -> None:
        self.now_seconds += seconds


@given(st.integers(1, 10**9), st.lists(st.integers(1, 1 << 20), min_size=1, max_size=50))
def test_the_rate_is_not_exceeded(rate: int, pieces: list[int]) -> None:
    time = Time()
    time.throttle.set_rate(rate)
    for piece in pieces:
        time.throttle.pay(piece)
    assert sum(pieces) <= rate * (time.now_seconds - 1000.0 + BURST_SECONDS) * (1 + 1e-9) + 1e-3


def test_an_idle_time_is_not_saved_up() -> None:
    time = Time()
    time.throttle.set_rate(1000)
    time.now_seconds += 3600
    began = time.now_seconds
    time.throttle.pay(10_000)
    assert time.now_seconds - began >= 10 - BURST_SECONDS


@given(st.integers(1, 10**10), st.integers(1, 64))
def test_every_stream_gets_something_about_once_a_second(rate: int, streams: int) -> None:
    throttle = Throttle(lambda seconds: None)
    throttle.set_rate(rate)
    with ExitStack() as opened:
        for _ in range(streams):
            opened.enter_context(throttle.stream())
        piece = throttle.piece(1 << 20)
    assert 1 <= piece <= 1 << 20
    assert piece == SMALLEST_PIECE_BYTES or piece * streams <= rate * ROUND_SECONDS


def test_a_rate_that_is_lifted_holds_nobody_back() -> None:
    time = Time()
    time.throttle.set_rate(10)
    time.throttle.pay(1000)
    assert time.now_seconds > 1090
    time.throttle.set_rate(None)
    before = time.now_seconds
    time.throttle.pay(1 << 30)
    assert time.now_seconds == before
    assert time.throttle.piece(1 << 20) == 1 << 20


def test_real_copies_share_one_rate(tmp_path: Path) -> None:
    with peers(2) as (first, second):
        client = Client(tmp_path, [first.url], [second.url], patient=True)
        first.files["/big"] = bytes(400_000)
        client.transfers._throttle.set_rate(1_000_000)

        def copy(number: int) -> None:
            client.transfers.copy(
                CopyRange("primary", "/big", 0, 400_000, "secondary", f"/{number}", 1 << 20, 1, "600")
            )

        threads = [threading.Thread(target=copy, args=(number,)) for number in range(3)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        assert all(second.files[f"/{number}"] == first.files["/big"] for number in range(3))
        assert seconds >= 1.2 - BURST_SECONDS - 0.05
        client.connections.close()
