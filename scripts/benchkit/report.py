"""Tell the ratios: as a table on the screen, as JSON, and in docs/benchmarks.md between its markers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.benchkit.measuring import Round, Row, Spread

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEADINGS = ("row", "work", "instead of", "product s", "instead s", "times faster (least to most)", "goal", "reached")


def told(row: Row, rounds: Sequence[Round]) -> dict[str, Any]:
    """Everything about a measured row, as JSON keeps it."""
    ratio = Spread.of([one.ratio for one in rounds])
    return {
        "row": row.name,
        "work": row.work,
        "instead": row.instead,
        "goal": row.goal,
        "ratio": asdict(ratio),
        "product_seconds": asdict(Spread.of([one.product.seconds for one in rounds])),
        "rival_seconds": asdict(Spread.of([one.rival.seconds for one in rounds])),
        "reached": ratio.median >= row.goal,
        "rounds": [asdict(one) for one in rounds],
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory_gib": round(memory / (1 << 20)),
        "load_before": os.getloadavg()[0],
    }


def merge(path: Path, results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Keep results in a JSON file, in place of earlier ones of the same rows; returns all that it has."""
    kept: dict[str, dict[str, Any]] = {}
    if path.exists():
        kept = {one["row"]: one for one in json.loads(path.read_text())}
    kept |= {one["row"]: dict(one) for one in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    return list(kept.values())


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(_line(one) for one in results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _line(result: Mapping[str, Any]) -> tuple[str, ...]:
    ratio = result["ratio"]
    return (
        result["row"],
        result["work"],
        result["instead"],
        f"{result['product_seconds']['median']:.2f}",
        f"{result['rival_seconds']['median']:.2f}",
        f"**{ratio['median']:.1f}** ({ratio['least']:.1f} to {ratio['most']:.1f})",
        f"{result['goal']:g}",
        "yes" if result["reached"] else "no",
    )


def write(document: Path, text: str) -> None:
    """Put a text between the markers of a document; raises ValueError where these are not."""
    content = document.read_text()
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no place for what was measured: {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
