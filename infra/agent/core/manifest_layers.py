"""Source manifests as layers: what did not change since an earlier manifest is not stored again.

A layer is *whole*, or a *delta* to the manifest that the layer below gives. Both are lines, compressed with zlib:

    {"below": null | SHA-256 of the manifest below, "lines": number, "manifest": SHA-256 of this one}
    {…}    a line of the manifest
    =N     the next N lines of the manifest below, as they are
    ~N     the next N lines of it, without ``,"w":true``: what the run before had moved, and this one has not
    -N     leave N lines of it out

A line of a manifest begins with ``{``, so none is taken for an instruction. Both manifests are in the order of their
trees, so they are merged line by line: time and memory do not depend on how much has changed. What is read is compared
with the SHA-256 that was sealed, so a layer that is not the right one is never taken for it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any, Iterable, Iterator, NamedTuple

from infra.agent.core.hdfs_entries import path_key
from infra.agent.core.lines import LONGEST_LINE_BYTES

LEVEL = 6
MOST_LAYERS = 16
WHOLE_SHARE = 0.25
"""Deltas that together are larger than this share of the whole layer below them make way for a new whole one."""
_MOVED = b',"w":true'


class LayerDamaged(ValueError):
    """A layer is not what it should be: another one, cut off, or altered."""


class Sizes(NamedTuple):
    """How large the layers of a manifest are, compressed, the whole one first."""

    sizes: tuple[int, ...]

    @property
    def should_be_whole(self) -> bool:
        """Whether the next layer is to be a whole one."""
        whole, *deltas = self.sizes
        return len(self.sizes) >= MOST_LAYERS or sum(deltas) > WHOLE_SHARE * whole


def header(below: str | None, lines: int, manifest: str) -> bytes:
    """The first line of a layer."""
    return json.dumps({"below": below, "lines": lines, "manifest": manifest}, separators=(",", ":")).encode() + b"\n"


def delta(below: Iterable[bytes], lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a layer that makes ``lines`` of the manifest below; each line ends with a newline."""
    runs = _Runs()
    old_lines, new_lines = iter(below), iter(lines)
    old, new = next(old_lines, None), next(new_lines, None)
    while old is not None or new is not None:
        if old is not None and old == new:
            yield from runs.add(b"=")
            old, new = next(old_lines, None), next(new_lines, None)
            continue
        order = _order(old, new)
        if order == 0 and old is not None and old.replace(_MOVED, b"", 1) == new:
            yield from runs.add(b"~")
            old, new = next(old_lines, None), next(new_lines, None)
            continue
        if order <= 0:
            yield from runs.add(b"-")
            old = next(old_lines, None)
        if order >= 0:
            yield from runs.end()
            assert new is not None
            yield new
            new = next(new_lines, None)
    yield from runs.end()


class _Runs:
    """Puts what is said of neighbouring lines together."""

    def __init__(self) -> None:
        self._sign = b""
        self._count = 0

    def add(self, sign: bytes) -> Iterator[bytes]:
        if sign != self._sign:
            yield from self.end()
        self._sign = sign
        self._count += 1

    def end(self) -> Iterator[bytes]:
        if self._count:
            yield b"%s%d\n" % (self._sign, self._count)
        self._sign, self._count = b"", 0


def _order(old: bytes | None, new: bytes | None) -> int:
    """Which entry comes first in the tree: -1 the old one, 1 the new one, 0 if they are of the same path."""
    if old is None or new is None:
        return 1 if old is None else -1
    mine, other = _key(old), _key(new)
    return int(mine > other) - int(mine < other)


def _key(line: bytes) -> bytes:
    return path_key(json.loads(line)["p"])


def apply(below: Iterable[bytes], layer: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of the manifest that a layer (without its header) makes of the one below; raise ``LayerDamaged``."""
    old = iter(below)
    for line in layer:
        if not line.endswith(b"\n"):
            raise LayerDamaged("it ends within a line")
        if line[:1] == b"{":
            yield line
            continue
        sign, number = line[:1], line[1:-1]
        if sign not in (b"=", b"~", b"-") or not number.isdigit():
            raise LayerDamaged(f"{line[:80]!r} is no line of a layer")
        for _ in range(int(number)):
            kept = next(old, None)
            if kept is None:
                raise LayerDamaged("the manifest below has fewer lines")
            if sign != b"-":
                yield kept.replace(_MOVED, b"", 1) if sign == b"~" else kept
    if next(old, None) is not None:
        raise LayerDamaged("the manifest below has more lines")


def read(layers: Iterable[Iterable[bytes]], manifest: str) -> Iterator[bytes]:
    """The lines of a manifest out of the chunks of its layers, the whole one first; raise ``LayerDamaged``.

    The last lines are given out before the digest is known: whoever acts on them waits for the end.
    """
    lines: Iterator[bytes] = iter(())
    below: str | None = None
    for chunks in layers:
        layer = lines_of(chunks)
        told = _header_of(next(layer, b""))
        if told.get("below") != below:
            raise LayerDamaged("it was made for another manifest below")
        below = told.get("manifest")
        lines = apply(lines, layer)
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
        yield line
    if not below == manifest == digest.hexdigest():
        raise LayerDamaged(f"the layers give another manifest than {manifest}")


def _header_of(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict) or set(told) != {"below", "lines", "manifest"}:
        raise LayerDamaged("it has no header")
    return told


def compressed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a layer, as they are written."""
    compressor = zlib.compressobj(LEVEL)
    for line in lines:
        chunk = compressor.compress(line)
        if chunk:
            yield chunk
    yield compressor.flush()


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a layer out of its bytes, in bounded memory; raise ``LayerDamaged`` for what was cut or altered."""
    decompressor = zlib.decompressobj()
    left = b""
    for chunk in chunks:
        data = chunk
        while data:
            try:
                text = left + decompressor.decompress(data, 1 << 16)
            except zlib.error as error:
                raise LayerDamaged(str(error)) from error
            data = decompressor.unconsumed_tail
            *whole, left = text.split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(left) > LONGEST_LINE_BYTES:
                raise LayerDamaged("it has a line without end")
    if left or not decompressor.eof or decompressor.unused_data:
        raise LayerDamaged("it is cut off, or something follows it")
