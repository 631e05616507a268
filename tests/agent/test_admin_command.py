"""HBase's administration is started only where root alone decides what that is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.agent.core.operations import OperationFailed
from infra.agent.shell.admin_command import DEFAULT_COMMAND, safe_command

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the program belongs to root, so the test has to be root")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is root's all the way up, as /tmp is not."""
    made = Path(tempfile.mkdtemp(prefix="understudy-test-", dir="/var/lib"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def program(place: Path) -> Path:
    made = place / "lib" / "hbase-admin"
    made.parent.mkdir(mode=0o755)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def command(program: Path) -> list[str]:
    return [*DEFAULT_COMMAND[:-1], str(program)]


def refusal_of(program: Path) -> str:
    with pytest.raises(OperationFailed) as caught:
        safe_command(command(program))
    assert caught.value.code == "ADMIN_COMMAND_UNSAFE"
    assert "set-up" in caught.value.remedy
    assert not caught.value.transient
    return caught.value.message


def test_what_root_has_put_there_is_run(program: Path) -> None:
    assert safe_command(command(program)) == command(program)


def test_that_nothing_is_there_is_told_by_what_starts_it(program: Path) -> None:
    program.unlink()
    assert safe_command(command(program)) == command(program)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_program_that_others_can_write(program: Path, mode: int) -> None:
    program.chmod(mode)
    assert f"{program} must belong to root" in refusal_of(program)


def test_a_program_of_somebody_else(program: Path) -> None:
    os.chown(program, 12345, 12345)
    assert f"{program} must belong to root" in refusal_of(program)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_directory_in_which_others_can_put_another_one(program: Path, is_there: bool) -> None:
    if not is_there:
        program.unlink()
    program.parent.chmod(0o775)
    assert f"{program.parent} must belong to root" in refusal_of(program)
    program.parent.chmod(0o1777)
    assert f"{program.parent} must belong to root" in refusal_of(program)


def test_a_directory_far_above_that_others_can_write(program: Path, place: Path) -> None:
    place.chmod(0o1777)
    assert f"{place} must belong to root" in refusal_of(program)
    place.chmod(0o755)
    os.chown(place, 12345, 12345)
    assert f"{place} must belong to root" in refusal_of(program)


def test_a_link_to_what_is_roots(program: Path, place: Path) -> None:
    link = place / "link"
    link.symlink_to(program.parent)
    assert "link" in refusal_of(link / "hbase-admin")
