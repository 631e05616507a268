"""The lock files: what they pin stays installable when newer versions appear, and they name no address."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))
PINNED = re.compile(r"^[A-Za-z0-9][^ ]*==[^ ]+", re.MULTILINE)


def pins(lock: Path) -> dict[str, Requirement]:
    found = [Requirement(line) for line in PINNED.findall(lock.read_text())]
    return {canonicalize_name(one.name): one for one in found}


def test_an_extra_that_a_package_asks_for_is_locked_with_its_pin() -> None:
    """pip looks for ``coverage[toml]`` apart from ``coverage==7.17.3``, and takes a newer one, which has no hash."""
    locked = pins(ROOT / "requirements.lock")
    assert locked
    wrong = []
    for name in locked:
        for line in distribution(name).requires or ():
            asked = Requirement(line)
            pin = locked.get(canonicalize_name(asked.name))
            applies = asked.marker is None or asked.marker.evaluate({"extra": ""})
            if asked.extras and pin is not None and applies and not asked.extras <= pin.extras:
                wrong.append(f"{name} asks for {asked}, locked is {pin}")
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "index-url" not in text
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
