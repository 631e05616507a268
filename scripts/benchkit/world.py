"""What rows work with: the lab, a control device with its pair, data, and the commands of the rivals."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.data import allow_snapshots
from tests.lab.product import ENDED, Product, forget_earlier_pairs

WRITERS = 8
BLOCK_BYTES = 128 << 20
RIVAL_SECONDS = 900
HEAP = "-Xmx640m"
ROOT = Path(__file__).parents[2]


class CommandFailed(Exception):
    """A command or a run ended with an error, after ``seconds``."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True)
class Done:
    """A command that has ended well; instants are seconds since the epoch."""

    began: float
    ended: float
    output: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class World:
    """The lab with one control device over it."""

    def __init__(self, directory: Path) -> None:
        self.lab = Lab.load()
        self.directory = directory
        self.a: Cluster = self.lab.cluster("a")
        self.b: Cluster = self.lab.cluster("b")
        self._product: Product | None = None

    @staticmethod
    def mark() -> str:
        """A name that nobody has used."""
        return f"bench{secrets.token_hex(4)}"

    @property
    def product(self) -> Product:
        """The control device with a formed pair, started when it is first needed."""
        if self._product is None:
            forget_earlier_pairs(self.lab)
            self._product = Product(self.lab, self.directory)
            self._product.install()
            self._product.start()
            self._product.form_pair()
        return self._product

    def close(self) -> None:
        """End the control device."""
        if self._product is not None:
            self._product.stop()

    # The product's side

    def protect(self, service: str, hdfs: tuple[str, ...] = (), hbase: tuple[str, ...] = (), *policy: str) -> None:
        """A service with one policy that gives two cores time to cut; applications may replace anything."""
        self.product.protect(service, hdfs, hbase, ("--max-skew-ms", "60000", "--mass-change-percent", "100", *policy))

    def run(self, service: str, *options: str) -> tuple[dict[str, Any], float]:
        """The page of a completed run, and the seconds from the command to the recovery point."""
        began = time.monotonic()
        run = self.product.begin(service, *options)
        page = self.product.wait_for_state(run, *ENDED)
        seconds = time.monotonic() - began
        if page["state"] != "COMPLETED":
            raise CommandFailed(f"run {run} {page['state']}: {page['failure']}", seconds)
        return page, seconds

    def back_up(self, service: str) -> dict[str, Any]:
        """The page of a completed run; its moment lies as far ahead as the checks need."""
        return self.product.back_up(service, with_tables=True)

    # Data

    def make_directory(self, path: str, files: Iterable[tuple[str, bytes]]) -> None:
        """A directory of the application that allows snapshots."""
        client = self.a.webhdfs("hdfs")
        client.makedirs(path)
        client.set_owner(path, owner="app", group="app")
        self.write(path, files)
        allow_snapshots(self.a, path)

    def write(self, path: str, files: Iterable[tuple[str, bytes]]) -> None:
        """Write files of a directory, several at once."""

        def put(file: tuple[str, bytes]) -> None:
            name, content = file
            self.a.webhdfs("app").write(f"{path}/{name}", data=content, overwrite=True, blocksize=BLOCK_BYTES)

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(put, files))

    def forget(self, cluster: Cluster, path: str) -> None:
        """Delete a directory with its snapshots."""
        client = cluster.webhdfs("hdfs")
        if client.status(path, strict=False) is None:
            return
        if client.status(f"{path}/.snapshot", strict=False) is not None:
            for name in client.list(f"{path}/.snapshot"):
                client.delete_snapshot(path, name)
        client.delete(path, recursive=True)

    # The rivals' side

    def command(self, cluster: Cluster, words: str, user: str = "hdfs") -> Done:
        """Run a command of Hadoop or HBase as an operator's script does, start of the JVM included."""
        program, *arguments = words.split()
        environment = {**os.environ, "HADOOP_USER_NAME": user, "HADOOP_CLIENT_OPTS": HEAP, "HBASE_OPTS": HEAP}
        began = time.time()
        done = subprocess.run(
            [str(cluster.layout.bin / program), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=RIVAL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"{words}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        return Done(began, time.time(), done.stdout + done.stderr)

    def digest(self, cluster: Cluster, words: str) -> Done:
        """Read files with ``hdfs dfs -cat`` and hash them."""
        program = cluster.layout.bin / "hdfs"
        environment = {**os.environ, "HADOOP_USER_NAME": "hdfs", "HADOOP_CLIENT_OPTS": HEAP}
        began = time.time()
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; '{program}' dfs -cat '{words}' | sha256sum"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=RIVAL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"hdfs dfs -cat {words}: {done.stderr[-3000:]}")
        return Done(began, time.time(), done.stdout)

    @contextmanager
    def started(self, words: Sequence[str], options: str) -> Iterator[subprocess.Popen[str]]:
        """A rival's command whose output is read while it runs, with JVM options; it is ended at the end."""
        environment = {**os.environ, "HADOOP_USER_NAME": "hdfs", "HADOOP_CLIENT_OPTS": options}
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def together(self, *commands: Callable[[], Done]) -> list[Done]:
        """Run commands at the same time, as a script with ``&`` and ``wait`` does."""
        with ThreadPoolExecutor(len(commands)) as pool:
            return [future.result() for future in [pool.submit(command) for command in commands]]

    def uri(self, cluster: Cluster, path: str) -> str:
        """A path with its NameNode."""
        return f"{cluster.layout.filesystem_uri}{path}"

    def distcp(self, options: str, source: str, target: str) -> Done:
        """DistCp from a to b, with the settings that serve it best on the lab (docs/benchmarks.md)."""
        return self.command(self.a, f"hadoop distcp {options} {self.uri(self.a, source)} {self.uri(self.b, target)}")

    # Right or wrong

    def must_be_equal(self, source: str, target: str, every: int = 10) -> None:
        """Both trees have the same files with the same lengths, and every tenth has the same stored checksum."""
        trees = [_files(self.a, source), _files(self.b, target)]
        if trees[0] != trees[1] or not trees[0]:
            raise CommandFailed(f"{source} and {target} differ: {len(trees[0])} and {len(trees[1])} files")
        chosen = sorted(trees[0])[::every]
        with ThreadPoolExecutor(WRITERS) as pool:
            sums = [
                list(pool.map(lambda name, c=cluster, p=path: c.webhdfs("hdfs").checksum(f"{p}/{name}"), chosen))
                for cluster, path in ((self.a, source), (self.b, target))
            ]
        if sums[0] != sums[1]:
            raise CommandFailed(f"{source} and {target} differ in their checksums")


def spent(page: Mapping[str, Any]) -> dict[str, float]:
    """The seconds that a run was in each state."""
    return {one["state"]: one["seconds"] for one in page["durations"] if one["seconds"] is not None}


def _files(cluster: Cluster, root: str) -> dict[str, int]:
    client = cluster.webhdfs("hdfs")
    found = {}
    for directory, _, files in client.walk(root, status=True):
        for name, status in files:
            found[f"{directory[0]}/{name}".removeprefix(f"{root}/")] = int(status["length"])
    return found
