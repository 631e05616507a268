"""How consistent the snapshots of one run are with one another: skew, verdict and grades; pure, over recorded facts.

The skew is the time from the earliest request to the latest completion over all data sets, on the NameNode's clock,
widened on both sides by the uncertainty of that clock as measured before and after. A snapshot stands for some instant
within its own [asked, done], whatever its creation time says, so nothing narrower can be claimed.

Verdict against the policy's limit: FAILED when the skew exceeds it; DEGRADED when it does not but some data set (or
some file in it) is FUZZY; CONSISTENT otherwise. A file that was open at the cut although no listing named it shows only
while it is copied: what a copy found is added to what was known at the moment (``with_copy``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from domain.values.clock import ClockOffset
from domain.values.interval import Interval

CONSISTENT = "CONSISTENT"
DEGRADED = "DEGRADED"
FAILED = "FAILED"

EXACT = "EXACT"
BOUNDED = "BOUNDED"
FUZZY = "FUZZY"
GRADES = (EXACT, BOUNDED, FUZZY)


@dataclass(frozen=True)
class Grade:
    """What one data set's snapshot stands for: one instant (EXACT), some instant between two (BOUNDED), or neither.

    ``from_ms`` and ``until_ms`` are on the NameNode's clock; ``fuzzy_files`` were open at the cut.
    """

    data_set: str
    grade: str
    reason: str
    from_ms: float
    until_ms: float
    fuzzy_files: int


@dataclass(frozen=True)
class Consistency:
    """The measured consistency of a run. Times are milliseconds since the epoch on the NameNode's clock."""

    verdict: str
    earliest_ms: float
    latest_ms: float
    skew_ms: float
    uncertainty_ms: float
    limit_ms: float
    grades: tuple[Grade, ...]

    def to_json(self) -> dict[str, Any]:
        """The form that manifests and pages show."""
        return {**asdict(self), "grades": [asdict(grade) for grade in self.grades]}


def assess(snapshots: Mapping[str, Mapping[str, Any]], clocks: Mapping[str, Any], max_skew_ms: int) -> Consistency:
    """Compute skew, verdict and grades from the result of TakeSnapshots (docs/agent.md)."""
    assert snapshots, "a run has at least one data set"
    before = ClockOffset.from_json(clocks["before"]["namenode"])
    after = ClockOffset.from_json(clocks["after"]["namenode"])
    uncertainty = before.with_drift_to(after)
    grades = tuple(_grade(data_set, snapshots[data_set]) for data_set in sorted(snapshots))
    whole = Interval.around(Interval(grade.from_ms, grade.until_ms) for grade in grades).widened(uncertainty)
    skew = whole.length_ms
    fuzzy = any(grade.grade == FUZZY or grade.fuzzy_files for grade in grades)
    return Consistency(
        verdict=FAILED if skew > max_skew_ms else DEGRADED if fuzzy else CONSISTENT,
        earliest_ms=whole.from_ms,
        latest_ms=whole.until_ms,
        skew_ms=skew,
        uncertainty_ms=uncertainty,
        limit_ms=float(max_skew_ms),
        grades=grades,
    )


def with_copy(consistency: Consistency, data_set: str, fuzzy_files: int) -> Consistency:
    """Add what the copy of a data set found: FUZZY, and DEGRADED, when some file was open at the cut."""
    if not fuzzy_files:
        return consistency
    grades = tuple(_fuzzy(one, fuzzy_files) if one.data_set == data_set else one for one in consistency.grades)
    verdict = DEGRADED if consistency.verdict == CONSISTENT else consistency.verdict
    return replace(consistency, verdict=verdict, grades=grades)


def _fuzzy(grade: Grade, files: int) -> Grade:
    what = "1 file was" if files == 1 else f"{files} files were"
    reason = f"the copy found that {what} open at the cut"
    if grade.grade == EXACT:
        reason += "; all others are of one instant"
    elif grade.grade == FUZZY:
        reason = f"{grade.reason}; {reason}"
    return replace(grade, grade=FUZZY, reason=reason, fuzzy_files=max(files, grade.fuzzy_files))


def with_left_out(consistency: Consistency, data_set: str, files: int) -> Consistency:
    """Say in a data set's reason that files are not in it at all: the grade holds for all others."""
    if not files:
        return consistency
    added = f"{'1 file is' if files == 1 else f'{files} files are'} left out, which the superuser may not read"
    grades = tuple(
        replace(one, reason=f"{one.reason}; {added}") if one.data_set == data_set else one for one in consistency.grades
    )
    return replace(consistency, grades=grades)


def _grade(data_set: str, snapshot: Mapping[str, Any]) -> Grade:
    evidence = snapshot["evidence"]
    assert evidence["grade"] in GRADES, evidence
    ends = sorted((float(snapshot["asked_cluster_ms"]), float(snapshot["done_cluster_ms"])))
    return Grade(
        data_set=data_set,
        grade=evidence["grade"],
        reason=evidence["reason"],
        from_ms=ends[0],
        until_ms=ends[1],
        fuzzy_files=len(snapshot.get("open_files") or ()),
    )
