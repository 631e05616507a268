"""What every test leaves as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """The product's programs set their process's umask; run within a test's process, that must not outlive the test."""
    mask = os.umask(0o022)
    yield
    os.umask(mask)
