"""Put a staging directory into place: one rename, with its plan and all its directories in it.

The plan that lies in it says what it is for. Where an earlier attempt of the run has left one of the same plan, that
is taken over with all that is finished in it; one of another plan is thrown away.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.hdfs import StoragePolicy
from infra.agent.core.hdfs_plan import BUCKET
from infra.agent.core.hdfs_stage import make_directories
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import DigestFile, Upload
from infra.agent.core.staging import PRIVATE, make_plain, place
from infra.agent.core.work import SECONDARY
from infra.agent.protocol import Instruction

PLAN = "plan"
DIRECTORIES_AT_ONCE = 8


def place_skeleton(
    instruction: Instruction,
    prepared: str,
    target: str,
    prefix: str,
    plan: dict[str, Any],
    policies: dict[int, StoragePolicy],
) -> Procedure:
    """Have a staging directory at ``target``, made at ``prepared``; its ``plan`` is a work file.

    Returns whether one was taken over.
    """
    yield from _skeleton(prepared, prefix, plan, policies)
    steps = yield Upload(prefix + PLAN, SECONDARY, f"{prepared}/{PLAN}")
    is_reused = False
    if (yield from hdfs.status(SECONDARY, target)) is not None:
        is_reused = yield from _has_plan(f"{target}/{PLAN}", steps)
        if is_reused:
            yield from hdfs.delete(SECONDARY, prepared)
        else:
            superseded = f"{prepared}-superseded"
            yield from hdfs.rename(SECONDARY, target, superseded)
            yield from hdfs.delete(SECONDARY, superseded)
    if not is_reused:
        yield from place(instruction, prepared, target)
    return is_reused


def _skeleton(prepared: str, prefix: str, plan: dict[str, Any], policies: dict[int, StoragePolicy]) -> Procedure:
    """Make all directories, and nothing else."""
    kinds = {"new": plan["new_count"], "out": plan["out_count"]}
    buckets = [f"{kind}/{bucket}" for kind, count in kinds.items() for bucket in range(-(-count // BUCKET))]
    names = ["new", "out", "pieces", *buckets]
    yield from make_plain(prepared)
    directories = (hdfs.make_directory(SECONDARY, f"{prepared}/{name}", PRIVATE) for name in names)
    yield Together(directories, DIRECTORIES_AT_ONCE, keep_results=False)
    yield from make_directories(SECONDARY, prepared, prefix, policies)


def _has_plan(path: str, steps: dict[str, Any]) -> Procedure:
    found = yield from hdfs.status(SECONDARY, path)
    if found is None or found["length"] != steps["bytes"]:
        return False
    digest = yield DigestFile(SECONDARY, path, steps["bytes"])
    return digest["sha256"] == steps["sha256"]
