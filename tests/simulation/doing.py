"""What tests of the simulation do again and again: prepare a pair, plan a run, wait for its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from domain.protection.backup_run.states import ENDED
from domain.protection.policy import Settings
from infra.agent.core.machine import Procedure
from infra.agent.core.operations import Now, OperationFailed
from infra.agent.protocol import Instruction
from tests.simulation.story import Story, run_id
from tests.simulation.toy import toys
from tests.simulation.world import Life, World


def prepare(world: World, **settings: Any) -> None:
    """Enter a pair, a service and a policy."""
    story = Story(Settings(**settings))
    story.steps = story.steps[:3]
    with toys():
        story.tell(world)


async def plan(life: Life, word: str, **more: Any) -> UUID:
    """Plan the run that is called so."""
    arguments = {"policy": None, "moment_ms": None, "direction": None, **more}
    return await life.control_plane.backup(life.caller(word), "shop", **arguments)


async def ended(life: Life, word: str) -> dict[str, Any]:
    """Wait for its end; return its page."""
    await life.until("run", run_id(word), ENDED)
    return await life.control_plane.run_page(run_id(word))


def run_once(world: World, word: str = "first", **others: Any) -> dict[str, Any]:
    """Plan a run and wait for its end; return its page."""

    async def scenario(life: Life) -> dict[str, Any]:
        await plan(life, word)
        return await ended(life, word)

    with toys(**others):
        return world.live(scenario)


def nothing_is_left(world: World) -> bool:
    """Whether neither side has a snapshot, staging or recovery point of a run."""
    left = [path for cluster in world.clusters.values() for path in cluster.hdfs.values]
    return not [path for path in left if path.startswith(("/snapshots", "/.understudy", "/recovery-points"))]


def failing(code: str, **more: Any) -> Callable[[Instruction, bytes], Procedure]:
    """A procedure that fails with this code."""

    def procedure(instruction: Instruction, journal: bytes) -> Procedure:
        yield Now()
        raise OperationFailed(code, f"{code} happened", "Look.", **more)

    return procedure
