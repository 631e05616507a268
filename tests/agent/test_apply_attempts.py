"""ApplyStaged when an attempt fails in the middle: another one, which knows only what stands in staging, ends it.

The secondary's NameNode stops answering at every request in turn; that request has its effect, or has not. The next
attempt is another instruction, or the same one on a gateway that has lost its spool. The run ends as if nothing had
happened, and no failure is seen but the outage itself.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from infra.agent.core.operations import OperationFailed
from infra.agent.protocol import Instruction, canonical
from infra.agent.shell.ending import must_roll_forward
from infra.agent.shell.spool import Spool
from tests.agent import test_hbase_crashes as tables
from tests.agent import test_hdfs_crashes as trees
from tests.agent.hbase_world import World as TableWorld
from tests.agent.hdfs_histories import History, Numbers
from tests.agent.hdfs_world import EPOCH, HEAD, World, picture
from tests.agent.outage import Outage, arrive_late, outage
from tests.agent.test_hdfs_histories import steps
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.hdfs_application import Application

# How far apart the requests are at which the quick tests let the outage begin; the long ones try every one.
STRIDE = 7


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where spools are; in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir=trees.MEMORY if Path(trees.MEMORY).is_dir() else None) as name:
        yield Path(name)


def displacing(directory: Path) -> World:
    """A first copy where an empty directory of the replication user stands."""
    world = trees.first_cut(directory)
    world.secondary.call("PUT", "MKDIRS", HEAD, {"permission": "755"})
    return world


def unfinished(directory: Path) -> World:
    """A copy of ours of which no snapshot is left: what is staged starts from it as it stands."""
    world = World(directory)
    trees.first_tree(world)
    world.cut("r0")
    world.run(world.send_instruction("r0", None))
    world.run(world.apply_instruction("r0", None))
    world.run(world.instruction("RemoveSnapshots", "r0"))
    trees.change_tree(world)
    world.cut("r1")
    return world


def twice_fouled(directory: Path) -> World:
    """A head that lacks a large file too, so that healing it copies pieces."""
    world = trees.fouled(directory)
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/big", {"recursive": "true"})
    return world


SCENARIOS: dict[str, tuple[Callable[[Path], World], str, str | None]] = {
    **trees.SCENARIOS,
    "displacing": (displacing, "r1", None),
    "from the head": (unfinished, "r1", None),
    "no base": (unfinished, "r1", None),
    "healing a large file": (twice_fouled, "r2", "r1"),
}


def staged(scenario: str, directory: Path) -> tuple[World, str, str | None]:
    make, run, base = SCENARIOS[scenario]
    return trees.advance(make(Path(tempfile.mkdtemp(dir=directory))), run, base, "ApplyStaged"), run, base


def fails(world: Any, hdfs: FakeHdfs, instruction: Instruction, first: int, lands: bool) -> Outage | None:
    """Run an attempt into an outage; None if it came to its end before."""
    with outage(hdfs, first, lands) as happened:
        failure = None
        try:
            world.run(instruction)
        except OperationFailed as failed:
            failure = failed
    assert (failure.code if failure else None) == ("HDFS_UNREACHABLE" if happened.has_begun else None), (first, failure)
    return happened if failure else None


def next_attempt(world: Any, instruction: Instruction, again: Instruction, number: int) -> Instruction:
    """Another instruction, or every other time the same one without its spool."""
    if number % 2:
        return again
    world.directory = Path(tempfile.mkdtemp(dir=world.directory))
    return instruction


def apply_through_outages(scenario: str, lands: bool, directory: Path, stride: int) -> None:
    start, run, base = staged(scenario, directory)
    first = 1
    while True:
        world = trees.forked(start, directory)
        instruction = world.apply_instruction(run, base)
        failed = fails(world, world.secondary, instruction, first, lands)
        if failed is None:
            break
        again = next_attempt(world, instruction, world.apply_instruction(run, base), first)
        result = world.run(again)
        assert result["healed"] == scenario.startswith("healing"), first
        assert picture(world.secondary, HEAD) == picture(world.primary, f"{HEAD}/.snapshot/{run}"), first
        arrive_late(world.secondary, failed.unanswered)
        trees.finish(world, run, base, "ApplyStaged")
        first += stride
    assert first > 20


@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_the_next_attempt_ends_what_an_outage_interrupted(scenario: str, lands: bool, directory: Path) -> None:
    apply_through_outages(scenario, lands, directory, STRIDE)


@pytest.mark.long
@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_an_outage_at_every_request(scenario: str, lands: bool, directory: Path) -> None:
    apply_through_outages(scenario, lands, directory, 1)


@pytest.mark.long
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_attempt_after_attempt_fails(scenario: str, directory: Path) -> None:
    """Each attempt fails a few requests later than the one before, until one comes to its end."""
    start, run, base = staged(scenario, directory)
    for stride in range(5, 60, 3):
        world = trees.forked(start, directory)
        instruction = world.apply_instruction(run, base)
        number, first = 0, stride
        while fails(world, world.secondary, instruction, first, lands=number % 2 == 1) is not None:
            number += 1
            first += stride
            instruction = next_attempt(world, instruction, world.apply_instruction(run, base), number)
        trees.finish(world, run, base, "ApplyStaged")


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps, steps, st.lists(st.tuples(st.integers(1, 150), st.booleans()), min_size=1, max_size=4))
def test_outages_in_random_histories(
    fouled: list[tuple[int, Numbers]], changed: list[tuple[int, Numbers]], outages: list[tuple[int, bool]]
) -> None:
    """Somebody with all rights works in the head between two runs, and attempt after attempt fails."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        application = History(world)
        world.backup("r")
        intruder = History(world, Application(world.secondary, "hdfs"))
        for history, actions in ((intruder, fouled), (application, changed)):
            for kind, numbers in actions:
                history.act(kind, numbers)
        note("\n".join(["in the head:", *intruder.told, "at the source:", *application.told]))
        world.open_files = application.open_files()
        world.cut("r1")
        world.run(world.send_instruction("r1", "r"))
        for first, lands in outages:
            fails(world, world.secondary, world.apply_instruction("r1", "r"), first, lands)
        world.run(world.apply_instruction("r1", "r"))
        trees.finish(world, "r1", "r", "ApplyStaged")


@pytest.mark.parametrize("scenario", ["first", "from the head"])
def test_a_tree_that_somebody_else_has_put_there_between_two_attempts_is_left_alone(
    scenario: str, directory: Path
) -> None:
    start, run, base = staged(scenario, directory)
    swapped = 0
    for first in range(1, 400, 3):
        world = trees.forked(start, directory)
        if fails(world, world.secondary, world.apply_instruction(run, base), first, lands=True) is None:
            break
        ready = world.secondary.find(f"/.understudy/incoming/{EPOCH}/{run}/d1/ready") is not None
        if not ready or world.secondary.find(HEAD) is None:
            continue
        world.secondary.call("PUT", "RENAME", HEAD, {"destination": "/data/aside", "renameoptions": "NONE"})
        world.secondary.call("PUT", "MKDIRS", HEAD, {"permission": "755"})
        world.secondary.write(f"{HEAD}/one", b"theirs")
        theirs = picture(world.secondary, HEAD)
        with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
            world.run(world.apply_instruction(run, base))
        assert picture(world.secondary, HEAD) == theirs
        swapped += 1
    assert swapped > 1


def test_a_head_that_is_changed_under_a_healing_is_healed_anew(directory: Path) -> None:
    world, run, base = staged("healing", directory)
    world.secondary.fail("RENAME", OperationFailed("HDFS_UNREACHABLE", "no answer"), "/healing/new")
    with pytest.raises(OperationFailed, match="HDFS_UNREACHABLE"):
        world.run(world.apply_instruction(run, base))
    world.secondary.call("DELETE", "DELETE", f"{HEAD}/sub", {"recursive": "true"})
    world.secondary.write(f"{HEAD}/extra", b"once more")
    with pytest.raises(OperationFailed, match="HEAD_CHANGED"):
        world.run(world.apply_instruction(run, base))
    assert world.run(world.apply_instruction(run, base))["healed"]
    trees.finish(world, run, base, "ApplyStaged")


@pytest.mark.parametrize("scenario", ["increment", "healing", "displacing", "from the head"])
def test_nothing_of_an_evicted_epoch_is_made_again(scenario: str, directory: Path) -> None:
    world, run, base = staged(scenario, directory)
    before = picture(world.secondary, HEAD)
    incoming, evicted = f"/.understudy/incoming/{EPOCH}", "/.understudy/evicted"
    world.secondary.call("PUT", "RENAME", incoming, {"destination": evicted, "renameoptions": "NONE"})
    with pytest.raises(OperationFailed, match="EVICTED"):
        world.run(world.apply_instruction(run, base))
    assert world.secondary.find(incoming) is None
    assert picture(world.secondary, HEAD) == before


def apply_tables_through_outages(scenario: str, lands: bool, directory: Path, stride: int) -> None:
    start, run, base = tables.started(scenario, "ApplyStaged", directory)
    undisturbed = tables.forked(start, directory)
    undisturbed.run(undisturbed.apply(run, base))
    first = 1
    while True:
        world: TableWorld = tables.forked(start, directory)
        instruction = world.apply(run, base)
        failed = fails(world, world.hdfs["secondary"], instruction, first, lands)
        if failed is None:
            break
        world.run(next_attempt(world, instruction, world.apply(run, base), first))
        arrive_late(world.hdfs["secondary"], failed.unanswered)
        assert tables.picture(world) == tables.picture(undisturbed), first
        if first % 9 == 0:
            tables.finish(world, run, base, "ApplyStaged")
        first += stride
    assert first > 20


@pytest.mark.parametrize(("scenario", "lands"), [("first", True), ("increment", False)])
def test_the_next_attempt_ends_a_table_too(scenario: str, lands: bool, directory: Path) -> None:
    apply_tables_through_outages(scenario, lands, directory, 4 * STRIDE)


@pytest.mark.long
@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize("scenario", list(tables.SCENARIOS))
def test_an_outage_at_every_request_about_a_table(scenario: str, lands: bool, directory: Path) -> None:
    apply_tables_through_outages(scenario, lands, directory, 1)


def test_an_attempt_must_go_on_with_what_an_older_one_has_begun(tmp_path: Path) -> None:
    """It is not aborted, nor stopped by a later epoch, from its first moment on."""
    spool = Spool(str(tmp_path / "spool"))
    spool.open()
    wire = json.loads((Path(__file__).parent / "wire" / "ApplyStaged.json").read_text())
    for name, attempt in (("first", 0), ("second", 1)):
        spool.create(name, {"instruction.json": canonical({**wire, "id": name, "attempt": attempt})})
    first, second = spool.entry("first"), spool.entry("second")
    assert not must_roll_forward(spool, first)
    assert not must_roll_forward(spool, second)
    Path(first.path("journal")).write_bytes(b'{"begun":true,"data_set":"d1"}\n')
    assert must_roll_forward(spool, first)
    assert must_roll_forward(spool, second)
    Path(first.path("journal")).unlink()
    Path(second.path("journal")).write_bytes(b'{"begun":true,"data_set":"d1"}\n')
    assert not must_roll_forward(spool, first)
