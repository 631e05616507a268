"""Who asks the control plane for something."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Caller:
    """A person or a program with a command.

    ``actor`` is the name that goes into the events. ``command_id`` identifies the command: repeating it returns the
    first answer; ``digest`` says what that id stands for, if the caller chose it. ``request_id`` ties it to what was
    logged. ``cause`` is empty for a person's own wish.
    """

    actor: str
    request_id: str
    command_id: UUID
    cause: str = ""
    digest: str = ""
