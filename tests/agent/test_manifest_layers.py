"""Manifests as layers: the same bytes come back, whatever changed, and nothing else is taken for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.agent.core.hdfs_entries import path_key
from infra.agent.core.manifest_layers import (
    MOST_LAYERS,
    LayerDamaged,
    Sizes,
    apply,
    compressed,
    delta,
    header,
    lines_of,
    read,
)
from infra.agent.protocol import canonical

names = st.sampled_from(["a", "b", "é", "a b", ',"w":true', "z\n"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
entries = st.fixed_dictionaries({"m": st.integers(0, 2)}, optional={"w": st.just(True)})
manifests = st.dictionaries(paths, entries, max_size=12)


def lines(manifest: dict[str, dict[str, Any]]) -> list[bytes]:
    ordered = sorted(manifest, key=path_key)
    return [canonical({"p": path, **manifest[path]}) + b"\n" for path in ordered]


def sha256(of: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(of)).hexdigest()


def layered(history: Sequence[list[bytes]]) -> list[bytes]:
    layers, below, known = [], None, list[bytes]()
    for manifest in history:
        made = sha256(manifest)
        layers.append(b"".join(compressed([header(below, len(manifest), made), *delta(known, manifest)])))
        below, known = made, manifest
    return layers


def pieces(layer: bytes, size: int = 7) -> list[bytes]:
    return [layer[at : at + size] for at in range(0, len(layer), size)]


@settings(deadline=None)
@given(st.lists(manifests, min_size=1, max_size=4))
def test_every_manifest_of_a_history_comes_back(history: list[dict[str, Any]]) -> None:
    manifests = [lines(manifest) for manifest in history]
    layers = layered(manifests)
    for number, manifest in enumerate(manifests, 1):
        assert list(read([pieces(layer) for layer in layers[:number]], sha256(manifest))) == manifest


def test_what_was_moved_in_the_run_before_is_no_change() -> None:
    before = lines({"a": {"m": 1}, "b": {"m": 1, "w": True}, "c": {"m": 1, "w": True}, "d": {"m": 1}})
    after = lines({"a": {"m": 1}, "b": {"m": 1}, "c": {"m": 1}, "d": {"m": 2, "w": True}})
    assert list(delta(before, after)) == [b"=1\n", b"~2\n", b"-1\n", after[-1]]
    assert list(delta(before, before)) == [b"=4\n"]
    assert list(delta(before, [])) == [b"-4\n"]


BEFORE = lines({"a": {"m": 1}, "b": {"m": 1}})
AFTER = lines({"a": {"m": 1}, "c": {"m": 1}})


@pytest.mark.parametrize(
    "layer", [[b"=1\n"], [b"=3\n"], [b"=2"], [b"*2\n"], [b"=x\n"], [b"=\n"], [b"= 2\n"], [b"\n"], [b"=-2\n"]]
)
def test_a_layer_that_does_not_fit_is_refused(layer: list[bytes]) -> None:
    with pytest.raises(LayerDamaged):
        list(apply(BEFORE, layer))


def test_another_manifest_is_never_taken_for_it() -> None:
    first, second = layered([BEFORE, AFTER])
    for layers, wanted in (
        ([first], sha256(AFTER)),
        ([second], sha256(AFTER)),
        ([first, first], sha256(BEFORE)),
        ([second, first], sha256(AFTER)),
        ([first, second], sha256(BEFORE)),
        ([], sha256([])),
        ([b"".join(compressed([b"[]\n"]))], sha256([])),
        ([b"".join(compressed([b"{\n"]))], sha256([])),
    ):
        with pytest.raises(LayerDamaged):
            list(read([pieces(layer) for layer in layers], wanted))


def test_a_layer_that_says_what_it_is_not_is_refused() -> None:
    lying = b"".join(compressed([header(None, 2, sha256(AFTER)), *delta([], BEFORE)]))
    with pytest.raises(LayerDamaged, match="another manifest"):
        list(read([[lying]], sha256(AFTER)))


@pytest.mark.parametrize("cut", range(0, 80, 8))
def test_what_is_cut_altered_or_followed_by_something_is_refused(cut: int) -> None:
    (layer,) = layered([BEFORE])
    altered = layer[:cut] + bytes([layer[cut] ^ 0x55]) + layer[cut + 1 :]
    for damaged in (layer[:cut], altered, layer + b"x"):
        with pytest.raises(LayerDamaged):
            list(read([pieces(damaged)], sha256(BEFORE)))


def test_little_is_in_memory_whatever_a_layer_grows_to() -> None:
    bomb = compressed(b"%d" % number * 1_000 + b"\n" for number in range(100_000))
    first = next(lines_of(bomb))
    assert len(first) == 1_001
    with pytest.raises(LayerDamaged, match="without end"):
        list(lines_of(compressed([b"0" * 1_000] * 20_000)))


def test_a_new_whole_one_is_due_when_deltas_have_grown() -> None:
    assert not Sizes((1_000,)).should_be_whole
    assert not Sizes((1_000, 100, 150)).should_be_whole
    assert Sizes((1_000, 100, 151)).should_be_whole
    assert Sizes((1_000, *[1] * (MOST_LAYERS - 1))).should_be_whole
