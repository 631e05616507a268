"""The story that simulations tell: a pair, a service, a policy, two backups, both opened and closed, one expired.

Each step is a command with an id of its own and a wait for what comes of it, so a step that a crash interrupted is
simply taken again. A story goes on where it was when a new control device starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import ENDED
from domain.protection.policy import BackupPolicy, Settings
from domain.values.data_set import DataSet
from tests.simulation.world import Crash, Life, World

DATA_SETS = (DataSet("hdfs", "/orders"), DataSet("hbase", "shop:accounts"), DataSet("hbase", "shop:carts"))


def run_id(word: str) -> UUID:
    """The id of the run that the story calls so."""
    return BackupRun.identity_of_wish(BackupPolicy.identity("nightly"), Life.command_id(word))


def point_id(word: str) -> UUID:
    """The id of that run's recovery point."""
    return BackupRun.recovery_point_of(run_id(word))


class Story:
    """What people do, one step after the other; ``between`` is called once, before the second backup.

    ``opened`` is told under which names a recovery point can be read, as long as it can.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        data_sets: tuple[DataSet, ...] = DATA_SETS,
        between: Callable[[], None] = lambda: None,
        opened: Callable[[str, Mapping[str, Any]], None] = lambda word, readable: None,
    ) -> None:
        self.settings = settings or Settings(keep_last=1)
        self.data_sets = data_sets
        self.between = between
        self.opened = opened
        self.has_changed = False
        self.done = 0
        self.steps: list[Callable[[Life], Awaitable[None]]] = [
            self.enter_clusters,
            self.form_pair,
            self.enter_service,
            self.first_backup,
            self.open_first,
            self.close_first,
            self.second_backup,
            self.first_expires,
            self.open_second,
            self.close_second,
            self.primary_has_the_manifest,
        ]

    def tell(self, world: World, crash_after: Callable[[int], int | None] = lambda position: None) -> None:
        """Tell it to its end, with as many control devices as it takes.

        ``crash_after`` gives, for the newest position at a control device's start, after which event it ends.
        """
        while self.done < len(self.steps):
            try:
                world.live(lambda life: self._go_on(life, crash_after))
            except Crash:
                continue

    async def _go_on(self, life: Life, crash_after: Callable[[int], int | None]) -> None:
        life.world.crash_after = crash_after((await life.queries.head()).position)
        while self.done < len(self.steps):
            await self.steps[self.done](life)
            self.done += 1

    async def enter_clusters(self, life: Life) -> None:
        """Two clusters."""
        for name in ("north", "south"):
            await life.control_plane.add_cluster(life.caller(f"add {name}"), name, life.world.endpoints(name))

    async def form_pair(self, life: Life) -> None:
        """North is the primary."""
        await life.control_plane.create_pair(life.caller("pair"), "main", "north", "south")
        await life.until("pair", "main", ["STEADY"])

    async def enter_service(self, life: Life) -> None:
        """A directory and two tables, with a policy."""
        await life.control_plane.add_service(life.caller("service"), "shop", "main", self.data_sets)
        await life.control_plane.add_policy(life.caller("policy"), "nightly", "shop", self.settings)

    async def first_backup(self, life: Life) -> None:
        """Everything is copied."""
        await self._backup(life, "first")

    async def second_backup(self, life: Life) -> None:
        """Only what changed is copied, by the other direction of control."""
        if not self.has_changed:
            self.has_changed = True
            self.between()
        await self._backup(life, "second")

    async def _backup(self, life: Life, word: str) -> None:
        direction = "push" if word == "first" else "pull"
        await life.control_plane.backup(life.caller(word), "shop", policy=None, moment_ms=None, direction=direction)
        assert await life.until("run", run_id(word), ENDED) == "COMPLETED"

    async def open_first(self, life: Life) -> None:
        """The first recovery point is made readable."""
        await self._open(life, "first")

    async def close_first(self, life: Life) -> None:
        """And put away again."""
        await self._close(life, "first")

    async def open_second(self, life: Life) -> None:
        """So is the second."""
        await self._open(life, "second")

    async def close_second(self, life: Life) -> None:
        """Nothing of it stays either."""
        await self._close(life, "second")

    async def _open(self, life: Life, word: str) -> None:
        await life.control_plane.open_recovery_point(life.caller(f"open {word}"), point_id(word))
        await life.until("recovery-point", point_id(word), ["OPEN"])
        self.opened(word, (await life.queries.get("RecoveryPoint", point_id(word))).summary["readable"])

    async def _close(self, life: Life, word: str) -> None:
        await life.control_plane.close_recovery_point(life.caller(f"close {word}"), point_id(word))
        await life.until("recovery-point", point_id(word), ["AVAILABLE"])

    async def primary_has_the_manifest(self, life: Life) -> None:
        """What it was owed stands there, whenever that could be done."""
        while True:
            head = (await life.queries.head()).position
            summary = (await life.queries.get("RecoveryPoint", point_id("second"))).summary
            if summary["primary_manifest"] == "WRITTEN":
                return
            await life.queries.wait_for(head + 1)

    async def first_expires(self, life: Life) -> None:
        """The policy keeps one."""
        await life.until("recovery-point", point_id("first"), ["EXPIRED"])
