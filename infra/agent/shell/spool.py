"""The spool: one directory per instruction under ``instructions/``, whole from the moment it can be seen.

A directory is prepared under a name that no id can have, flushed, and renamed into place: so a directory with an id's
name always holds its instruction. It is removed the same way round. The root holds besides ``lock`` (held while the
set of instructions or the highest terms change), ``epochs.json``, ``cluster.json`` and ``bin`` (uploaded archives).

Files of an instruction: ``instruction.json``, ``credentials.json``, ``allowance.json``, ``lock``, ``abort`` (its
presence is the wish), ``journal``, ``milestones.ndjson``, ``progress.ndjson``, ``outcome.json``, ``log``, and the
procedure's work files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from typing import Any, Iterator

from infra.agent.protocol import MAXIMUM_BYTES, Instruction, WireError, canonical, parse_instruction
from infra.agent.shell.disk import Disk, read_file
from infra.agent.shell.locks import Lock, acquire, is_held
from infra.agent.shell.strict_json import decode

ROOT_LOCK_PATIENCE_SECONDS = 30.0
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
_WORK_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
OWN_FILES = frozenset(
    [
        "instruction.json",
        "credentials.json",
        "allowance.json",
        "lock",
        "abort",
        "outcome.json",
        "log",
        "log.old",
        "milestones.ndjson",
    ]
)


class SpoolUnusable(Exception):
    """The spool cannot be used: it is not private, or its disk refuses; the message says which."""


def is_identifier(value: Any) -> bool:
    """Tell whether an id can name a directory: letters, digits, dash and underscore alone, so it goes nowhere else."""
    return isinstance(value, str) and _IDENTIFIER.match(value) is not None


class Entry:
    """The directory of one instruction; it may not exist."""

    def __init__(self, disk: Disk, directory: str, instruction_id: str) -> None:
        self._disk = disk
        self.directory = directory
        self.id = instruction_id

    def path(self, name: str) -> str:
        """The path of one of the agent's own files."""
        return os.path.join(self.directory, name)

    def work_path(self, name: str) -> str:
        """The path of a procedure's work file; a name that is not plain is a programmer error."""
        assert _WORK_FILE.match(name), name
        assert name not in OWN_FILES, name
        return os.path.join(self.directory, name)

    def exists(self) -> bool:
        """Tell whether the id is known."""
        return os.path.isdir(self.directory)

    def has_instruction(self) -> bool:
        """Tell whether there is one: not for an unknown id, nor for one that was aborted before it arrived."""
        return os.path.exists(self.path("instruction.json"))

    def instruction(self) -> Instruction | None:
        """The accepted instruction, or None where there is none.

        It is checked again as strictly as a submission, because admission is not the only way to write a file: raises
        ``WireError`` for one that is damaged or that no control device could have sent.
        """
        data = read_file(self.path("instruction.json"))
        return None if data is None else parse_instruction(decode(data, MAXIMUM_BYTES))

    def acceptable_instruction(self) -> Instruction | None:
        """The instruction, or None also where the one that is there cannot be accepted: nobody carries it out."""
        try:
            return self.instruction()
        except WireError:
            return None

    def credentials(self) -> dict[str, Any]:
        """The newest credentials."""
        value: dict[str, Any] = json.loads(read_file(self.path("credentials.json")) or b"{}")
        return value

    def renew_credentials(self, credentials: dict[str, Any]) -> None:
        """Put newer credentials in place of the older ones; a running agent reads them at its next request."""
        self._disk.replace(self.path("credentials.json"), canonical(credentials))

    def allow(self, allowance: dict[str, Any]) -> None:
        """Say how much it may take from now on, unless that is what it may take already, or it is over."""
        path, data = self.path("allowance.json"), canonical(allowance)
        if not self.exists() or self.outcome() is not None or read_file(path) == data:
            return
        temporary = f"{path}.{os.getpid()}"  # a submission and a look may come at the same time
        self._disk.create(temporary, data)
        os.replace(temporary, path)

    def outcome(self) -> dict[str, Any] | None:
        """How it ended, or None while it has not."""
        data = read_file(self.path("outcome.json"))
        return None if data is None else json.loads(data.decode("utf-8"))

    def end(self, outcome: dict[str, Any]) -> None:
        """Record how it ended; only the holder of its lock does so, and only once."""
        assert not os.path.exists(self.path("outcome.json")), self.id
        self._disk.replace(self.path("outcome.json"), canonical(outcome))

    def is_alive(self) -> bool:
        """Tell whether an agent is carrying it out: its lock is held."""
        return is_held(self.path("lock"))

    def acquire(self, patience_seconds: float) -> Lock | None:
        """Become the one that carries it out."""
        return acquire(self.path("lock"), patience_seconds)

    def ask_to_abort(self) -> None:
        """Leave the wish that it ends; the running agent sees it between two steps."""
        if not self.abort_is_wanted():
            self._disk.replace(self.path("abort"), b"\n")

    def abort_is_wanted(self) -> bool:
        """Tell whether somebody wants it to end."""
        return os.path.exists(self.path("abort"))

    def has_journal(self) -> bool:
        """Tell whether effects that must be brought to their end may have begun."""
        try:
            return os.path.getsize(self.path("journal")) > 0
        except FileNotFoundError:
            return False


class Spool:
    """The spool of one gateway."""

    def __init__(self, root: str, disk: Disk | None = None) -> None:
        self.root = os.path.abspath(root)
        self.disk = disk or Disk()
        self._instructions = os.path.join(self.root, "instructions")

    def open(self) -> None:
        """Make the spool if it is not there; raise ``SpoolUnusable`` unless it belongs to this user alone."""
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            os.makedirs(self._instructions, mode=0o700, exist_ok=True)
            status = os.stat(self.root)
        except OSError as error:
            raise SpoolUnusable(f"{self.root}: {error.strerror}") from error
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise SpoolUnusable(f"{self.root} must belong to this user and have mode 0700")

    def lock(self) -> Lock:
        """Hold the whole spool still while it is decided about."""
        lock = acquire(os.path.join(self.root, "lock"), ROOT_LOCK_PATIENCE_SECONDS)
        if lock is None:
            raise SpoolUnusable(f"somebody holds {self.root}/lock for more than {ROOT_LOCK_PATIENCE_SECONDS:.0f} s")
        return lock

    def entry(self, instruction_id: str) -> Entry:
        """The entry of an id, known or not."""
        assert is_identifier(instruction_id), instruction_id
        return Entry(self.disk, os.path.join(self._instructions, instruction_id), instruction_id)

    def entries(self) -> Iterator[Entry]:
        """All known entries, in the order of their ids."""
        if not os.path.isdir(self._instructions):
            return
        for name in sorted(os.listdir(self._instructions)):
            if is_identifier(name):
                yield self.entry(name)

    def attempts_of(self, instruction: Instruction) -> list[Instruction]:
        """The other known attempts at the same step of the same run and data set.

        Only instructions whose text holds this run and step are parsed (what ``create`` is given is canonical, so the
        two stand there side by side): a spool that keeps many instructions must not make each submission slow.
        """
        marks = canonical({"run": instruction.run, "step": instruction.step})[1:-1]
        found = []
        for entry in self.entries():
            if entry.id != instruction.id and marks in (read_file(entry.path("instruction.json")) or b""):
                other = entry.acceptable_instruction()
                if other is not None and purpose(other) == purpose(instruction):
                    found.append(other)
        return found

    def older_attempts_of(self, instruction: Instruction) -> list[str]:
        """The ids of those of ``attempts_of`` in whose place this instruction is."""
        return [other.id for other in self.attempts_of(instruction) if other.attempt < instruction.attempt]

    def create(self, instruction_id: str, files: dict[str, bytes]) -> None:
        """Make an entry that is whole and durable from the moment it can be seen; under the spool's lock."""
        target = self.entry(instruction_id).directory
        prepared = os.path.join(self._instructions, f".new.{instruction_id}")
        shutil.rmtree(prepared, ignore_errors=True)  # what a crash left of an earlier try
        try:
            os.mkdir(prepared, 0o700)
            for name, data in {"lock": b"", **files}.items():
                self.disk.create(os.path.join(prepared, name), data)
            self.disk.flush_directory(prepared)
            os.rename(prepared, target)
            self.disk.flush_directory(self._instructions)
        except OSError as error:
            shutil.rmtree(prepared, ignore_errors=True)
            raise SpoolUnusable(f"{prepared}: {error.strerror}") from error

    def remove(self, entry: Entry) -> None:
        """Forget an entry: it disappears at once, its files after."""
        doomed = os.path.join(self._instructions, f".gone.{entry.id}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(entry.directory, doomed)
        self.disk.flush_directory(self._instructions)
        shutil.rmtree(doomed)


def purpose(instruction: Instruction) -> tuple[str, str, str, str]:
    """What several attempts have in common: pair, run, step and data set (if the step is for one)."""
    return (instruction.pair, instruction.run, instruction.step, data_set_id(instruction) or "")


def data_set_id(instruction: Instruction) -> str | None:
    """The data set of an instruction that is for one."""
    data_set = instruction.payload.get("data_set")
    return data_set["id"] if isinstance(data_set, dict) else None
