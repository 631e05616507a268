"""Verification: the commands that compare both sides by hand against the state VERIFYING of a run that moved all."""

from __future__ import annotations

import secrets

from scripts.benchkit.measuring import BenchFailed, Row, Side
from scripts.benchkit.world import World, spent

MEBIBYTE = 1 << 20


class _Verification(Row):
    level = ""

    def contents(self) -> list[tuple[str, bytes]]:
        raise NotImplementedError

    def check(self) -> Side:
        raise NotImplementedError

    def prepare(self, number: int) -> None:
        self.mark = World.mark()
        self.path = f"/data/{self.mark}"
        self.world.make_directory(self.path, self.contents())
        self.world.protect(self.mark, (self.path,), (), "--verification", self.level)
        self.page = self.world.back_up(self.mark)

    def product(self) -> Side:
        verified = self.page["verification"]["data_sets"]
        if any(one["content"]["verdict"] != "EQUAL" for one in verified.values()):
            raise BenchFailed("the verification finds a difference")
        return Side(spent(self.page)["VERIFYING"])

    def rival(self) -> Side:
        return self.check()

    def finish(self) -> None:
        self.world.forget(self.world.a, self.path)
        self.world.forget(self.world.b, self.path)

    @property
    def frozen(self) -> str:
        """The snapshot that both sides compare."""
        return f"{self.path}/.snapshot/{self.page['snapshot']}"


class AllChecksums(_Verification):
    name = "checksums"
    work = "verification of the stored checksums of 1,000 files"
    instead = "hdfs dfs -checksum over all files, both sides at once"
    goal = 5.0
    level = "checksum"

    def contents(self) -> list[tuple[str, bytes]]:
        count = 100 if self.is_small else 1000
        return [(f"d{number % 10}/f{number}", secrets.token_bytes(4096)) for number in range(count)]

    def check(self) -> Side:
        world, words = self.world, f"hdfs dfs -checksum {self.frozen}/d*/f*"
        done = world.together(lambda: world.command(world.a, words), lambda: world.command(world.b, words))
        sums = [sorted(line.split()[-1] for line in one.output.splitlines() if "MD5-of" in line) for one in done]
        if sums[0] != sums[1] or len(sums[0]) != len(self.contents()):
            raise BenchFailed(f"the checksums differ: {len(sums[0])} and {len(sums[1])}")
        return Side(max(one.ended for one in done) - min(one.began for one in done))


class AllBytes(_Verification):
    name = "bytes"
    work = "verification of all bytes of 512 MiB in 16 files"
    instead = "hdfs dfs -cat of all files, both sides at once"
    goal = 2.0
    level = "bytes"

    def contents(self) -> list[tuple[str, bytes]]:
        size = 2 if self.is_small else 32
        return [(f"f{number}", secrets.token_bytes(MEBIBYTE) * size) for number in range(16)]

    def check(self) -> Side:
        world = self.world
        words = f"{self.frozen}/f*"
        done = world.together(lambda: world.digest(world.a, words), lambda: world.digest(world.b, words))
        if done[0].output != done[1].output:
            raise BenchFailed("the bytes differ")
        return Side(max(one.ended for one in done) - min(one.began for one in done))
