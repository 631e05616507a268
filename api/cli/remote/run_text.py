"""A run's page as text: a heading, and a section for each kind of evidence that there is so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.cli.remote.page import ENDED, RunPage
from api.cli.remote.plan import forecast_rows
from api.cli.remote.skew_picture import Line, skew_picture
from api.cli.remote.text import (
    NOTHING,
    count,
    duration,
    instant,
    milliseconds,
    pairs,
    printable,
    short,
    size,
    table,
)
from api.cli.remote.waiting import unreachable
from domain.values.limits import BYTES_IN_MEGABYTE

MOST_LINES = 40
COMPARED_IN_FULL = {
    "frozen": "compared in full: the primary has no snapshot of its base",
    "head": "compared in full: no snapshot of the copy is a base",
}
GRADES = {
    "EXACT": "the state at one instant",
    "BOUNDED": "each part at some instant between asked and done",
    "FUZZY": "some of it may be from later than that",
}
PROOFS = {
    "names and lengths": "no contents were compared",
    "checksums of what moved": "what this run copied; the rest by names and lengths",
    "stored checksums": "what HDFS keeps about each file is equal; its blocks were not read again",
    "bytes": "every byte was read from the disks",
}
VERDICTS = {"LISTED": "names, types and lengths are equal; the contents of some files were not looked at"}
FATES = ("equal", "replaced", "deleted")
BAR = 30


def run_text(page: RunPage) -> str:
    """Return the whole page; sections that would be empty are left out."""
    sections = (
        _head(page),
        _findings("Alarms", page.page.get("alarms")),
        _failure(page),
        _forecast(page),
        _adopted(page),
        _held(page),
        _tried_again(page),
        _allowed(page),
        _skew(page),
        _grades(page),
        _bytes(page),
        _verification(page),
        _durations(page),
        _findings("Warnings", page.page.get("warnings")),
    )
    return "\n\n".join(text for text in sections if text)


def _section(title: str, body: str) -> str:
    return f"{title}\n" + "\n".join(f"  {line}".rstrip() for line in body.splitlines())


def _head(page: RunPage) -> str:
    facts = page.page
    base = facts.get("base") or {}
    rows = [
        ("state", page.state),
        ("moment", instant(page.moment_ms)),
        *_moved_rows(page),
        ("policy", f"{facts.get('policy')}, revision {facts.get('policy_revision')}"),
        ("way", page.way),
        ("pair", f"{facts.get('pair')}, epoch {facts.get('epoch')}"),
        ("snapshots", facts.get("snapshot")),
    ]
    if base:
        rows.append(("increment from", f"{short(str(base.get('recovery_point')))}, {instant(base.get('moment_ms'))}"))
    if facts.get("recovery_point"):
        rows.append(("recovery point", short(str(facts["recovery_point"]))))
    waiting = page.live.get("waiting_for")
    if waiting and page.state not in ENDED:
        since = page.live.get("waiting_since_ms")
        rows.append(("waiting for", f"{waiting}, since {instant(round(since, -3))}" if since else waiting))
    rows += [("", line) for line in unreachable(page.live)]
    return _section(f"Run {short(page.id)} of service {printable(page.service)}", pairs(rows))


def _moved_rows(page: RunPage) -> list[tuple[str, str]]:
    """A row for each other moment that the run has chosen before anything was cut."""
    return [("chosen anew", f"was {instant(move['from_ms'])}: {why_moved(move)}") for move in page.moment_moves]


def why_moved(move: Mapping[str, Any]) -> str:
    """Why a run has chosen another moment; a code that this program does not know is told as it is."""
    return {
        "CHECKS_TOOK_LONG": "the checks took too long for it",
        "MOMENT_MISSED": "it was missed, and nothing was cut",
    }.get(str(move["code"]), printable(move["code"]))


def _failure(page: RunPage) -> str:
    failure = page.failure
    if not failure:
        return ""
    named = {part.id: part.name for part in page.data_sets}
    rows = [("code", failure.get("code")), ("what", failure.get("message"))]
    if failure.get("data_set"):
        rows.append(("data set", named.get(failure["data_set"], failure["data_set"])))
    if failure.get("remedy"):
        rows.append(("remedy", failure["remedy"]))
    return _section("Failure", pairs(rows))


def _forecast(page: RunPage) -> str:
    """What a first copy was predicted to take, and what it took."""
    predicted = page.page.get("forecast")
    if not predicted:
        return ""
    whole = predicted["size"]
    rows = [("size", f"{count(whole['files'])} files, {size(whole['bytes'])}"), *forecast_rows(predicted)]
    took = [seconds for state, seconds in page.durations if state == "STAGING" and seconds is not None]
    if took:
        rows.append(("took", duration(sum(took))))
    return _section("First copy, as predicted", pairs(rows))


def _adopted(page: RunPage) -> str:
    """What stood on the secondary before the first run, and what becomes of it."""
    rows = [
        (name, *(f"{_entries(told, fate)}, {size(told.get(f'{fate}_bytes'))}" for fate in FATES))
        for name, told in page.adopted
    ]
    headings = ("DATA SET", "EQUAL", "REPLACED", "DELETED")
    return _section("Found on the secondary, and taken over", table(headings, rows)) if rows else ""


def _entries(told: Mapping[str, Any], fate: str) -> str:
    return count(sum(int(told.get(f"{fate}_{what}") or 0) for what in ("files", "directories")))


def _held(page: RunPage) -> str:
    change = page.mass_change
    if not change or page.state != "HELD":
        return ""
    what = f"{count(change.get('changed'))} of {count(change.get('entries'))} {change.get('unit')} deleted or replaced"
    if change.get("unit") == "data sets":
        what = "in the last recovery point, and not found any more"
    nowhere = "\nwhat is deleted or replaced is then nowhere: no recovery point has it; to list it:"
    lost_for_good = f"{nowhere} understudy run losses {short(page.id)}" if page.adopted else ""
    return _section(
        "Held: it changes more than the policy allows without asking",
        f"{printable(change.get('data_set'))}: {what}"
        f" ({change.get('percent')} %, allowed {change.get('limit_percent')} %){lost_for_good}\n"
        f"understudy run confirm {short(page.id)}   or   understudy run cancel {short(page.id)}",
    )


def _tried_again(page: RunPage) -> str:
    lines = []
    for step, failure in page.last_failure.items():
        attempt = f", attempt {count(failure['attempt'])}" if failure.get("attempt") else ""
        lines.append(
            f"{printable(step)}{attempt}: {printable(failure.get('code'))}: {printable(failure.get('message'))}"
        )
        if failure.get("remedy"):
            lines.append(f"  remedy: {printable(failure['remedy'])}")
    if not lines:
        return ""
    text = "\n".join(lines)
    if page.state in ("APPLYING", "FREEZING", "VERIFYING", "SEALING"):
        text += f"\nunless that helps: understudy run cancel {short(page.id)} --give-up"
    return _section("Being tried again", text)


def _allowed(page: RunPage) -> str:
    """What each copy may take at this instant, by the limits and pauses, or what it waits for."""
    if page.state in ENDED:
        return ""
    named = {part.id: part.name for part in page.data_sets}
    paused, queued = page.live.get("paused") or {}, page.live.get("queued") or {}
    told = {about: _share(share) for about, share in (page.live.get("allowed") or {}).items()}
    told |= {about: f"nothing: it waits for {reason}" for about, reason in {**queued, **paused}.items()}
    lines = [f"{printable(named.get(about, about))}: {printable(text)}" for about, text in sorted(told.items())]
    return _section("Allowed now", "\n".join(_shortened(lines))) if lines else ""


def _share(share: Mapping[str, Any]) -> str:
    rate = share.get("bytes_per_second")
    at_most = "" if rate is None else f", {rate / BYTES_IN_MEGABYTE:.3g} MB/s"
    return f"{count(share.get('workers'))} transfers at once{at_most}"


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"… and {more} more"]


def _skew(page: RunPage) -> str:
    consistency = page.consistency
    lines = [
        Line(
            part.name,
            part.snapshot["asked_cluster_ms"] - page.moment_ms,
            part.snapshot["done_cluster_ms"] - page.moment_ms,
            part.grade,
        )
        for part in page.data_sets
        if "asked_cluster_ms" in part.snapshot and "done_cluster_ms" in part.snapshot
    ]
    if not consistency or not lines:
        return ""
    uncertainty = float(consistency.get("uncertainty_ms") or 0.0)
    lines.sort(key=lambda line: (-line.done_ms, line.name))
    more = f"\n… and {len(lines) - MOST_LINES} more, done earlier" if len(lines) > MOST_LINES else ""
    title = (
        f"Skew {milliseconds(consistency.get('skew_ms'))}, allowed {milliseconds(page.max_skew_ms)}:"
        f" {consistency.get('verdict')}"
    )
    return _section(title, skew_picture(lines[:MOST_LINES], uncertainty) + more)


def _grades(page: RunPage) -> str:
    rows = [(part.name, part.grade, count(part.open_files), part.reason) for part in page.data_sets if part.grade]
    headings = ("DATA SET", "GRADE", "OPEN FILES", "REASON")
    return _section("Grades", f"{table(headings, rows, right=(2,))}\n\n{_legend(GRADES, rows, 1)}") if rows else ""


def _legend(meanings: Mapping[str, str], rows: Iterable[tuple[object, ...]], column: int) -> str:
    """A line for each word of a column that needs one; what a word says more after a comma is told elsewhere."""
    said = {str(row[column]).partition(",")[0] for row in rows}
    return "\n".join(f"{word}: {meaning}" for word, meaning in meanings.items() if word in said)


def _bytes(page: RunPage) -> str:
    parts = [part for part in page.data_sets if part.staged]
    if not parts:
        return ""
    base = short(str((page.page.get("base") or {}).get("recovery_point")))
    rows = [_bytes_row(part.name, dict(part.staged), base) for part in parts]
    if len(parts) > 1:
        names = ("bytes", "bytes_moved", "files", "files_moved", "deleted", "renamed", "changed_attributes")
        sums = {name: sum(int(part.staged.get(name) or 0) for part in parts) for name in names}
        rows.append(_bytes_row("all", sums))
    left_out = [
        (part.name, count(told.get("files")), ", ".join(told.get("paths") or ()))
        for part in parts
        if (told := part.staged.get("left_out"))
    ]
    headings = ("DATA SET", "PROTECTED", "MOVED", "SHARE", "FILES", "MOVED", "DELETED", "RENAMED", "ATTRIBUTES", "")
    text = table(headings, rows, right=range(1, 9))
    if left_out:
        lost = table(("DATA SET", "LEFT OUT", "FIRST PATHS: THE SUPERUSER MAY NOT READ THEM"), left_out, right=(1,))
        text += f"\n\n{lost}\n\nwhat is left out is not on the secondary, and in no verdict"
    return _section("Bytes and files", text)


def _bytes_row(name: str, staged: dict[str, Any], run_base: str = "") -> tuple[object, ...]:
    protected, moved = int(staged.get("bytes") or 0), int(staged.get("bytes_moved") or 0)
    kind = {True: "first copy", False: "increment"}.get(staged.get("full", ""), "")
    kind = COMPARED_IN_FULL.get(staged.get("compared_with", ""), kind)
    if staged.get("base") and short(staged["base"]) != run_base:
        kind += f" from {short(staged['base'])}"
    return (
        name,
        size(protected),
        size(moved),
        f"{moved * 100 / protected:.1f} %" if protected else NOTHING,
        count(staged.get("files")),
        count(staged.get("files_moved")),
        count(staged.get("deleted")),
        count(staged.get("renamed")),
        count(staged.get("changed_attributes")),
        kind,
    )


def _verification(page: RunPage) -> str:
    parts = [part for part in page.data_sets if part.verified]
    if not parts:
        return ""
    rows = []
    for part in parts:
        content, metadata = part.verified.get("content") or {}, part.verified.get("metadata") or {}
        rows.append(
            (
                part.name,
                _verdict(content),
                _verdict(metadata),
                content.get("proved"),
                count(part.verified.get("files_computed")),
                count((part.verified.get("carried") or {}).get("files")),
                count(part.verified.get("files_read")),
                size(part.verified.get("bytes_read")),
            )
        )
    headings = ("DATA SET", "CONTENT", "METADATA", "PROVED BY", "COMPUTED", "CARRIED OVER", "READ", "BYTES READ")
    text = f"{table(headings, rows, right=(4, 5, 6, 7))}\n\n{_legend(PROOFS, rows, 3)}".rstrip()
    text += "".join(_unseen(part.name, part.verified["unseen"]) for part in parts if part.verified.get("unseen"))
    words = _legend(VERDICTS, rows, 1)
    text += f"\n{words}" if words else ""
    text += "".join(_carried(part.name, part.verified["carried"]) for part in parts if part.verified.get("carried"))
    text += "".join(_read(part.name, part.verified["read"]) for part in parts if part.verified.get("read"))
    differences = [(part.name, path) for part in parts for path in part.verified.get("differences") or ()]
    if differences:
        text += "\n\n" + table(("DATA SET", "FIRST PATHS THAT DIFFER"), differences)
    trial = page.trial_clone
    if trial:
        text += (
            f"\n\ntrial clone of {printable(trial.get('table'))}: {count(trial.get('rows_seen'))} rows seen"
            f" in {duration(trial.get('seconds'))}"
        )
        if trial.get("left_out"):
            text += f"\nit was made without {printable(', '.join(trial['left_out']))}; the recovery point has that"
    elif page.trial_clone_hours is not None:
        text += f"\n\ntrial clone: none in this run; once in {count(page.trial_clone_hours)} hours it is a table's turn"
    return _section(f"Verification by the secondary, level {page.level}", text)


def _unseen(name: str, unseen: Mapping[str, Any]) -> str:
    """Of what nobody has looked at on the primary in this run, and since when."""
    since = instant(unseen["since_ms"]) if unseen.get("since_ms") else "an earlier moment that was not recorded"
    return (
        f"\n{name}: {count(unseen.get('files'))} files ({size(unseen.get('bytes'))}) are expected to hold what they"
        f" held at {since}, and were compared with that: over WebHDFS alone no listing shows a file that was changed in"
        " place with its length and time as before; let the gateway reach the NameNode's RPC port"
    )


def _read(name: str, read: Mapping[str, Any]) -> str:
    """How much was read of what stands there, since when, and what never was."""
    whole, never = int(read.get("bytes") or 0), int(read.get("never_bytes") or 0)
    since = f" since {instant(read['oldest_ms'])}" if read.get("oldest_ms") is not None else ""
    text = f"\n{printable(name)}: {size(whole - never)} of {size(whole)} were read from the disks{since}"
    text += f"; {size(never)} in {count(read.get('never_files'))} files never yet" if never else ""
    text += f"; {size(read['due_bytes'])} put off to the next run" if read.get("due_bytes") else ""
    return f"{text}; all within {count(read.get('days'))} days"


def _verdict(part: Mapping[str, Any]) -> str:
    """The word of a verification; older ones said EQUAL of what nobody had looked at."""
    word = str(part.get("verdict") or "")
    return "LISTED" if word == "EQUAL" and "found" in part and part["found"] is None else word


def _carried(name: str, carried: Mapping[str, Any]) -> str:
    """Whose proof stands for the files that were not looked at again, and how old it may be."""
    by_listing = carried.get("by_listing")
    return (
        f"\n{printable(name)}: {count(carried.get('files'))} files are as recovery point"
        f" {short(str(carried['recovery_point']))} proved them;"
        f" computed since {instant(carried.get('computed_since_ms'))}, each anew within"
        f" {count(carried.get('recheck_days'))} days"
        f"{f'; {count(by_listing)} of them are known to be the same by their listing alone' if by_listing else ''}"
    )


def _durations(page: RunPage) -> str:
    spent = [(state, seconds) for state, seconds in page.durations if seconds is not None]
    if not spent:
        return ""
    longest = max(seconds for _, seconds in spent) or 1.0
    rows = [
        (state.lower(), duration(seconds), "█" * max(round(seconds / longest * BAR), 1 if seconds else 0))
        for state, seconds in spent
    ]
    rows.append(("all", duration(sum(seconds for _, seconds in spent)), ""))
    return _section("Time spent", table(("STATE", "TIME", ""), rows, right=(1,)))


def _findings(title: str, findings: Iterable[Mapping[str, Any]] | None) -> str:
    lines = list(_finding_lines(findings or ()))
    return _section(title, "\n".join(lines)) if lines else ""


def _finding_lines(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for finding in findings:
        subject = f" ({printable(finding['subject'])})" if finding.get("subject") else ""
        yield f"{printable(finding.get('code'))}{subject}: {printable(finding.get('message'))}"
        if finding.get("remedy"):
            yield f"  remedy: {printable(finding['remedy'])}"
