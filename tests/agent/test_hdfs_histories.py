"""Random histories, backed up increment by increment: the copy equals the source's snapshot after each."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.agent.hdfs_histories import History, Increment, Steps, increments, steps
from tests.agent.hdfs_world import World
from tests.fakes.hdfs_application import Application

pytestmark = pytest.mark.long


def back_up_history(directory: Path, history: list[Increment], capture: bool, with_base: bool) -> None:
    world = World(directory, capture_open_files=capture)
    told = History(world)
    world.backup("r")
    base = "r"
    for number, (before, after) in enumerate(history):
        told.go_on(before)
        note(f"--- backup r{number}")
        world.open_files = told.open_files()
        world.when_cut = partial(told.go_on, after)
        result = world.backup(f"r{number}", base, base_is_on_source=with_base)
        world.assert_equal(f"r{number}")
        assert result["digest"]["content"]["verdict"] == "EQUAL", result
        assert result["digest"]["metadata"]["verdict"] == "EQUAL", result
        assert (result["content_digest"], result["metadata_digest"]) == (
            result["digest"]["content"]["found"],
            result["digest"]["metadata"]["found"],
        )
        assert not result["healed"]
        base = f"r{number}"


def heal_history(directory: Path, fouled: Steps, changed: Steps) -> None:
    """Let somebody with all rights work in the head between two runs."""
    world = World(directory)
    application = History(world)
    world.backup("r")
    intruder = History(world, Application(world.secondary, "hdfs"))
    note("in the head:")
    intruder.go_on(fouled)
    note("at the source:")
    application.go_on(changed)
    world.open_files = application.open_files()
    result = world.backup("r1", "r")
    world.assert_equal("r1")
    assert result["digest"]["content"]["verdict"] == result["digest"]["metadata"]["verdict"] == "EQUAL"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(increments, st.booleans(), st.booleans())
def test_histories(history: list[Increment], capture: bool, with_base: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        back_up_history(Path(directory), history, capture, with_base)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, steps)
def test_head_is_healed(fouled: Steps, changed: Steps) -> None:
    with tempfile.TemporaryDirectory() as directory:
        heal_history(Path(directory), fouled, changed)
