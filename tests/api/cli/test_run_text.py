"""The page of a run as golden text."""

from __future__ import annotations

from pathlib import Path

from api.cli.remote.page import RunPage
from api.cli.remote.run_text import run_text
from tests.api.cli import pages

GOLDEN = Path(__file__).parent / "golden"


def test_a_completed_run() -> None:
    assert run_text(RunPage(pages.completed())) + "\n" == (GOLDEN / "run_completed.txt").read_text(encoding="utf-8")


def test_a_run_without_a_trial_clone_says_how_often_there_is_one() -> None:
    page = pages.completed()
    page["verification"]["trial_clone"] = None
    page["settings"] |= {"trial_clone": True, "trial_clone_hours": 24}
    assert "trial clone: none in this run; once in 24 hours it is a table's turn" in run_text(RunPage(page))
    page["settings"] |= {"trial_clone": False}
    assert "trial clone" not in run_text(RunPage(page))


def test_contents_that_nobody_looked_at_are_called_what_they_are() -> None:
    page = pages.completed()
    verified = page["verification"]["data_sets"][pages.FILES]
    proved = "bytes, some of it as of an earlier moment"
    verified |= {"content": {**verified["content"], "proved": proved}}
    verified |= {"unseen": {"files": 1100, "bytes": 3 << 30, "since_ms": pages.MOMENT_MS - 86_400_000}}
    verified["carried"] |= {"by_listing": 7}
    text = run_text(RunPage(page))
    assert proved in text
    assert (
        " files (3.00 GiB) are expected to hold what they held at 2026-05-03T03:00:00Z, and"
        " were compared with that: over WebHDFS alone" in text
    )
    assert "each anew within 7 days; 7 of them are known to be the same by their listing alone" in text
    verified["unseen"] |= {"since_ms": 0}
    assert "what they held at an earlier moment that was not recorded" in run_text(RunPage(page))


def test_what_a_trial_clone_was_made_without_is_told() -> None:
    page = pages.completed()
    page["verification"]["trial_clone"]["left_out"] = ["coprocessor$1 |com.example.Audit||", "REGION_REPLICATION 2"]
    assert "made without coprocessor$1 |com.example.Audit||, REGION_REPLICATION 2;" in run_text(RunPage(page))


def test_files_that_the_copy_found_open_count_even_if_nobody_listed_them() -> None:
    page = pages.completed()
    page["snapshots"][pages.FILES]["open_files"] = []
    page["staged"][pages.FILES]["fuzzy"] = 3
    (files, _) = RunPage(page).data_sets
    assert files.open_files == 3


def test_a_run_that_has_just_begun_has_nothing_but_its_heading() -> None:
    text = run_text(RunPage(pages.planned()))
    assert text.splitlines()[0] == "Run 1a2b3c4d5e6f of service orders"
    assert "Skew" not in text
    assert "Bytes" not in text


def test_what_each_copy_may_take_now_is_told_until_the_run_has_ended() -> None:
    held = "cluster south to be resumed, paused by ann: a switch\x1b[2J"
    live = {
        "allowed": {
            pages.FILES: {"workers": 4, "bytes_per_second": 19_999_999},
            "verify": {"workers": 16, "bytes_per_second": None},
            pages.TABLE: {"workers": 0, "bytes_per_second": None},
        },
        "paused": {pages.TABLE: held},
        "queued": {"other": "agents on cluster north (limit 8)"},
    }
    page = {**pages.held(), "live": live}
    text = run_text(RunPage(page))
    assert "hdfs:/data/orders: 4 transfers at once, 20 MB/s" in text
    assert "verify: 16 transfers at once\n" in text
    assert "other: nothing: it waits for agents on cluster north (limit 8)" in text
    assert "hbase:orders: nothing: it waits for cluster south to be resumed, paused by ann: a switch" in text
    assert "\x1b" not in text
    assert "Allowed now" not in run_text(RunPage({**pages.completed(), "live": live}))


def test_a_failed_run_says_why_what_to_do_and_which_paths() -> None:
    text = run_text(RunPage(pages.failed()))
    assert "code      VERIFICATION_FAILED" in text
    assert "data set  hdfs:/data/orders" in text
    assert "remedy    The next run heals it." in text
    assert "2026/05/a\\u001b[2Jb.csv" in text
    assert "\x1b" not in text


def test_a_held_run_shows_the_numbers_and_the_two_ways_out() -> None:
    text = run_text(RunPage(pages.held()))
    assert "hdfs:/data/orders: 900 of 1 200 entries deleted or replaced (75 %, allowed 50 %)" in text
    assert "understudy run confirm 1a2b3c4d5e6f   or   understudy run cancel 1a2b3c4d5e6f" in text


def test_a_run_that_is_held_because_data_sets_are_gone_names_them() -> None:
    page = pages.held()
    page["mass_change"] |= {"data_set": "hdfs:/a, hdfs:/b", "unit": "data sets", "percent": 100}
    text = run_text(RunPage(page))
    assert "hdfs:/a, hdfs:/b: in the last recovery point, and not found any more (100 %, allowed 50 %)" in text


def test_an_alarm_is_told_with_its_remedy() -> None:
    alarm = {"code": "BARRIER_NOT_RELEASED", "subject": "north", "message": "writers are held.", "remedy": "Run go."}
    text = run_text(RunPage({**pages.completed(), "alarms": [alarm]}))
    assert "Alarms\n  BARRIER_NOT_RELEASED (north): writers are held.\n    remedy: Run go.\n" in text


def test_what_is_left_out_is_told_with_the_first_paths() -> None:
    page = pages.completed()
    page["staged"][pages.FILES]["left_out"] = {"files": 2, "paths": ["a/secret", "b"]}
    text = run_text(RunPage(page))
    assert "a/secret, b" in text
    assert "what is left out is not on the secondary, and in no verdict" in text


def test_what_is_being_tried_again_is_told() -> None:
    failure = {"code": "NO_SPACE", "message": "the disk is full.", "remedy": "Free space.", "attempt": 7}
    text = run_text(RunPage({**pages.staging(), "last_failure": {"copy-x": failure}}))
    assert "  copy-x, attempt 7: NO_SPACE: the disk is full.\n    remedy: Free space.\n" in text
    assert "--give-up" not in text
    text = run_text(RunPage({**pages.staging(), "state": "APPLYING", "last_failure": {"apply": failure}}))
    assert "understudy run cancel 1a2b3c4d5e6f --give-up" in text


def test_what_is_waited_for_is_told_with_its_beginning() -> None:
    agents = {"north": "the agent of apply is gone; it is started again"}
    live = {"waiting_for": "its turn", "waiting_since_ms": pages.MOMENT_MS + 400, "agents": agents}
    page = RunPage({**pages.staging(), "live": live})
    assert "its turn, since 2026-05-04T03:00:00Z" in run_text(page)
    assert "on north: the agent of apply is gone" in run_text(page)


def test_a_copy_without_a_common_base_is_said_to_be_compared_in_full() -> None:
    page = pages.completed()
    first, *others = page["staged"].values()
    first |= {"full": False, "compared_with": "head"}
    for other in others:
        other |= {"full": False, "compared_with": "base", "base": pages.POINT.replace("-", "")}
    text = run_text(RunPage(page))
    assert text.count("compared in full: no snapshot of the copy is a base") == 1
    assert text.count("increment\n") == len(others)
    for other in others:
        other["base"] = "ab" * 16
    assert run_text(RunPage(page)).count("increment from abababababab") == len(others)
