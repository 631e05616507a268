"""What events of older versions meant: frozen, so that an old store tells for ever what it told when it was written.

Before the events carried what was decided, applying them decided it. These are the decisions of then. They are called
with whatever an old store holds, never refuse, and never change; nothing that is recorded today comes here.
"""

from __future__ import annotations

from dataclasses import replace

from domain.protection.consistency import Consistency, Grade

_ROLES = ("primary", "secondary")


def corrected_by_copy_v1(consistency: Consistency, data_set: str, fuzzy_files: int) -> Consistency:
    """``CopyStaged`` 1: FUZZY, and DEGRADED instead of CONSISTENT, where a copy had found files open at the cut."""
    grades = tuple(_fuzzy(one, fuzzy_files) if one.data_set == data_set else one for one in consistency.grades)
    verdict = "DEGRADED" if consistency.verdict == "CONSISTENT" else consistency.verdict
    return replace(consistency, verdict=verdict, grades=grades)


def _fuzzy(grade: Grade, files: int) -> Grade:
    what = "1 file was" if files == 1 else f"{files} files were"
    reason = f"the copy found that {what} open at the cut"
    if grade.grade == "EXACT":
        reason += "; all others are of one instant"
    elif grade.grade == "FUZZY":
        reason = f"{grade.reason}; {reason}"
    return replace(grade, grade="FUZZY", reason=reason, fuzzy_files=max(files, grade.fuzzy_files))


def steps_of_cleaning_v1(aborted: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """``FailureFound`` 1 and ``CancelRequested`` 1, where data sets were known: aborts, then removals."""
    return (*(f"abort-{role}" for role in _ROLES if aborted[role]), *(f"remove-{role}" for role in _ROLES))
