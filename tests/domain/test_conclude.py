"""What outcomes mean for a run: the one place where agents' answers become decisions."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import Refused
from domain.protection import replica as replica_states
from domain.protection.backup_run import conclude, states
from domain.protection.backup_run.conclude import ATTEMPTS
from domain.protection.backup_run.manifest import recovery_point_manifest
from domain.protection.backup_run.stopping import FINAL_CODES
from domain.protection.verification import verdict_of
from tests.domain import tables
from tests.domain.builders import ACCOUNTS, ORDERS, failed, succeeded
from tests.domain.honest import shown
from tests.domain.voyage import ANCHOR, Voyage


@pytest.fixture
def voyage() -> Voyage:
    return Voyage()


def clean(voyage: Voyage) -> list[str]:
    """Let every step of the cleaning succeed; return the kinds in order."""
    done = []
    while wishes := voyage.run.next_instructions():
        done.append(wishes[0].wire_step)
        conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wishes[0].id, succeeded(shown(wishes[0])))
    return done


def test_the_usual_way_ends_with_a_recovery_point_that_the_replica_keeps(voyage: Voyage) -> None:
    voyage.to(states.SEALING)
    assert voyage.replica.state == replica_states.APPLYING
    manifest = recovery_point_manifest(voyage.run)
    point = voyage.seal()
    run, replica = voyage.run, voyage.replica
    assert (run.state, run.recovery_point) == (states.COMPLETED, point.id)
    assert (replica.state, replica.head, replica.holds) == (replica_states.CLEAN, point.id, {})
    assert replica.kept[point.id].policy == voyage.policy.id
    assert point.made.evidence == manifest
    assert run.anchor == ANCHOR
    assert tables.same_state(run, tables.rebuilt(run))
    assert (manifest["pair_name"], manifest["service"], manifest["level"]) == ("main", "shop", "checksum")


def test_an_answer_that_comes_twice_or_too_late_decides_nothing(voyage: Voyage) -> None:
    voyage.run.start_checking(voyage.contexts())
    wanted = voyage.wanted("check-primary")
    for _ in range(2):
        conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wanted.id, succeeded(voyage.facts("primary")))
        version = voyage.run.version
    assert conclude.conclude(voyage.contexts(), voyage.run, voyage.around, wanted.id, failed("X")) is None
    conclude.milestone(voyage.contexts(), voyage.run, wanted.id, "armed", {})
    assert voyage.run.version == version == 3
    voyage.to(states.CHECKING)


def test_only_the_milestone_armed_decides_anything_and_only_while_checking(voyage: Voyage) -> None:
    voyage.to(states.PLANNED)
    voyage.check()
    wanted = voyage.wanted("snapshots")
    conclude.milestone(voyage.contexts(), voyage.run, wanted.id, "warm", {})
    assert voyage.run.state == states.CHECKING
    for _ in range(2):
        conclude.milestone(voyage.contexts(), voyage.run, wanted.id, "armed", {})
    assert voyage.run.state == states.ARMED


def test_the_snapshots_may_be_there_before_anybody_heard_that_they_were_armed(voyage: Voyage) -> None:
    voyage.check()
    voyage.snap()
    assert voyage.run.state == states.STAGING


@pytest.mark.parametrize(("code", "attempts"), [("NO_RIGHT", 1), ("GATEWAY_UNREACHABLE", ATTEMPTS["check"])])
def test_a_check_that_fails_refuses_the_run_before_anything_was_done(voyage: Voyage, code: str, attempts: int) -> None:
    voyage.run.start_checking(voyage.contexts())
    for attempt in range(attempts):
        assert voyage.run.state == states.CHECKING
        assert voyage.wanted("check-primary").attempt == attempt + 1
        voyage.answer("check-primary", failed(code))
    assert (voyage.run.state, voyage.run.next_instructions()) == (states.FAILED, ())
    assert voyage.run.failure is not None
    assert (voyage.run.failure["code"], voyage.run.failure["subject"]) == (code, "north")


def test_a_finding_refuses_the_run_and_a_warning_does_not(voyage: Voyage) -> None:
    finding = {
        "check": "c",
        "subject": "/data",
        "ok": False,
        "code": "NOT_SNAPSHOTTABLE",
        "message": "m",
        "remedy": "r",
    }
    warning = {**finding, "code": "NOT_REBOOT_SAFE"}
    voyage.check(findings=(warning,))
    assert {found["code"] for found in voyage.run.warnings} == {"NOT_REBOOT_SAFE"}
    other = voyage.next()
    other.check(findings=(finding, warning))
    assert other.run.state == states.FAILED
    assert {found["code"] for found in other.run.findings} == {"NOT_SNAPSHOTTABLE"}


def test_snapshots_that_fail_are_never_tried_again(voyage: Voyage) -> None:
    voyage.to(states.ARMED)
    voyage.answer("snapshots", failed("MOMENT_MISSED"))
    assert voyage.run.state == states.CLEANING
    assert clean(voyage) == ["abort-primary", "remove-primary", "remove-secondary"]
    assert voyage.run.state == states.FAILED
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == "MOMENT_MISSED"


def test_snapshots_too_far_apart_fail_the_run() -> None:
    voyage = Voyage(max_skew_ms=10)
    voyage.to(states.ARMED)
    voyage.answer("snapshots", succeeded(voyage.snapshots(spread_ms=11.0)))
    assert voyage.run.state == states.CLEANING
    assert voyage.run.consistency is not None
    assert voyage.run.consistency.verdict == "FAILED"
    clean(voyage)
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == "SKEW_EXCEEDED"


def test_one_copy_that_fails_for_good_fails_the_run_and_names_the_data_set(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    for attempt in range(ATTEMPTS["copy"]):
        assert voyage.run.state == states.STAGING
        assert voyage.wanted(f"copy-{ORDERS.id}").attempt == attempt + 1
        assert voyage.wanted(f"copy-{ACCOUNTS.id}").attempt == 1, "the others are not touched"
        voyage.answer(f"copy-{ORDERS.id}", failed("HDFS"))
    assert voyage.run.state == states.CLEANING
    assert voyage.run.failure is not None
    assert (voyage.run.failure["code"], voyage.run.failure["data_set"]) == ("HDFS", ORDERS.id)


def test_a_failed_run_leaves_the_head_and_holds_nothing(voyage: Voyage) -> None:
    voyage.to(states.COMPLETED)
    head = voyage.replica.head
    second = voyage.next().to(states.STAGING)
    assert second.replica.holds == {head: {f"run {second.run.id}"}}
    second.answer(f"copy-{ORDERS.id}", failed("SOURCE_DAMAGED"))
    assert (second.replica.head, second.replica.state, second.replica.holds) == (head, replica_states.CLEAN, {})


def test_a_mass_change_is_asked_about_unless_there_was_nothing_before(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    voyage.copy(deleted=5, replaced=5, entries_in_base=0)
    assert voyage.run.state == states.APPLYING
    for deleted, replaced, expected in ((3, 2, states.APPLYING), (3, 3, states.HELD)):
        other = Voyage().to(states.STAGING)
        other.copy(deleted=deleted, replaced=replaced, entries_in_base=10)
        assert other.run.state == expected
    assert other.run.mass_change is not None
    assert other.run.mass_change["percent"] == 60
    assert other.replica.state == replica_states.CLEAN, "the head is not taken while a person is asked"


@pytest.mark.parametrize(("limit", "expected"), [(50, states.HELD), (99, states.HELD), (100, states.APPLYING)])
def test_a_data_set_that_is_gone_is_asked_about_by_its_name(voyage: Voyage, limit: int, expected: str) -> None:
    voyage.to(states.COMPLETED)
    second = voyage.next(mass_change_percent=limit)
    second.check(data_sets=(ACCOUNTS,))
    second.arm()
    second.to(states.STAGING)
    second.copy()
    assert second.run.state == expected
    if expected == states.HELD:
        assert second.run.mass_change == {
            "data_set": "hbase:shop:carts, hdfs:/data/orders",
            "changed": 2,
            "entries": 2,
            "unit": "data sets",
            "percent": 100,
            "limit_percent": limit,
        }
        second.run.confirm(second.contexts())
        conclude.begin_applying(second.contexts(), second.run, second.around)
        assert second.run.state == states.APPLYING
    assert tables.same_state(second.run, tables.rebuilt(second.run))


def test_files_that_only_the_copy_found_open_are_told_everywhere(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    for data_set in voyage.run.data_sets:
        fuzzy = 3 if data_set == ORDERS else 0
        voyage.answer(f"copy-{data_set.id}", succeeded(voyage.totals(fuzzy=fuzzy)))
    run = voyage.run
    assert run.consistency is not None
    assert run.consistency.verdict == "DEGRADED"
    graded = {grade.data_set: grade for grade in run.consistency.grades}
    assert (graded[ORDERS.id].grade, graded[ORDERS.id].fuzzy_files) == ("FUZZY", 3)
    assert (graded[ACCOUNTS.id].grade, graded[ACCOUNTS.id].fuzzy_files) == ("EXACT", 0)
    evidence = run.snapshots[ORDERS.id]["evidence"]
    assert (evidence["grade"], evidence["reason"]) == ("FUZZY", graded[ORDERS.id].reason)
    voyage.to(states.SEALING)
    manifest = recovery_point_manifest(run)
    assert manifest["consistency"]["verdict"] == "DEGRADED"
    (sealed,) = [one for one in manifest["data_sets"] if one["id"] == ORDERS.id]
    assert sealed["snapshot"]["evidence"]["grade"] == "FUZZY"
    assert tables.same_state(run, tables.rebuilt(run))


def test_a_table_is_judged_by_its_bytes_because_compactions_replace_every_file(voyage: Voyage) -> None:
    voyage.to(states.STAGING)
    voyage.copy(bytes=1_000)
    voyage.to(states.COMPLETED)
    for left, expected in ((500, states.APPLYING), (499, states.HELD)):
        other = voyage.next().to(states.STAGING)
        for data_set in other.run.data_sets:
            deleted = 10 if data_set.component == "hbase" else 0
            answer = other.totals(bytes=left, deleted=deleted, entries_in_base=10)
            other.answer(f"copy-{data_set.id}", succeeded(answer))
        assert other.run.state == expected
        if expected == states.APPLYING:
            other.replica.release(other.contexts(), None)
    assert other.run.mass_change is not None
    assert (other.run.mass_change["unit"], other.run.mass_change["percent"]) == ("bytes", 50)


def test_a_run_waits_for_its_turn_and_one_that_is_superseded_is_dropped(voyage: Voyage) -> None:
    first, second = voyage.to(states.STAGING), voyage.next().to(states.STAGING)
    first.copy()
    second.copy()
    assert (first.run.state, second.run.state) == (states.APPLYING, states.STAGING)
    assert second.run.is_ready_to_apply
    assert second.run.next_instructions() == ()
    first.apply()
    first.freeze()
    first.verify()
    first.seal()
    conclude.begin_applying(second.contexts(), second.run, second.around)
    assert second.run.state == states.CLEANING
    assert second.run.failure is not None
    assert second.run.failure["code"] == "SUPERSEDED"


def test_applying_is_rolled_forward_without_end(voyage: Voyage) -> None:
    voyage.to(states.APPLYING)
    for code in ("HDFS", "HEAD_CHANGED", "HDFS", "NO_SPACE", "HDFS", "HDFS"):
        voyage.answer("apply", failed(code))
        assert voyage.run.state == states.APPLYING
    assert voyage.wanted("apply").attempt == 7
    voyage.apply()
    for _ in range(6):
        voyage.answer("freeze", failed("WRONG_OWNER"))
    assert voyage.run.state == states.FREEZING


def test_applying_that_has_not_begun_gives_the_head_back_as_it_was(voyage: Voyage) -> None:
    voyage.to(states.COMPLETED)
    head = voyage.replica.head
    second = voyage.next().to(states.APPLYING)
    second.answer("apply", failed("FOREIGN_TREE", detail={"changed": False}))
    assert second.run.state == states.CLEANING
    assert (second.replica.state, second.replica.head) == (replica_states.CLEAN, head)
    clean(second)
    assert second.run.state == states.FAILED


def test_applying_that_cannot_begin_is_tried_for_some_minutes_only(voyage: Voyage) -> None:
    voyage.to(states.APPLYING)
    for _ in range(7):
        voyage.answer("apply", failed("STAGING_DAMAGED", detail={"changed": False}))
        assert voyage.run.state == states.APPLYING
    voyage.answer("apply", failed("HDFS"))
    assert voyage.run.state == states.APPLYING, "it may have begun"
    voyage.answer("apply", failed("STAGING_DAMAGED", detail={"changed": False}))
    assert voyage.run.state == states.CLEANING
    assert voyage.replica.state == replica_states.CLEAN


@pytest.mark.parametrize("answer", ["content", "metadata", "nothing"])
def test_a_digest_that_differs_leaves_the_head_dirty_and_names_paths(voyage: Voyage, answer: str) -> None:
    voyage.to(states.VERIFYING)
    result = voyage.digests() if answer == "nothing" else voyage.digests(**{answer: "DIFFERENT"})
    if answer == "nothing":
        result["data_sets"].pop(ORDERS.id)
    voyage.answer("verify", succeeded(result))
    assert voyage.run.state == states.CLEANING
    assert voyage.replica.state == replica_states.DIRTY
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == ("DIGEST_MISSING" if answer == "nothing" else "VERIFICATION_FAILED")
    assert ("told nothing of it" if answer == "nothing" else "a, b") in voyage.run.failure["message"]
    clean(voyage)
    healed = voyage.next().to(states.COMPLETED)
    assert healed.replica.state == replica_states.CLEAN


@pytest.mark.parametrize("part", ["content", "metadata"])
@pytest.mark.parametrize("expected", ["another", None])
def test_a_verification_against_anything_but_what_was_staged_proves_nothing(
    voyage: Voyage, part: str, expected: str | None
) -> None:
    voyage.to(states.VERIFYING)
    result = voyage.digests()
    result["data_sets"][ORDERS.id][part] = {"verdict": "EQUAL", "expected": expected}
    voyage.answer("verify", succeeded(result))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == "VERIFICATION_FAILED"
    sent = {"content": "c", "metadata": "e"}[part] * 64
    told = f"the secondary expected the {part} digest {expected}, and the source's is {sent}"
    assert voyage.run.failure["message"] == f"{ORDERS}: {told}."


DIGEST, OTHER = "c" * 64, "0" * 64


@pytest.mark.parametrize("part", ["content", "metadata"])
@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"found": OTHER}, "VERIFICATION_FAILED"),
        ({"found": None}, "DIGEST_MISSING"),
        ({"found": ""}, "DIGEST_MISSING"),
        ({"found": "EQUAL"}, "DIGEST_MISSING"),
        ({"found": DIGEST.upper()}, "DIGEST_MISSING"),
        ({"found": [DIGEST]}, "DIGEST_MISSING"),
        ({"found": None, "proved": "names and lengths"}, "DIGEST_MISSING"),
        ({"found": None, "verdict": "LISTED"}, "DIGEST_MISSING"),
        ({"found": None, "verdict": "LISTED", "listed": {"expected": OTHER, "found": OTHER}}, "DIGEST_MISSING"),
        ({"verdict": "DIFFERENT"}, "VERIFICATION_FAILED"),
        ({"verdict": "SPLENDID"}, "DIGEST_MISSING"),
        ({"verdict": None}, "DIGEST_MISSING"),
        (None, "VERIFICATION_FAILED"),
        ("EQUAL", "VERIFICATION_FAILED"),
    ],
)
def test_equal_is_what_the_control_device_compares_and_not_what_an_agent_says(
    voyage: Voyage, part: str, told: Any, code: str
) -> None:
    voyage.to(states.VERIFYING)
    result = voyage.digests()
    verified = result["data_sets"][ORDERS.id]
    result["data_sets"][ORDERS.id] = {**verified, part: {**verified[part], **told} if isinstance(told, dict) else told}
    voyage.answer("verify", succeeded(result))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == code


def test_an_answer_without_a_found_digest_at_all_proves_nothing(voyage: Voyage) -> None:
    voyage.to(states.VERIFYING)
    result = voyage.digests()
    del result["data_sets"][ORDERS.id]["content"]["found"]
    voyage.answer("verify", succeeded(result))
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == "DIGEST_MISSING"


@pytest.mark.parametrize("result", [{}, {"data_sets": None}, {"data_sets": []}, {"data_sets": {ORDERS.id: "EQUAL"}}])
def test_an_answer_of_no_known_form_proves_nothing(voyage: Voyage, result: Any) -> None:
    voyage.to(states.VERIFYING)
    voyage.answer("verify", succeeded(result))
    assert voyage.run.failure is not None
    assert voyage.run.failure["code"] == "DIGEST_MISSING"


@pytest.mark.parametrize("sha256", ["0" * 64, None, "f"])
def test_a_comparison_with_another_manifest_proves_nothing(voyage: Voyage, sha256: str | None) -> None:
    voyage.to(states.VERIFYING)
    result = voyage.digests()
    result["data_sets"][ORDERS.id]["manifest_sha256"] = sha256
    voyage.answer("verify", succeeded(result))
    assert voyage.run.failure is not None
    assert (voyage.run.failure["code"], voyage.run.failure["data_set"]) == ("VERIFICATION_FAILED", ORDERS.id)


@pytest.mark.parametrize(
    ("level", "listed", "state"),
    [
        ("metadata", OTHER, states.SEALING),
        ("changed", OTHER, states.SEALING),
        ("changed", DIGEST, states.CLEANING),
        ("checksum", OTHER, states.CLEANING),
        ("bytes", OTHER, states.CLEANING),
    ],
)
def test_what_nobody_has_looked_at_is_listed_where_the_policy_says_so(level: str, listed: str, state: str) -> None:
    voyage = Voyage(verification=level).to(states.VERIFYING)
    result = voyage.digests()
    for verified in result["data_sets"].values():
        told = {"verdict": "LISTED", "found": None, "listed": {"expected": OTHER, "found": listed}}
        verified["content"] = {**verified["content"], **told}
    voyage.answer("verify", succeeded(result))
    assert voyage.run.state == state


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"verdict": "EQUAL", "expected": DIGEST, "found": DIGEST}, "EQUAL"),
        ({"verdict": "EQUAL", "expected": DIGEST, "found": None, "proved": "names and lengths"}, "LISTED"),
        ({"verdict": "EQUAL", "expected": DIGEST, "found": None, "proved": "checksums of what moved"}, "LISTED"),
        ({"verdict": "EQUAL", "expected": DIGEST, "found": None, "proved": "bytes"}, "UNPROVED"),
        ({}, "UNPROVED"),
        (None, "UNPROVED"),
    ],
)
def test_what_an_older_recovery_point_says_is_shown_as_what_it_proves(part: Any, word: str) -> None:
    assert verdict_of(part) == word


@pytest.mark.parametrize("told", [{"content_digest": ""}, {"metadata_digest": None}, {"manifest_sha256": "f"}])
def test_a_sender_that_told_no_digest_has_sent_nothing(voyage: Voyage, told: dict[str, Any]) -> None:
    voyage.to(states.STAGING)
    voyage.answer(f"copy-{ORDERS.id}", succeeded(voyage.totals(**told)))
    assert voyage.run.last_failure[f"copy-{ORDERS.id}"]["code"] == "ANSWER_UNPROVED"
    assert ORDERS.id not in voyage.run.staged


def test_verification_is_tried_again_unless_the_failure_is_final(voyage: Voyage) -> None:
    voyage.to(states.VERIFYING)
    voyage.answer("verify", failed("HDFS"))
    assert voyage.run.state == states.VERIFYING
    voyage.answer("verify", failed("WRONG_OWNER"))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)


def test_a_verification_that_never_succeeds_ends_the_run_so_that_the_next_one_has_its_turn(voyage: Voyage) -> None:
    voyage.to(states.VERIFYING)
    for _ in range(conclude.ATTEMPTS["verify"] - 1):
        voyage.answer("verify", failed("TRIAL_CLONE_FAILED"))
        assert voyage.run.state == states.VERIFYING
    voyage.answer("verify", failed("TRIAL_CLONE_FAILED"))
    assert (voyage.run.state, voyage.replica.state) == (states.CLEANING, replica_states.DIRTY)
    clean(voyage)
    voyage.next().to(states.COMPLETED)


def test_sealing_is_tried_again(voyage: Voyage) -> None:
    voyage.to(states.SEALING)
    voyage.answer("seal", failed("NO_RIGHT"))
    assert (voyage.run.state, voyage.wanted("seal").attempt) == (states.SEALING, 2)
    voyage.seal()


def test_a_run_that_is_given_up_from_outside_is_cleaned_up(voyage: Voyage) -> None:
    voyage.run.start_checking(voyage.contexts())
    failure: dict[str, Any] = {"code": "MOMENT_MISSED", "message": "m", "remedy": None}
    conclude.give_up(voyage.contexts(), voyage.run, voyage.around, failure)
    assert voyage.run.state == states.FAILED, "nothing was begun anywhere"
    armed = voyage.next().to(states.ARMED)
    conclude.give_up(armed.contexts(), armed.run, armed.around, {**failure, "code": "SNAPSHOTS_UNKNOWN"})
    assert clean(armed) == ["abort-primary", "remove-primary", "remove-secondary"]


@pytest.mark.parametrize("state", states.STATES)
def test_a_run_can_be_cancelled_until_heads_are_changed(state: str) -> None:
    if state in (states.SNAPSHOTTED, states.HELD, states.CLEANING, states.FAILED, states.CANCELLED):
        return  # left within one command, or shown elsewhere
    voyage = Voyage().to(state)
    if state not in states.BEFORE_APPLYING:
        with pytest.raises(Refused, match="NOT_IN_STATE"):
            conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
        return
    conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
    clean(voyage)
    assert voyage.run.state == states.CANCELLED
    assert voyage.replica.holds == {}
    assert tables.same_state(voyage.run, tables.rebuilt(voyage.run))


def test_cleaning_ends_what_may_run_before_it_removes_and_is_tried_again(voyage: Voyage) -> None:
    voyage.to(states.ARMED)
    sent = voyage.wanted("snapshots")
    conclude.cancel(voyage.contexts(), voyage.run, voyage.around, "no")
    (abort,) = voyage.run.next_instructions()
    assert (abort.kind, abort.payload) == ("Abort", {"instructions": [sent.id]})
    voyage.answer("abort-primary", failed("STILL_RUNNING"))
    assert voyage.wanted("abort-primary").attempt == 2
    voyage.show("abort-primary")
    assert [wish.wire_step for wish in voyage.run.next_instructions()] == ["remove-primary", "remove-secondary"]
    assert clean(voyage) == ["remove-primary", "remove-secondary"]


def test_every_code_that_is_final_is_written_as_codes_are() -> None:
    assert all(code.replace("_", "").isupper() for code in FINAL_CODES)
