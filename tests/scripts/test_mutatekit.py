"""The catalogue of deliberate faults fits the code; whoever tries them tells what is noticed from what is not."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from scripts.mutatekit.__main__ import PROJECT, try_all
from scripts.mutatekit.catalogue import CATALOGUE
from scripts.mutatekit.mutation import Change, DoesNotApply, Mutation, mutation
from scripts.mutatekit.report import table, write
from scripts.mutatekit.trying import Copy, Trial, Verdict


def test_there_are_many_faults_in_every_part_of_the_product() -> None:
    names = [one.name for one in CATALOGUE]
    assert len(names) == len(set(names)) >= 80
    assert sum(one.in_ci for one in CATALOGUE) >= 12
    places = {change.file.rpartition("/")[0] for one in CATALOGUE for change in one.changes}
    for part in ("infra/agent/core", "infra/agent/shell", "domain/protection", "infra/store", "infra/workers"):
        assert any(place.startswith(part) for place in places), part


@pytest.mark.parametrize("one", CATALOGUE, ids=lambda one: one.name)
def test_each_fault_still_fits_the_code(one: Mutation) -> None:
    for path, text in one.applied(PROJECT).items():
        ast.parse(text)
        assert text != path.read_text(encoding="utf-8")
    assert one.tests
    for test in one.tests:
        assert (PROJECT / test.partition("::")[0]).exists(), test


@pytest.mark.long
def test_the_faults_that_every_run_tries_are_noticed() -> None:
    trials = try_all([one for one in CATALOGUE if one.in_ci], jobs=2)
    assert [(trial.mutation.name, trial.detail) for trial in trials if trial.verdict is not Verdict.KILLED] == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one function, with a test that looks at half of what it does."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "sign.py").write_text("def sign(n: int) -> int:\n    return 1 if n > 0 else -1\n")
    (root / "test_sign.py").write_text("from sign import sign\n\n\ndef test_it() -> None:\n    assert sign(5) == 1\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


@pytest.mark.parametrize(
    ("before", "after", "verdict", "detail"),
    [
        ("1 if", "2 if", Verdict.KILLED, "test_sign.py::test_it"),
        ("else -1", "else -2", Verdict.SURVIVED, "passed"),
        ("return 1", "retrun 1", Verdict.BROKEN, "pytest ended with"),
        ("no such text", "", Verdict.BROKEN, "0 times"),
    ],
)
def test_a_fault_is_killed_only_by_a_test_that_fails(
    project: Path, tmp_path: Path, before: str, after: str, verdict: Verdict, detail: str
) -> None:
    copy = Copy(project, tmp_path / "copy")
    assert copy.check(["test_sign.py"]) is None
    trial = copy.try_one(mutation("fault", "harm", "sign.py", before, after, "test_sign.py"))
    assert trial.verdict is verdict
    assert detail in trial.detail
    assert (tmp_path / "copy" / "sign.py").read_text() == (project / "sign.py").read_text()
    assert copy.check(["test_sign.py"]) is None


def test_tests_that_fail_without_any_fault_are_told(project: Path, tmp_path: Path) -> None:
    (project / "sign.py").write_text("def sign(n: int) -> int:\n    return 0\n")
    said = Copy(project, tmp_path / "copy").check(["test_sign.py"])
    assert said is not None
    assert "assert 0 == 1" in said


def test_a_change_fits_exactly_once() -> None:
    change = Change("x.py", "a", "b")
    assert change.applied("cat") == "cbt"
    for text in ("", "aa"):
        with pytest.raises(DoesNotApply, match=f"{len(text)} times"):
            change.applied(text)
    with pytest.raises(DoesNotApply, match="does not exist"):
        Mutation("n", "h", (Change("no/such/file.py", "a", "b"),), ()).applied(PROJECT)


def test_the_table_is_put_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "mutations.md"
    document.write_text("# Title\n\n<!-- begin of the table -->\nold\n<!-- end of the table -->\n\nEnd.\n")
    trials = [
        Trial(mutation("a", "harm | harm", "x.py", "1", "2"), Verdict.KILLED, "test_x.py::test_y", 1.0),
        Trial(mutation("b", "harm", "x.py", "1", "2"), Verdict.SURVIVED, "all tests passed", 1.0),
    ]
    write(document, trials)
    text = document.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nEnd.\n")
    assert "1 of 2 faults are noticed." in text
    assert "old" not in text
    assert "harm \\| harm" in table(trials)
    assert "**survived**: all tests passed" in text
