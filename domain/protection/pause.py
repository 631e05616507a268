"""A pause: of everything, of what touches one cluster, or of one service.

While it lasts no backup is planned, nothing is begun that moves or reads data in bulk, and what is at it begins no
further transfer. What is armed takes its snapshots all the same, and what changes a head is brought to its end: a pause
is safe at any instant because it never leaves anything half done.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import InvalidInput, Refused
from domain.stateful import Context, Rule, Stateful

RUNNING = "RUNNING"
PAUSED = "PAUSED"
EVERYTHING = "all"
LONGEST_REASON = 1_000


def of_cluster(name: str) -> str:
    """The scope of everything that touches a cluster."""
    return f"cluster:{name}"


def of_service(name: str) -> str:
    """The scope of one service."""
    return f"service:{name}"


def scopes_of(service: str, clusters: Iterable[str]) -> tuple[str, ...]:
    """The scopes that a service's run between clusters belongs to, the widest first."""
    return (EVERYTHING, *(of_cluster(name) for name in clusters), of_service(service))


def option_for(scope: str) -> str:
    """The option of ``understudy pause`` and ``resume`` that names a scope."""
    kind, _, name = scope.partition(":")
    return f"--{kind} {name}".rstrip()


class Pause(Stateful):
    """Invariant: one for each scope; while it is PAUSED it says by whom, since when and why."""

    INITIAL_STATE = RUNNING
    STATES = (RUNNING, PAUSED)
    RULES = (
        Rule("pause", (RUNNING,), PAUSED, "Paused"),
        Rule("resume", (PAUSED,), RUNNING, "Resumed"),
    )

    class Begun(Stateful.Created):
        """Somebody pauses a scope for the first time."""

        scope: str

        def evolve(self, aggregate: Pause) -> None:
            """Take the scope."""
            aggregate.scope = self.scope

    class Paused(Stateful.Moved):
        """Nothing of the scope is begun from now on."""

        reason: str

        def evolve(self, aggregate: Pause) -> None:
            """Remember who, when and why."""
            aggregate.reason = self.reason
            aggregate.by = self.actor
            aggregate.since = self.timestamp

    class Resumed(Stateful.Moved):
        """It goes on."""

        reason: str

        def evolve(self, aggregate: Pause) -> None:
            """Nobody holds it any more."""
            aggregate.reason, aggregate.by, aggregate.since = "", "", None

    def __init__(self) -> None:
        super().__init__()
        self.scope = ""
        self.reason = ""
        self.by = ""
        self.since: datetime | None = None

    @staticmethod
    def identity(scope: str) -> UUID:
        """The id of a scope's pause."""
        return uuid5(NAMESPACE_URL, f"understudy:pause:{scope}")

    @classmethod
    def begin_for(cls, context: Context, scope: str, reason: str) -> Pause:
        """Pause a scope that was never paused before."""
        pause = cls.begin(cls.Begun, cls.identity(scope), context, scope=scope)
        pause.pause(context, reason)
        return pause

    def pause(self, context: Context, reason: str) -> None:
        """Pause it; what is paused already stays so, by whoever did it first."""
        _check(reason)
        if self.state != PAUSED:
            self.fire("pause", context, reason=reason)

    def resume(self, context: Context, reason: str) -> None:
        """Let it go on; raise ``Refused`` NOT_PAUSED if nobody holds it."""
        _check(reason, is_needed=False)
        if self.state != PAUSED:
            raise not_paused(self.scope)
        self.fire("resume", context, reason=reason)

    def refuse_new_run(self) -> None:
        """Raise ``Refused`` PAUSED, if it is."""
        if self.state == PAUSED:
            raise Refused(
                "PAUSED",
                f"{described(self.scope)} is paused by {self.by} since {self.since:%Y-%m-%dT%H:%M:%SZ}: {self.reason}",
                remedy=f"understudy resume {option_for(self.scope)}",
            )


def not_paused(scope: str) -> Refused:
    """What is said to whoever resumes what is not paused."""
    return Refused("NOT_PAUSED", f"{described(scope)} is not paused.", remedy="See 'understudy pauses'.")


def described(scope: str) -> str:
    """A scope in words: "everything", "cluster north", "service shop"."""
    return "everything" if scope == EVERYTHING else scope.replace(":", " ", 1)


def _check(reason: str, *, is_needed: bool = True) -> None:
    if (is_needed and not reason.strip()) or len(reason) > LONGEST_REASON:
        remedy = f"Say why, in at most {LONGEST_REASON} characters."
        raise InvalidInput("reason", "there is none, or it is too long.", remedy=remedy)
