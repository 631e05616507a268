"""A command that was refused: who tried what, when, and why it was not done.

It belongs into the history as much as what was done: somebody who tries to expire a recovery point again and again is
worth knowing about, and so is a script that has been failing since Sunday.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from domain.errors import Refused
from domain.stateful import Context, Stateful

LONGEST_ABOUT = 200
LONGEST_MESSAGE = 1_000


class Refusal(Stateful):
    """One refused command. Invariant: it never changes; the same command refused again is the same refusal."""

    class Recorded(Stateful.Created):
        """A command was refused with a code.

        ``command`` is its name, ``about`` the name or id that it was about. ``left_out`` is how many refusals of the
        same actor were not recorded since the last one that was, because they came too fast.
        """

        command: str
        about: str
        code: str
        message: str
        left_out: int

        def evolve(self, aggregate: Refusal) -> None:
            """Take what is known for good."""
            aggregate.made = self

    def __init__(self) -> None:
        super().__init__()
        self.made: Refusal.Recorded

    @staticmethod
    def identity(command_id: UUID) -> UUID:
        """The id of a command's refusal."""
        return uuid5(command_id, "refusal")

    @classmethod
    def record(cls, context: Context, command: str, about: str, refused: Refused, left_out: int) -> Refusal:
        """Record that a command was refused."""
        return cls.begin(
            cls.Recorded,
            cls.identity(context.command_id),
            context,
            command=command,
            about=about[:LONGEST_ABOUT],
            code=refused.code,
            message=refused.message[:LONGEST_MESSAGE],
            left_out=left_out,
        )
