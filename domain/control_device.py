"""The control device as its own store knows it: which store this is, and each of its starts.

Invariant: the store's id is recorded once and never changes; a copy of the file has it, too. What tells copies apart
is the *incarnation*, an id that each start brings: it is recorded before anything is sent anywhere, so the chains of
two copies differ from their next start on.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from domain.stateful import Context, Stateful


class ControlDevice(Stateful):
    """There is one in each store."""

    ALLOWED_IN = {"Started": ("ACTIVE",)}

    class Established(Stateful.Created):
        """The store got its id: when it was made, or at the first start after ids came."""

        store: UUID

        def evolve(self, aggregate: ControlDevice) -> None:
            """Take the id."""
            aggregate.store = self.store

    class Started(Stateful.Event):
        """A control device opened the store and is about to act."""

        term: int
        incarnation: UUID
        host: str

        def evolve(self, aggregate: ControlDevice) -> None:
            """Remember the newest start."""
            aggregate.term = self.term
            aggregate.incarnation = self.incarnation
            aggregate.host = self.host

    def __init__(self) -> None:
        super().__init__()
        self.store: UUID
        self.term = 0
        self.incarnation: UUID | None = None
        self.host = ""

    @staticmethod
    def identity() -> UUID:
        """The id of the one in every store."""
        return uuid5(NAMESPACE_URL, "understudy:control-device")

    @classmethod
    def establish(cls, context: Context, store: UUID) -> ControlDevice:
        """Give the store its id."""
        return cls.begin(cls.Established, cls.identity(), context, store=store)

    def start(self, context: Context, term: int, incarnation: UUID, host: str) -> None:
        """Record a start."""
        self.note(self.Started, context, term=term, incarnation=incarnation, host=host)
