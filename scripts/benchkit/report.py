"""Tell the ratios and series: as tables, as JSON, and in docs/benchmarks.md between its markers."""

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

from scripts.benchkit.growing import Series
from scripts.benchkit.measuring import Round, Row, Spread

MEASURED, GROWN = "measured", "grown"
HEADINGS = ("row", "work", "instead of", "product s", "instead s", "times faster (least to most)", "goal", "reached")


def markers(place: str) -> tuple[str, str]:
    """What stands before and after a part of the document that is written here."""
    return f"<!-- {place}: begin -->", f"<!-- {place}: end -->"


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
        **_circumstances(),
    }


def told_series(series: Series, points: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Everything about a measured series, as JSON keeps it."""
    return {
        "row": series.name,
        "title": series.title,
        "by": series.by,
        "figures": [asdict(one) for one in series.figures],
        "points": list(points),
        **_circumstances(),
    }


def _circumstances() -> dict[str, Any]:
    return {
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


def in_order(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Results in the order of the names; those of rows that are no more come last."""
    places = {name: place for place, name in enumerate(names)}
    return sorted(results, key=lambda one: places.get(one["row"], len(places)))


def circumstances(results: Sequence[Mapping[str, Any]]) -> str:
    """On what, when and at which commits it was measured, in a sentence."""
    days = sorted({one["measured_at"][:10] for one in results})
    commits = sorted({one["commit"] for one in results})
    machines = sorted({_machine_text(one["machine"]) for one in results})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Measured on {'; '.join(machines)}; {when}, at {', '.join(commits)}."


def _machine_text(machine: Mapping[str, Any]) -> str:
    return f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB"


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table."""
    return _markdown([HEADINGS, tuple("---" for _ in HEADINGS), *(_line(one) for one in results)])


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


def facts(results: Sequence[Mapping[str, Any]]) -> str:
    """What else was seen of the product in the rounds, as a Markdown table: the middle figure (least to most)."""
    lines: list[tuple[str, ...]] = [("row", "what", "seen"), ("---", "---", "---")]
    for result in results:
        rounds = [one["product"]["facts"] for one in result["rounds"]]
        for name in rounds[0]:
            spread = Spread.of([float(one[name]) for one in rounds])
            seen = f"{_number(spread.median)} ({_number(spread.least)} to {_number(spread.most)})"
            lines.append((result["row"], name.replace("_", " "), seen))
    return _markdown(lines)


def growth(result: Mapping[str, Any]) -> str:
    """A series as a Markdown table, and what came of its limits."""
    figures = result["figures"]
    lines: list[tuple[str, ...]] = [(result["by"], *(one["label"] for one in figures))]
    lines.append(tuple("---" for _ in lines[0]))
    for point in result["points"]:
        lines.append((f"{point['size']:,}", *(_number(point[one["name"]]) for one in figures)))
    text = _markdown(lines)
    for one in figures:
        if one["limit"] is not None:
            most = max(point[one["name"]] for point in result["points"])
            verdict = "kept" if most < one["limit"] else f"missed by {_number(most - one['limit'])}"
            text += f"\n\nAt most {_number(most)} {one['label']}; the limit of {one['limit']:g} is {verdict}."
    return text


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def write(document: Path, place: str, text: str) -> None:
    """Put a text between the markers of a place in a document; raises ValueError where these are not."""
    content = document.read_text()
    begins, ends = markers(place)
    before, begin, rest = content.partition(begins)
    _, end, after = rest.partition(ends)
    if not begin or not end:
        raise ValueError(f"{document} has no place for what was {place}: {begins} and {ends}")
    document.write_text(f"{before}{begins}\n\n{text}\n\n{ends}{after}")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
