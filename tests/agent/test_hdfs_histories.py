"""Random histories, backed up increment by increment: the copy equals the source's snapshot after each."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.agent.hdfs_histories import History, Numbers, actions
from tests.agent.hdfs_world import World

increments = st.lists(st.lists(st.tuples(st.integers(0, 100), actions), max_size=12), min_size=1, max_size=4)


def back_up_history(directory: Path, history: list[list[tuple[int, Numbers]]], capture: bool, with_base: bool) -> None:
    world = World(directory, capture_open_files=capture)
    told = History(world)
    world.backup("r")
    base = "r"
    for number, increment in enumerate(history):
        for kind, numbers in increment:
            told.act(kind, numbers)
        note("\n".join(told.told))
        told.told.clear()
        note(f"--- backup r{number}")
        world.open_files = told.open_files()
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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(increments, st.booleans(), st.booleans())
def test_histories(history: list[list[tuple[int, Numbers]]], capture: bool, with_base: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        back_up_history(Path(directory), history, capture, with_base)
