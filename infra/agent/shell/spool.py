"""The spool: one directory per instruction under ``instructions/``, whole from the moment it can be seen.

A directory is prepared under a name that no id can have, flushed, and renamed into place: so a directory with an id's
name always holds its instruction. It is removed the same way round. The root holds besides ``lock`` (held while the
set of instructions or the highest terms change), ``epochs.json``, ``cluster.json``, ``bin`` (uploaded archives), the
index of attempts, and ``gone`` (entries that are being removed).

Files of an instruction: ``instruction.json``, ``credentials.json``, ``controller.json``, ``allowance.json``,
``lock``, ``abort`` (its presence is the wish), ``journal``, ``milestones.ndjson``, ``progress.ndjson``,
``outcome.json``, ``log``, and the procedure's work files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from typing import Any, Iterator

from infra.agent.protocol import MAXIMUM_BYTES, Instruction, WireError, canonical, parse_instruction
from infra.agent.shell.attempts import Attempts, Purpose, purpose_in
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
        "controller.json",
        "allowance.json",
        "lock",
        "abort",
        "outcome.json",
        "log",
        "log.old",
        "milestones.ndjson",
    ]
)


FULL, UNUSABLE = "SPOOL_FULL", "SPOOL_UNUSABLE"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class SpoolUnusable(Exception):
    """The spool cannot be used: it is not private, or its disk refuses; the message says which.

    ``code`` is "SPOOL_FULL" where there is no room, or a quota is used up, and "SPOOL_UNUSABLE" otherwise.
    """

    def __init__(self, message: str, code: str = UNUSABLE) -> None:
        super().__init__(message)
        self.code = code


def unusable(path: str, error: OSError) -> SpoolUnusable:
    """What a failure of the spool's disk is told as."""
    code = FULL if error.errno in _NO_ROOM else UNUSABLE
    return SpoolUnusable(f"{path}: {error.strerror or error}", code)


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

    def controller(self) -> dict[str, Any] | None:
        """Who has submitted it last, or None where that was not told."""
        data = read_file(self.path("controller.json"))
        return None if data is None else json.loads(data.decode("utf-8"))

    def renew(self, credentials: dict[str, Any], controller: dict[str, Any] | None) -> None:
        """Put newer credentials in place of the older ones, and who submits it now; a running agent goes by them."""
        self._disk.replace(self.path("credentials.json"), canonical(credentials))
        if controller is not None:
            self._disk.replace(self.path("controller.json"), canonical(controller))

    def allow(self, allowance: dict[str, Any]) -> None:
        """Say how much it may take from now on, unless that is what it may take already, or it is over."""
        path, data = self.path("allowance.json"), canonical(allowance)
        if not self.exists() or self.outcome() is not None or read_file(path) == data:
            return
        temporary = f"{path}.{os.getpid()}"  # a submission and a look may come at the same time
        self._disk.create(temporary, data)
        os.replace(temporary, path)

    def has_ended(self) -> bool:
        """Tell whether there is an outcome, without reading it."""
        return os.path.exists(self.path("outcome.json"))

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
        self._gone = os.path.join(self.root, "gone")
        self._attempts = Attempts(self.root, self._instructions, self._texts)

    def open(self) -> None:
        """Make the spool if it is not there; raise ``SpoolUnusable`` unless it belongs to this user alone."""
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            os.makedirs(self._instructions, mode=0o700, exist_ok=True)
            status = os.stat(self.root)
        except OSError as error:
            raise unusable(self.root, error) from error
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

    def _texts(self) -> Iterator[tuple[str, bytes]]:
        for entry in self.entries():
            data = read_file(entry.path("instruction.json"))
            if data is not None:
                yield entry.id, data

    def attempts_of(self, instruction: Instruction, is_locked: bool = False) -> list[Instruction]:
        """The other known attempts at the same step of the same run and data set.

        By the index, so that a spool that keeps many instructions does not make each submission slow. Who holds the
        spool's lock has it built anew where it cannot be believed; who does not, looks through all entries.
        """
        if not self._attempts.is_believable(is_locked) and is_locked:
            with contextlib.suppress(OSError):  # it is a help; a full disk is told where something must be written
                self._attempts.build()
        if self._attempts.is_believable(is_locked):
            ids = self._attempts.ids(purpose(instruction))
        else:
            ids = [one for one, data in self._texts() if purpose_in(data) == purpose(instruction)]
        others = [self.entry(one).acceptable_instruction() for one in ids if one != instruction.id]
        return [other for other in others if other is not None and purpose(other) == purpose(instruction)]

    def tidy(self) -> None:
        """Build the index, and remove what crashes have left; under the spool's lock, when nothing else is going on."""
        self._attempts.build()
        for left in [name for name in os.listdir(self._instructions) if not is_identifier(name)]:
            shutil.rmtree(os.path.join(self._instructions, left), ignore_errors=True)
        shutil.rmtree(self._gone, ignore_errors=True)
        self._attempts.build()

    def older_attempts_of(self, instruction: Instruction) -> list[str]:
        """The ids of those of ``attempts_of`` in whose place this instruction is."""
        return [other.id for other in self.attempts_of(instruction) if other.attempt < instruction.attempt]

    def create(self, instruction_id: str, files: dict[str, bytes]) -> None:
        """Make an entry that is whole and durable from the moment it can be seen; under the spool's lock."""
        prepared = os.path.join(self._instructions, f".new.{instruction_id}")
        try:
            with self._attempts.adding(instruction_id, files.get("instruction.json")):
                self._create(self.entry(instruction_id).directory, prepared, files)
        except OSError as error:
            shutil.rmtree(self.entry(instruction_id).directory, ignore_errors=True)  # what is refused is not kept
            raise unusable(prepared, error) from error

    def _create(self, target: str, prepared: str, files: dict[str, bytes]) -> None:
        shutil.rmtree(prepared, ignore_errors=True)  # what a crash left of an earlier try
        try:
            os.mkdir(prepared, 0o700)
            for name, data in {"lock": b"", **files}.items():
                self.disk.create(os.path.join(prepared, name), data)
            self.disk.flush_directory(prepared)
            os.rename(prepared, target)
            self.disk.flush_directory(self._instructions)
        except OSError:
            shutil.rmtree(prepared, ignore_errors=True)
            raise

    def remove(self, entry: Entry) -> str:
        """Forget an entry: it disappears at once. Return where its files are now, for ``erase`` without the lock."""
        doomed = os.path.join(self._gone, entry.id)
        os.makedirs(self._gone, mode=0o700, exist_ok=True)
        shutil.rmtree(doomed, ignore_errors=True)  # what a crash left of an earlier one
        with self._attempts.removing(entry.id, read_file(entry.path("instruction.json"))):
            os.rename(entry.directory, doomed)
            self.disk.flush_directory(self._instructions)
        return doomed

    def erase(self, doomed: str) -> None:
        """Delete the files of an entry that was removed; they may be many, so nobody waits for it."""
        shutil.rmtree(doomed, ignore_errors=True)  # somebody else may be at it, and ``tidy`` is as good


def purpose(instruction: Instruction) -> Purpose:
    """What several attempts have in common: pair, run, step and data set (if the step is for one)."""
    return (instruction.pair, instruction.run, instruction.step, data_set_id(instruction) or "")


def data_set_id(instruction: Instruction) -> str | None:
    """The data set of an instruction that is for one."""
    data_set = instruction.payload.get("data_set")
    return data_set["id"] if isinstance(data_set, dict) else None
