"""First copies of more and more files, and of larger and larger ones: the state STAGING of a run, each file checked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from scripts.benchkit.growing import Figure, Series
from scripts.benchkit.rows.copies import MEBIBYTE, staging
from scripts.benchkit.world import World


class _Copies(Series):
    def contents(self, size: int) -> list[tuple[str, bytes]]:
        raise NotImplementedError

    def measure(self, size: int) -> Mapping[str, float]:
        world, mark = self.world, World.mark()
        path = f"/data/{mark}"
        try:
            world.make_directory(path, self.contents(size))
            world.protect(mark, (path,))
            page = world.back_up(mark)
            world.must_be_equal(path, path)
        finally:
            world.forget(world.a, path)
            world.forget(world.b, path)
        side = staging(page)
        return {"seconds": side.seconds, "verifying": side.parts["VERIFYING"]}


class ByFiles(_Copies):
    name = "files"
    title = "First copy of files of 4 KiB, each checked"
    by = "files"
    figures = (Figure("seconds", "s to copy"), Figure("verifying", "s to verify"))
    sizes = (100, 1_000, 10_000)
    small_sizes = (10, 100)

    def contents(self, size: int) -> list[tuple[str, bytes]]:
        return [(f"d{number % 10}/f{number}", secrets.token_bytes(4096)) for number in range(size)]


class ByBytes(_Copies):
    name = "bytes"
    title = "First copy of one file, checked"
    by = "MiB"
    figures = (Figure("seconds", "s to copy"), Figure("verifying", "s to verify"))
    sizes = (64, 256, 512, 1024)
    small_sizes = (4, 8)

    def contents(self, size: int) -> list[tuple[str, bytes]]:
        return [("large", secrets.token_bytes(MEBIBYTE) * size)]
