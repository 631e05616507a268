"""Whether a run would delete or replace so much that a person must be asked first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.components.registry import component
from domain.values.data_set import DataSet

if TYPE_CHECKING:
    from domain.protection.backup_run.run import BackupRun
    from domain.protection.recovery_point import RecoveryPoint

DATA_SETS = "data sets"
"""The unit of a mass change that is the loss of whole data sets."""

FOUND = "entries found on the secondary"
"""The unit of a change to a tree that is taken over."""

FATES = ("deleted", "replaced", "equal")
FILES_AND_DIRECTORIES = ("files", "directories")

NAMES_TOLD = 5


def mass_change(run: BackupRun, point: Callable[[UUID], RecoveryPoint]) -> dict[str, Any] | None:
    """What would be lost beyond the policy's limit, as ``MassChangeFound`` tells it; None if nothing is.

    A data set that the base has and the run has not is lost as a whole.
    """
    adoption = _adoption(run)
    if adoption is not None:
        return adoption
    limit = run.plan.settings.mass_change_percent
    lost = _lost(run, point) if limit < 100 else []
    if lost:
        return _change(first_of([str(data_set) for data_set in lost]), len(lost), len(lost), DATA_SETS, limit)
    for data_set in run.data_sets:
        base = run.base_of(data_set)
        bytes_in_base = base.data_sets[data_set.id] if base else 0
        changed, whole, unit = component(data_set.component).mass_change(run.staged[data_set.id], bytes_in_base)
        if whole and changed * 100 > whole * limit:
            return _change(str(data_set), changed, whole, unit, limit)
    return None


def _adoption(run: BackupRun) -> dict[str, Any] | None:
    """What somebody else has put on the secondary and would be lost: of that, nothing is without a person's yes."""
    names, changed, entries = [], 0, 0
    for data_set in run.data_sets:
        told = run.adopted(data_set) or {}
        counts = {fate: sum(int(told.get(f"{fate}_{what}") or 0) for what in FILES_AND_DIRECTORIES) for fate in FATES}
        lost = counts["deleted"] + counts["replaced"]
        names += [str(data_set)] if lost else []
        changed += lost
        entries += lost + counts["equal"]
    return _change(first_of(names), changed, entries, FOUND, 0) if changed else None


def _lost(run: BackupRun, point: Callable[[UUID], RecoveryPoint]) -> list[DataSet]:
    if run.base is None or set(run.base.data_sets) <= {data_set.id for data_set in run.data_sets}:
        return []
    return sorted(set(point(run.base.recovery_point).made.data_sets) - set(run.data_sets))


def _change(what: str, changed: int, entries: int, unit: str, limit: int) -> dict[str, Any]:
    counts = {"changed": changed, "entries": entries, "unit": unit}
    return {"data_set": what, **counts, "percent": changed * 100 // entries, "limit_percent": limit}


def first_of(names: Sequence[str]) -> str:
    """The first few names, as a part of a sentence."""
    return ", ".join(names[:NAMES_TOLD]) + (", …" if len(names) > NAMES_TOLD else "")
