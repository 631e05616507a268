"""Wildcards of the agent: the same names as ``fnmatch`` finds, in no more time than a name is long."""

from __future__ import annotations

import fnmatch
import time

from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.wildcards import fitting


@given(st.text("ab.*?", max_size=6), st.text("ab.\n", max_size=6))
def test_they_fit_as_the_shell_s_do(pattern: str, name: str) -> None:
    assert fitting(pattern)(name) is fnmatch.fnmatchcase(name, pattern)


def test_many_stars_take_no_time() -> None:
    began = time.process_time()
    for _ in range(20):
        assert not fitting("*a" * 127 + "b")("a" * 255)
    assert time.process_time() - began < 1
