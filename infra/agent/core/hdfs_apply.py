"""Apply: turn the secondary's head into the wanted tree, with metadata operations alone, rolled forward only.

Each step of the plan is a rename to or from a name in staging that belongs to this step alone, so a probe after a
crash has one meaning: in phase ``out`` a step is done when its name in staging is there; in phase ``in`` when it is
gone. That is so for chains and swaps too. Between the phases ``out`` is renamed to ``moved``. From then on a request of
the first phase that arrives late finds no directory to move anything into: the NameNode itself keeps it from taking
away what stands at an old path by now. Attributes and times are settings of values and can be repeated.

So staging alone tells what is done, and whoever has the plan can go on: the next agent, the next attempt with another
instruction, a gateway that has lost its spool. Nothing is kept anywhere else.
"""

from __future__ import annotations

from typing import Any, Callable

from infra.agent.core import hdfs
from infra.agent.core.checked_records import checked_step
from infra.agent.core.hdfs import StoragePolicy
from infra.agent.core.hdfs_entries import below
from infra.agent.core.hdfs_plan import IN, OUT, SET, TIME
from infra.agent.core.hdfs_stage import policy_of
from infra.agent.core.lines import LineReader
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed
from infra.agent.core.work import SECONDARY

AT_ONCE = 32
WINDOW = 1000
MOVED = "moved"
HEAD_CHANGED = "HEAD_CHANGED"

Step = Callable[[Any], Procedure]


class Applying:
    """Carries the work file ``plan`` out on ``head``; ``steps`` is how many steps the plan has, once it has run."""

    def __init__(self, plan: str, head: str, staging: str) -> None:
        self._plan = plan
        self._head = head
        self._staging = staging
        self._policies: dict[int, StoragePolicy] = {}
        self.steps = 0

    def run(self) -> Procedure:
        """Go through the phases, and through the steps that are not done yet."""
        self._policies = yield from hdfs.storage_policies(SECONDARY)
        if not (yield from self._is_fenced()):
            yield from self._phase(OUT, self._out, ordered=True)
            yield from self._fence()
        yield from self._phase(IN, self._in, ordered=True)
        yield from self._phase(SET, self._set, ordered=False)
        yield from self._phase(TIME, self._time, ordered=False)

    def _phase(self, phase: str, step: Step, ordered: bool) -> Procedure:
        """Run the steps of one phase; with ``ordered`` those of one depth are finished before the next depth begins."""
        reader = LineReader(self._plan)
        window: list[dict[str, Any]] = []
        self.steps = 0
        while True:
            line = yield from reader.record()
            if line is not None:
                checked_step(line, self._plan)
            is_full = len(window) >= WINDOW or (
                ordered and line is not None and window and line["d"] != window[-1]["d"]
            )
            if window and (line is None or is_full):
                yield Together((step(item) for item in window), AT_ONCE, keep_results=False)
                window = []
            if line is None:
                break
            self.steps += 1
            if line["do"] == phase:
                window.append(line)

    def _out(self, step: dict[str, Any]) -> Procedure:
        source, target = below(self._head, step["p"]), f"{self._staging}/{step['to']}"
        try:
            yield from hdfs.rename(SECONDARY, source, target)
        except OperationFailed as failure:
            exception = hdfs.exception_of(failure)
            if exception not in ("FileNotFoundException", "FileAlreadyExistsException"):
                raise
            done = (yield from hdfs.status(SECONDARY, target)) or (yield from self._is_fenced())
            if not done:
                raise head_changed(source, "is not there, though it was a moment ago") from failure

    def _fence(self) -> Procedure:
        """Close ``out``: what has not arrived there by now never will."""
        try:
            yield from hdfs.rename(SECONDARY, f"{self._staging}/{OUT}", f"{self._staging}/{MOVED}")
        except OperationFailed:
            if not (yield from self._is_fenced()):  # else a late request of an earlier agent has done it
                raise

    def _is_fenced(self) -> Procedure:
        return (yield from hdfs.status(SECONDARY, f"{self._staging}/{MOVED}")) is not None

    def _in(self, step: dict[str, Any]) -> Procedure:
        kind, _, rest = step["from"].partition("/")
        source = f"{self._staging}/{MOVED if kind == OUT else kind}/{rest}"
        target = below(self._head, step["p"])
        try:
            yield from hdfs.rename(SECONDARY, source, target)
        except OperationFailed as failure:
            exception = hdfs.exception_of(failure)
            if exception == "FileAlreadyExistsException":
                raise head_changed(target, "is there, though nothing should be") from failure
            if exception != "FileNotFoundException":
                raise
            is_waiting = (yield from hdfs.status(SECONDARY, source)) is not None
            if is_waiting or (yield from hdfs.status(SECONDARY, target)) is None:
                raise head_changed(target, "cannot be put into place: the directory above it is gone") from failure

    def _set(self, step: dict[str, Any]) -> Procedure:
        path = below(self._head, step["p"])
        if "o" in step:
            yield from hdfs.set_owner(SECONDARY, path, step["o"], step["g"])
        if "a" in step:
            yield from self._set_acl(path, step)
        if "x" in step:
            yield from hdfs.set_permission(SECONDARY, path, step["x"])
        if "e" in step:
            yield from self._set_extended_attributes(path, step["e"])
        if "r" in step:
            yield from hdfs.set_replication(SECONDARY, path, step["r"])
        if "s" in step and step["s"] is None:
            yield from hdfs.unset_storage_policy(SECONDARY, path)
        elif "s" in step:
            yield from hdfs.set_storage_policy(SECONDARY, path, policy_of(self._policies, step).name)
        if "m" in step:
            yield from hdfs.set_modification_time(SECONDARY, path, step["m"])

    def _set_acl(self, path: str, step: dict[str, Any]) -> Procedure:
        if not step["a"]:
            yield from hdfs.remove_acl(SECONDARY, path)
            return
        yield from hdfs.set_acl(SECONDARY, path, hdfs.full_acl(step["a"], step["x"]))
        if not any(entry.startswith("default:") for entry in step["a"]):
            yield from hdfs.remove_default_acl(SECONDARY, path)

    def _set_extended_attributes(self, path: str, wanted: dict[str, str]) -> Procedure:
        found = yield from hdfs.extended_attributes(SECONDARY, path)
        for name in sorted(set(found) - set(wanted)):
            yield from hdfs.remove_extended_attribute(SECONDARY, path, name)
        for name, value in sorted(wanted.items()):
            if found.get(name) != value:
                yield from hdfs.set_extended_attribute(SECONDARY, path, name, value)

    def _time(self, step: dict[str, Any]) -> Procedure:
        yield from hdfs.set_modification_time(SECONDARY, below(self._head, step["p"]), step["m"])


def head_changed(path: str, what: str) -> OperationFailed:
    """The failure that says that somebody else is at the head."""
    return OperationFailed(
        HEAD_CHANGED,
        f"{path} {what}: somebody else changes the secondary's copy",
        remedy="Find out who writes there (the NameNode's audit log), then start the run again: it goes on from here.",
        detail={"path": path},
    )
