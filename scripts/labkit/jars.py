"""The Java artifacts: resolved by Maven from the poms beside this file, copied to where every OS user may read them.

``<lab>/jars/pool`` holds each jar once; ``<lab>/jars/<family>.cp`` is the class path of a family (hdfs, httpfs, hbase).
A stamp of the poms' content makes a second run cost nothing; the jars survive ``reset``.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.labkit.errors import LabError

FAMILIES = ("hdfs", "httpfs", "hbase")
POMS = Path(__file__).parent / "java"
MAVEN_TIMEOUT_SECONDS = 900


def ensure_jars(directory: Path, report: Callable[[str], None]) -> None:
    """Make ``directory`` hold the jars and class paths that the poms name.

    Raises LabError when Maven is missing or fails, or when two different jars would have one name.
    """
    wanted = _digest_of_poms()
    stamp = directory / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    report("fetching the Java artifacts with Maven (about 190 MB, once)")
    pool = directory / "pool"
    shutil.rmtree(directory, ignore_errors=True)
    pool.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        _run_maven(Path(scratch))
        for family in FAMILIES:
            sources = [Path(name) for name in (Path(scratch) / f"{family}.cp").read_text().split(":")]
            copies = [_copy_into(pool, source) for source in sources]
            (directory / f"{family}.cp").write_text(":".join(map(str, copies)))
    stamp.write_text(wanted)


def class_path(directory: Path, family: str) -> str:
    return (directory / f"{family}.cp").read_text()


def _digest_of_poms() -> str:
    digest = hashlib.sha256()
    for pom in sorted(POMS.rglob("pom.xml")):
        digest.update(pom.read_bytes())
    return digest.hexdigest()


def _run_maven(class_paths: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise LabError("mvn is missing: apt-get install maven")
    # The poms are copied, so that Maven never writes beside the sources.
    poms = class_paths / "poms"
    shutil.copytree(POMS, poms)
    command = [maven, "--batch-mode", "--quiet", "-Dstyle.color=never", f"-Dclasspaths={class_paths}"]
    done = subprocess.run(
        [*command, "--file", str(poms / "pom.xml"), "dependency:build-classpath"],
        capture_output=True,
        text=True,
        timeout=MAVEN_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if "[ERROR]" in line]
        raise LabError("Maven could not resolve the Java artifacts:\n  " + "\n  ".join(lines[:5] or [done.stderr]))


def _copy_into(pool: Path, source: Path) -> Path:
    copy = pool / source.name
    if copy.exists():
        if copy.stat().st_size != source.stat().st_size:
            raise LabError(f"two different jars are called {source.name}; {source} is one of them")
        return copy
    shutil.copyfile(source, copy)
    copy.chmod(0o644)
    return copy
