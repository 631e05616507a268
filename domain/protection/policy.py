"""A backup policy: how a service is to be backed up. Versioned; a run keeps the version that it was planned with."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import InvalidInput
from domain.instructing import PATIENCE_SECONDS
from domain.protection.service import Service
from domain.stateful import Context, Stateful
from domain.values.limits import BYTES_IN_MEGABYTE, check_megabytes_per_second
from domain.values.names import check_name

DIRECTIONS = ("push", "pull")
ENGINES = ("stream",)
LEVELS = ("changed", "metadata", "checksum", "bytes")
HEAD_MODES = ("700", "755")
HEAL, REFUSE = CHANGED_HEADS = ("heal", "refuse")


@dataclass(frozen=True)
class Barrier:
    """Hooks around the cut: names of files in the gateways' ``hooks.d``, never commands.

    ``hold`` runs before the moment, ``release`` after it, at the latest ``hold_max_seconds`` later whatever happens.
    """

    hold: str
    release: str
    hold_max_seconds: int


@dataclass(frozen=True)
class Settings:
    """What a policy says. Milliseconds and seconds as named.

    ``lead_seconds``: how far ahead the moment lies when none is given. ``warm_up_seconds``: how long before the moment
    the agent opens its connections. ``fire_tolerance_ms``: how late it may still fire. ``mass_change_percent``: a run
    that would delete or replace more of the files than this stops and asks. ``megabytes_per_second`` (a million bytes):
    what all copies of the policy's runs may move together; None is as much as the clusters' limits allow.
    ``read_days``: within so many days every byte of the newest recovery point is read on the secondary at least once
    (0: only as far as the level and the sample do it), in each run at most ``read_percent`` of a data set's bytes.
    ``sample_percent`` of the files are read whole at every level (0 for none). ``recheck_days``: how old the proof of a
    file may become that has not changed since an earlier recovery point (0: every file's checksum is computed in every
    run). ``trial_clone_hours``: once in so many hours it is each table's turn to be cloned on the secondary, to show
    that it can be done; a run clones one of those whose turn has come since its base (0: one of all, in every run).
    ``head_mode`` is the mode of the data sets' roots on the secondary.
    ``changed_head``: a copy that somebody has changed since the last run is brought back ("heal"), or left untouched,
    and the run fails ("refuse"). ``patience_seconds``: how long a run may get nowhere before it raises an alarm.
    ``leave_out_unreadable``: files that the superuser may not read (an attribute of HDFS) are left out, and told,
    instead of ending the run.
    """

    direction: str = "push"
    engine: str = "stream"
    max_skew_ms: int = 5_000
    verification: str = "checksum"
    barrier: Barrier | None = None
    keep_last: int = 7
    mass_change_percent: int = 50
    lead_seconds: int = 30
    warm_up_seconds: int = 15
    fire_tolerance_ms: int = 250
    workers: int = 16
    megabytes_per_second: int | None = None
    trial_clone: bool = True
    trial_clone_hours: int = 24
    sample_percent: int = 0
    recheck_days: int = 7
    read_days: int = 30
    read_percent: int = 10
    head_mode: str = "700"
    changed_head: str = HEAL
    patience_seconds: int = PATIENCE_SECONDS
    leave_out_unreadable: bool = False

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that a gateway must have."""
        return () if self.barrier is None else (self.barrier.hold, self.barrier.release)

    @property
    def bytes_per_second(self) -> int | None:
        """The bandwidth, in bytes."""
        return None if self.megabytes_per_second is None else self.megabytes_per_second * BYTES_IN_MEGABYTE

    def validate(self) -> None:
        """Raise ``InvalidInput`` for the first field with a value that cannot be accepted."""
        choices = (
            ("direction", self.direction, DIRECTIONS),
            ("engine", self.engine, ENGINES),
            ("verification", self.verification, LEVELS),
            ("head_mode", self.head_mode, HEAD_MODES),
            ("changed_head", self.changed_head, CHANGED_HEADS),
        )
        for field, value, known in choices:
            if value not in known:
                raise InvalidInput(field, f"{value!r} is not known.", remedy=f"Choose one of {', '.join(known)}.")
        ranges = (
            ("max_skew_ms", self.max_skew_ms, 1, 86_400_000),
            ("keep_last", self.keep_last, 1, 10_000),
            ("mass_change_percent", self.mass_change_percent, 1, 100),
            ("lead_seconds", self.lead_seconds, 1, 86_400),
            ("warm_up_seconds", self.warm_up_seconds, 1, 3_600),
            ("fire_tolerance_ms", self.fire_tolerance_ms, 1, 60_000),
            ("workers", self.workers, 1, 256),
            ("sample_percent", self.sample_percent, 0, 100),
            ("recheck_days", self.recheck_days, 0, 3_650),
            ("read_days", self.read_days, 0, 3_650),
            ("read_percent", self.read_percent, 1, 100),
            ("trial_clone_hours", self.trial_clone_hours, 0, 8_760),
            ("patience_seconds", self.patience_seconds, 1, 2_592_000),
        )
        for field, number, low, high in ranges:
            if not low <= number <= high:
                raise InvalidInput(field, f"{number} is out of range.", remedy=f"Give a number from {low} to {high}.")
        check_megabytes_per_second(self.megabytes_per_second)
        if self.barrier is not None:
            if not 1 <= self.barrier.hold_max_seconds <= 600:
                raise InvalidInput("barrier.hold_max_seconds", "out of range.", remedy="Give 1 to 600 seconds.")
            check_name("barrier.hold", self.barrier.hold)
            check_name("barrier.release", self.barrier.release)


class BackupPolicy(Stateful):
    """Invariant: ``revision`` grows with each change and never goes back; the service never changes."""

    ALLOWED_IN = {"Changed": ("ACTIVE",)}

    class Entered(Stateful.Created):
        """A policy was entered for a service."""

        name: str
        service: UUID
        service_name: str
        settings: Settings

        def evolve(self, aggregate: BackupPolicy) -> None:
            """Take the first revision."""
            aggregate.name = self.name
            aggregate.service = self.service
            aggregate.service_name = self.service_name
            aggregate.settings = self.settings
            aggregate.revision = 1

    class Changed(Stateful.Event):
        """The policy says something else from now on."""

        settings: Settings

        def evolve(self, aggregate: BackupPolicy) -> None:
            """Take the next revision."""
            aggregate.settings = self.settings
            aggregate.revision += 1

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.service: UUID
        self.service_name = ""
        self.settings = Settings()
        self.revision = 0

    @staticmethod
    def identity(name: str) -> UUID:
        """The id of the policy with this name."""
        return uuid5(NAMESPACE_URL, f"understudy:policy:{name}")

    @classmethod
    def enter(cls, context: Context, name: str, service: Service, settings: Settings) -> BackupPolicy:
        """Enter a policy; raise ``InvalidInput`` for a setting that cannot be accepted."""
        check_name("policy.name", name)
        settings.validate()
        return cls.begin(
            cls.Entered,
            cls.identity(name),
            context,
            name=name,
            service=service.id,
            service_name=service.name,
            settings=settings,
        )

    def change(self, context: Context, settings: Settings) -> None:
        """Record other settings, unless they are the same."""
        settings.validate()
        if settings != self.settings:
            self.note(self.Changed, context, settings=settings)
