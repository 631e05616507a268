"""The id that a caller gave to a command, with what it stood for, so that it can never stand for anything else.

A command that is repeated with its id gets the first answer. Without this, another command with the same id (of another
caller, with another body, about something else) would get that answer too, and be taken for done.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from domain.errors import InvalidInput
from domain.stateful import Context, Stateful


class CommandKey(Stateful):
    """Invariant: it never changes. It is saved together with what the command changed."""

    class Used(Stateful.Created):
        """A command was carried out: ``digest`` is that of caller, operation and content; ``version`` its target's."""

        digest: str
        target: UUID
        version: int

        def evolve(self, aggregate: CommandKey) -> None:
            """Take what is known for good."""
            aggregate.used = self

    def __init__(self) -> None:
        super().__init__()
        self.used: CommandKey.Used

    @staticmethod
    def identity(command_id: UUID) -> UUID:
        """The id of what is known about a command's id."""
        return uuid5(command_id, "key")

    @classmethod
    def use(cls, context: Context, target: UUID, version: int) -> CommandKey:
        """Record what a command's id stands for."""
        facts = {"digest": context.digest, "target": target, "version": version}
        return cls.begin(cls.Used, cls.identity(context.command_id), context, **facts)

    def refuse_others(self, context: Context) -> None:
        """Raise ``InvalidInput`` IDEMPOTENCY_KEY_REUSED unless it is the same command."""
        if self.used.digest != context.digest:
            raise InvalidInput(
                "Idempotency-Key",
                "another command was carried out with this key: by somebody else, about something else, or with another"
                " body.",
                remedy="Send a new UUID for each command, and the same one only to repeat it.",
                code="IDEMPOTENCY_KEY_REUSED",
            )
