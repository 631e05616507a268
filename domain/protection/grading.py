"""The grade of a snapshot, concluded from what was measured around the cut and never from an agent's word for it.

What was measured stands beside the word, as ``looks`` of the snapshot's evidence (docs/agent.md), and is sealed with
the recovery point. So everything here is a function of the sealed manifest alone, and whoever reads one years later
comes to the grade that the control device has published: it uses the very same function.

- A directory is cut in one instant (EXACT) where what was open could be listed after the cut, and what became of every
  file that was listed before or after it adds up; without such a listing it is FUZZY.
- A table is EXACT where nothing moved from a whole RPC time-out before the request until after completion, by two
  readings of its counters, or where it was disabled all that time; otherwise each region was cut at some instant
  between request and completion (BOUNDED). A snapshot that skips the flush is FUZZY.

Where there are no looks, as in recovery points from before they were kept, the grade is NOT_PROVABLE: never EXACT. Of a
word and what its looks show, the weaker is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from domain.protection.consistency import BOUNDED, EXACT, FUZZY, Consistency, assess, with_copy
from domain.values.canonical import is_digest

NOT_PROVABLE = "NOT_PROVABLE"
_WEAKER = (EXACT, BOUNDED, FUZZY)


class Derived(NamedTuple):
    """What the looks show, and why."""

    grade: str
    reason: str


def derive(component: str, snapshot: Any, uncertainty_ms: float = 0.0) -> Derived:
    """The grade that a snapshot's looks prove; ``uncertainty_ms`` is that of the NameNode's clock."""
    evidence = _part(snapshot, "evidence")
    looks = _part(evidence, "looks")
    asked_ms, done_ms = _part(snapshot, "asked_ms"), _part(snapshot, "done_ms")
    if not isinstance(looks, Mapping) or not (_is_number(asked_ms) and _is_number(done_ms)):
        return Derived(NOT_PROVABLE, "what was measured around the cut was not kept")
    if component == "hdfs":
        return _of_directory(looks, done_ms - uncertainty_ms, _part(snapshot, "open_files"))
    return _of_table(looks, asked_ms, done_ms)


def _of_directory(looks: Mapping[str, Any], done_ms: float, open_files: Any) -> Derived:
    before: Any = looks.get("before")
    after: Any = looks.get("after")
    if after is None:
        return Derived(FUZZY, "files that were open at the cut could not be listed")
    if not _is_listing(after) or not (before is None or _is_listing(before)):
        return Derived(NOT_PROVABLE, "the listings of open files are of no known form")
    if after["asked_ms"] < done_ms:
        return Derived(FUZZY, "the listing of open files may be from before the cut")
    counts: list[Any] = [looks.get(name) for name in ("listed", "open", "closed", "absent")]
    if not all(_is_count(count) for count in counts) or not isinstance(open_files, list):
        return Derived(NOT_PROVABLE, "what became of the files that were listed as open is not told")
    listed, opened, closed, absent = counts
    most = after["files"] + (before["files"] if before is not None else 0)
    adds_up = listed == opened + closed + absent and opened == len(open_files)
    if not adds_up or not after["files"] <= listed <= most or closed > listed - after["files"]:
        return Derived(NOT_PROVABLE, "what became of the files that were listed as open does not add up")
    if opened:
        many = "1 file that was" if opened == 1 else f"{opened} files that were"
        return Derived(EXACT, f"one instant of the NameNode, except {many} open at the cut (FUZZY)")
    return Derived(EXACT, "one instant of the NameNode; no file was open")


def _of_table(looks: Mapping[str, Any], asked_ms: float, done_ms: float) -> Derived:
    kind = looks.get("kind")
    before: Any = looks.get("before")
    after: Any = looks.get("after")
    if kind == "SKIPFLUSH" or not isinstance(kind, str):
        return Derived(FUZZY, "the snapshot leaves out what was not flushed")
    if kind == "DISABLED":
        return _of_disabled(looks.get("disabled"), after, asked_ms, done_ms)
    timeout_ms = _part(before, "rpc_timeout_ms")
    if not _is_reading(before) or not _is_number(timeout_ms) or before["done_ms"] > asked_ms - timeout_ms:
        reason = "regions are cut one after another between request and completion, and nobody looked early enough"
    elif not _is_reading(after) or after["asked_ms"] < done_ms:
        reason = "nothing is known of the table after the snapshot"
    elif before["digest"] != after["digest"]:
        reason = "regions are cut one after another between request and completion, and the table was in use"
    else:
        return Derived(EXACT, "no counter, store file, region or server of the table moved around the cut")
    return Derived(BOUNDED, reason)


def _of_disabled(before: Any, after: Any, asked_ms: float, done_ms: float) -> Derived:
    if not _is_reading(before) or before["done_ms"] > asked_ms:
        reason = "the table was disabled, and nobody has seen before the request that it was"
    elif not _is_reading(after) or after["asked_ms"] < done_ms:
        reason = "the table was disabled, and nothing is known of it after the snapshot"
    elif not _is_number(before.get("state_since_ms")) or _state(before) != _state(after):
        reason = "the table was disabled, and its state has changed between the looks before and after the snapshot"
    else:
        reason = "the table was disabled from before the request until after completion: nobody could write to it"
        return Derived(EXACT, reason)
    return Derived(BOUNDED, reason)


def graded(snapshots: Mapping[str, Any], components: Mapping[str, str], clocks: Any) -> dict[str, Any]:
    """The snapshots of an answer, each with the grade that is published: the weaker of the word and what is shown.

    ``components`` is the kind of each data set, by id.
    """
    return {
        key: _with_grade(snapshot, components.get(key, ""), _uncertainty(clocks)) for key, snapshot in snapshots.items()
    }


def _with_grade(snapshot: Any, component: str, uncertainty_ms: float) -> Any:
    evidence = _part(snapshot, "evidence")
    evidence = dict(evidence) if isinstance(evidence, Mapping) else {}
    word = evidence.get("grade")
    derived = derive(component, snapshot, uncertainty_ms)
    if derived.grade == NOT_PROVABLE:
        # A table's snapshot is of some instant between request and completion, whatever nobody has looked at.
        derived = derived._replace(grade=FUZZY if component == "hdfs" else BOUNDED)
    if word not in _WEAKER:
        evidence.update(grade=FUZZY, reason="the agent gave no grade that is known")
    elif _WEAKER.index(derived.grade) > _WEAKER.index(word):
        evidence.update(grade=derived.grade, reason=f"{derived.reason}; the agent said {word}")
    return {**snapshot, "evidence": evidence}


def grades_of(manifest: Mapping[str, Any]) -> dict[str, Derived]:
    """The grade of each data set of a recovery point, by id, from its sealed manifest alone."""
    uncertainty_ms = _uncertainty(manifest.get("clocks"))
    found = {}
    for data_set in manifest["data_sets"]:
        derived = derive(data_set["component"], data_set.get("snapshot"), uncertainty_ms)
        fuzzy = _part(data_set.get("copied"), "fuzzy") or 0
        if fuzzy and derived.grade != NOT_PROVABLE:
            derived = Derived(FUZZY, f"{derived.reason}; the copy found {fuzzy} files that were open at the cut")
        found[data_set["id"]] = derived
    return found


def consistency_of(manifest: Mapping[str, Any]) -> Consistency | None:
    """Skew, verdict and grades as the sealed evidence alone gives them; None where some grade is not provable."""
    components = {one["id"]: one["component"] for one in manifest["data_sets"]}
    if any(derived.grade == NOT_PROVABLE for derived in grades_of(manifest).values()):
        return None
    stripped = {one["id"]: _exact_in_words(one["snapshot"]) for one in manifest["data_sets"]}
    shown = graded(stripped, components, manifest["clocks"])
    whole = assess(shown, manifest["clocks"], int(manifest["consistency"]["limit_ms"]))
    for one in manifest["data_sets"]:
        whole = with_copy(whole, one["id"], int(_part(one.get("copied"), "fuzzy") or 0))
    return whole


def _exact_in_words(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The snapshot with the strongest word, so that its looks alone decide."""
    return {**snapshot, "evidence": {**snapshot["evidence"], "grade": EXACT}}


def _uncertainty(clocks: Any) -> float:
    told = _part(_part(_part(clocks, "after"), "namenode"), "uncertainty_ms")
    return float(told) if _is_number(told) else 0.0


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_listing(value: Any) -> bool:
    return _is_number(_part(value, "asked_ms")) and _is_count(_part(value, "files")) and is_digest(value.get("sha256"))


def _is_reading(value: Any) -> bool:
    times = _part(value, "asked_ms"), _part(value, "done_ms")
    return all(_is_number(time) for time in times) and is_digest(value.get("digest"))


def _state(reading: Mapping[str, Any]) -> tuple[Any, Any]:
    return reading.get("state"), reading.get("state_since_ms")
