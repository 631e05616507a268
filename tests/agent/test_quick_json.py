"""The agent's own way to JSON gives what the standard library's gives."""

from __future__ import annotations

import json
import json.encoder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.quick_json import decode, encoder

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(values, st.booleans())
def test_it_encodes_as_the_library_does_and_reads_it_back(value: Any, sort_keys: bool) -> None:
    encoded = encoder(sort_keys=sort_keys, allow_nan=True)(value)
    assert encoded == json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    assert decode(encoded.encode()) == value


def test_without_the_accelerator_it_encodes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"z": 1, "a": ["é", None, 0.5]}
    quick = encoder(sort_keys=True, allow_nan=False)(value)
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert encoder(sort_keys=True, allow_nan=False)(value) == quick == '{"a":["é",null,0.5],"z":1}'


def test_what_is_no_json_is_refused() -> None:
    strict = encoder(sort_keys=True, allow_nan=False)
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict({"x": float("nan")})
    with pytest.raises(TypeError):
        strict({"x": b"bytes"})


@pytest.mark.parametrize("line", [b"", b"{", b'{"a":1} x', b"\xff"])
def test_a_line_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each is told in other words
        decode(line)
