"""Layers of manifests in the spool: made of two manifests, and joined again."""

from __future__ import annotations

import hashlib
from typing import Any, BinaryIO, Iterator

from infra.agent.core.kept_manifests import JoinLayers, MakeLayer
from infra.agent.core.lines import damaged
from infra.agent.core.manifest_layers import LayerDamaged, compressed, delta, header, read
from infra.agent.shell.work_files import WorkFiles

PIECE_BYTES = 1 << 16


class LayerFiles:
    """Carries out what is asked about layers; memory does not depend on how long a manifest is."""

    def __init__(self, files: WorkFiles) -> None:
        self._files = files

    def make(self, operation: MakeLayer) -> dict[str, Any]:
        """Carry out ``MakeLayer``."""
        count, sha256 = self._facts(operation.manifest)
        below = None if operation.below is None else self._facts(operation.below)[1]
        digest, size = hashlib.sha256(), 0

        def chunks() -> Iterator[bytes]:
            nonlocal size
            for chunk in compressed(self._layer(operation, header(below, count, sha256))):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        self._files.write_whole(operation.target, chunks())
        return {"bytes": size, "sha256": digest.hexdigest()}

    def _layer(self, operation: MakeLayer, first: bytes) -> Iterator[bytes]:
        yield first
        with self._files.reading(operation.manifest) as manifest:
            if operation.below is None:
                yield from manifest
                return
            with self._files.reading(operation.below) as below:
                yield from delta(below, manifest)

    def join(self, operation: JoinLayers) -> dict[str, Any]:
        """Carry out ``JoinLayers``."""
        streams = [self._files.reading(name) for name in operation.layers]
        try:
            size = 0

            def lines() -> Iterator[bytes]:
                nonlocal size
                for line in read([_pieces(stream) for stream in streams], operation.sha256):
                    size += len(line)
                    yield line

            self._files.write_whole(operation.target, lines())
            return {"bytes": size}
        except LayerDamaged as error:
            raise damaged(operation.target, f"its layers are damaged: {error}") from error
        finally:
            for stream in streams:
                stream.close()

    def _facts(self, name: str) -> tuple[int, str]:
        """How many lines a manifest has, and its SHA-256."""
        digest, count = hashlib.sha256(), 0
        with self._files.reading(name) as stream:
            for line in stream:
                digest.update(line)
                count += 1
        return count, digest.hexdigest()


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(PIECE_BYTES), b"")
