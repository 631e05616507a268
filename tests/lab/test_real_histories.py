"""Random histories of a real directory, backed up increment by increment: the copy equals the source after each.

``UNDERSTUDY_HISTORIES`` is how many are tried (a few by default, thousands by hand).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from scripts.labkit.lab import Lab
from tests.agent.hdfs_histories import History, Increment, Steps, increments
from tests.agent.hdfs_world import World
from tests.lab.hdfs_pair import RealPair
from tests.lab.mirrored import MirroredApplication

HISTORIES = int(os.environ.get("UNDERSTUDY_HISTORIES", "4"))


def back_up_history(pair: RealPair, directory: Path, history: list[Increment]) -> None:
    world = World(directory)
    world.app = application = MirroredApplication(world.primary, pair)
    try:
        told = History(world)
        _back_up(pair, world, told, "r", None, [])
        base = "r"
        for number, (before, after) in enumerate(history):
            told.go_on(before)
            note(f"--- backup r{number}")
            result = _back_up(pair, world, told, f"r{number}", base, after)
            assert result["healed"] is False
            base = f"r{number}"
    finally:
        pair.app.close_all()
        application.remove_outside()


def _back_up(
    pair: RealPair, world: World, told: History, run: str, base: str | None, after: Steps
) -> dict[str, object]:
    pair.open_files = told.open_files()
    world.cut(run)
    pair.cut(run)
    told.go_on(after)
    result = pair.copy(run, base)
    application = world.app
    assert isinstance(application, MirroredApplication)
    application.assert_as_expected(run, pair.assert_equal(run, may_be_empty=True))
    assert result["digest"]["differences"] == []
    assert result["digest"]["content"]["verdict"] == result["digest"]["metadata"]["verdict"] == "EQUAL"
    return result


@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # what fails is told whole: to make it smaller takes hours on a real cluster
)
@given(history=increments)
def test_histories(lab: Lab, tmp_path_factory: pytest.TempPathFactory, history: list[Increment]) -> None:
    directory = tmp_path_factory.mktemp("history")
    path = f"/data/history-{secrets.token_hex(4)}"
    pair = RealPair(lab.cluster("a"), lab.cluster("b"), path, directory)
    pair.set_up()
    try:
        back_up_history(pair, directory, history)
    finally:
        pair.tear_down()
