"""Try on the secondary what a run is going to ask of it, with the very values, on a file made for it in scratch.

A NameNode has limits, switches and patterns, and says which when it is asked, and nowhere else that an agent may look.
So what is tried is the real operation. Each kind of value is tried once: a name of an ACL, an extended attribute that
is longer than those before, more of them than before, another storage policy, more replicas or fewer, a longer name.
What is refused fails with the code of the refusal, and the message names the file, and what of it is refused.

Before APPLY changes anything the steps of its plan are tried (``try_plan``); what a plan stages is asked for anyway
while the head is untouched. A check tries what it has seen of a tree (``Trial.take``).
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs import StoragePolicy
from infra.agent.core.hdfs_entries import name_of
from infra.agent.core.hdfs_plan import IN, SET
from infra.agent.core.hdfs_stage import policy_of
from infra.agent.core.lines import LineReader
from infra.agent.core.machine import Procedure
from infra.agent.core.markers import write_file
from infra.agent.core.operations import OperationFailed
from infra.agent.core.refusals import about
from infra.agent.core.staging import PRIVATE, make_plain
from infra.agent.core.work import SECONDARY

REMEMBERED = 10_000
"""How many names are remembered; what is met beyond is tried again."""


class Trial:
    """What was tried already, and where; ``policies`` are the secondary's."""

    def __init__(self, directory: str, policies: dict[int, StoragePolicy]) -> None:
        self._directory = directory
        self._policies = policies
        self._is_made = False
        self._names: set[str] = set()
        self._attributes: dict[str, int] = {}
        self._most_attributes = 0
        self._storage_policies: set[int] = set()
        self._replicas: set[int] = set()
        self._longest_name = 0
        self._is_removal_tried = False

    def take(self, path: str, asked: dict[str, Any]) -> Procedure:
        """Try of ``asked`` what is new; its members are those of an entry, ``n`` is a name. ``path`` is told."""
        name = asked.get("n")
        if name is not None and len(name.encode("utf-8")) > self._longest_name:
            self._longest_name = len(name.encode("utf-8"))
            yield from self._try(path, f"its name of {self._longest_name} bytes", self._name(name))
        if asked.get("a"):
            yield from self._acl(path, asked)
        elif "a" in asked and not self._is_removal_tried:
            self._is_removal_tried = True
            yield from self._try(path, "to remove its ACL", hdfs.remove_acl(SECONDARY, self._file))
        if asked.get("e"):
            yield from self._extended_attributes(path, asked["e"])
        if asked.get("r") and self._is_beyond(asked["r"]):
            self._replicas.add(asked["r"])
            replicas = hdfs.set_replication(SECONDARY, self._file, asked["r"])
            yield from self._try(path, f"its {asked['r']} replicas", replicas)
        if asked.get("s") is not None and asked["s"] not in self._storage_policies:
            self._storage_policies.add(asked["s"])
            policy = policy_of(self._policies, {"p": path, "s": asked["s"]}).name
            yield from self._try(
                path, f"its storage policy {policy}", hdfs.set_storage_policy(SECONDARY, self._directory, policy)
            )

    def end(self) -> Procedure:
        """Remove what was made."""
        if self._is_made:
            yield from hdfs.delete(SECONDARY, self._directory)

    @property
    def _file(self) -> str:
        return f"{self._directory}/file"

    def _is_beyond(self, replicas: int) -> bool:
        return not self._replicas or not min(self._replicas) <= replicas <= max(self._replicas)

    def _acl(self, path: str, asked: dict[str, Any]) -> Procedure:
        """Names are tried in the very ACL that they come in; default entries need a directory."""
        new = {entry.rpartition(":")[0] for entry in asked["a"]} - self._names
        if not new:
            return
        if len(self._names) < REMEMBERED:
            self._names |= new
        is_default = any(entry.startswith("default:") for entry in asked["a"])
        tried = self._directory if is_default else self._file
        specification = hdfs.full_acl(asked["a"], asked.get("x", "700"))
        yield from self._try(path, f"its ACL {', '.join(asked['a'])}", hdfs.set_acl(SECONDARY, tried, specification))
        if is_default:
            yield from hdfs.remove_acl(SECONDARY, tried)

    def _extended_attributes(self, path: str, wanted: dict[str, str]) -> Procedure:
        larger = [name for name, value in wanted.items() if len(value) > self._attributes.get(name, -1)]
        if not larger and len(wanted) <= self._most_attributes:
            return
        self._most_attributes = max(self._most_attributes, len(wanted))
        if len(self._attributes) < REMEMBERED:
            self._attributes.update((name, len(wanted[name])) for name in larger)
        yield from hdfs.delete(SECONDARY, self._file)
        self._is_made = False
        for name, value in sorted(wanted.items()):
            setting = hdfs.set_extended_attribute(SECONDARY, self._file, name, value)
            what = f"its extended attribute {name} of {max(0, len(value) - 2) // 2} bytes, one of {len(wanted)}"
            yield from self._try(path, what, setting)

    def _name(self, name: str) -> Procedure:
        """In a directory of its own: a name may be any."""
        yield from hdfs.make_directory(SECONDARY, f"{self._directory}/names/{name}", PRIVATE)
        yield from hdfs.delete(SECONDARY, f"{self._directory}/names")

    def _try(self, path: str, what: str, asking: Procedure) -> Procedure:
        if not self._is_made:
            yield from make_plain(self._directory)
            yield from write_file(SECONDARY, self._file, b"tried")
            self._is_made = True
        try:
            yield from asking
        except OperationFailed as failure:
            raise about(failure, path, f"{what} would be refused on the secondary") from failure


def try_plan(plan: str, trial: Trial) -> Procedure:
    """Try what the steps of a plan (a work file) ask of the head."""
    reader = LineReader(plan)
    while True:
        step = yield from reader.record()
        if step is None:
            break
        if step["do"] == SET:
            yield from trial.take(step["p"], {name: step[name] for name in ("a", "x", "e", "r", "s") if name in step})
        elif step["do"] == IN and step["p"]:
            yield from trial.take(step["p"], {"n": name_of(step["p"])})
    yield from trial.end()
