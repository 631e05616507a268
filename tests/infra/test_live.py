"""What is known at this instant: since when something is waited for, and whose agent is gone."""

from __future__ import annotations

from uuid import UUID

from infra.clock import SystemClock
from infra.workers.live import Live
from infra.workers.turns import Turns

RUN = UUID(int=1)


def nothing_known() -> Live:
    return Live(Turns(SystemClock()))


def test_a_wait_begins_when_it_becomes_another_one() -> None:
    live = nothing_known()
    live.wait_for(RUN, "its turn", ("north",), 1_000)
    live.wait_for(RUN, "its turn", ("north",), 2_000)
    assert (live.shown(RUN)["waiting_for"], live.shown(RUN)["waiting_since_ms"]) == ("its turn", 1_000)
    live.wait_for(RUN, "copies", ("north",), 3_000)
    assert live.shown(RUN)["waiting_since_ms"] == 3_000
    live.wait_for(RUN, "", ("north",), 4_000)
    assert live.shown(RUN)["waiting_since_ms"] is None


def test_an_agent_that_is_gone_is_told_until_it_is_seen_again() -> None:
    live = nothing_known()
    live.agent_gone(RUN, "north", "apply")
    assert live.shown(RUN)["agents"] == {}, "nobody asked about it"
    live.wait_for(RUN, "copies", ("north",), 1_000)
    live.agent_gone(RUN, "north", "apply")
    assert "apply is gone" in live.shown(RUN)["agents"]["north"]
    live.agent_lives(RUN, "north")
    assert live.shown(RUN)["agents"] == {}
