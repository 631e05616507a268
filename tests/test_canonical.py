"""The control device and the agents write JSON in the very same way, so their digests can be compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values import canonical as control_device
from infra.agent import protocol as agent

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(values)
def test_the_same_bytes(value: Any) -> None:
    try:
        expected = agent.canonical(value)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            control_device.canonical(value)
        return
    assert control_device.canonical(value) == expected
