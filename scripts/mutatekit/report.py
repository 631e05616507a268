"""The table of faults in ``docs/mutations.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.mutatekit.trying import Trial, Verdict

_BEGIN, _END = "<!-- begin of the table -->", "<!-- end of the table -->"


def table(trials: Sequence[Trial]) -> str:
    """A table in Markdown, in the order of the catalogue."""
    lines = ["| fault | where | what it would do | killed by |", "|---|---|---|---|"]
    for trial in trials:
        places = ", ".join(dict.fromkeys(f"`{change.file}`" for change in trial.mutation.changes))
        told = f"`{trial.detail}`" if trial.verdict is Verdict.KILLED else f"**{trial.verdict.value}**: {trial.detail}"
        row = (f"`{trial.mutation.name}`", places, trial.mutation.harm, told)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
    return "\n".join(lines)


def write(document: Path, trials: Sequence[Trial]) -> None:
    """Replace the table in the document between its two marks."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    assert mark, f"{document} has no place for the table"
    killed = sum(trial.verdict is Verdict.KILLED for trial in trials)
    summary = f"{killed} of {len(trials)} faults are noticed."
    document.write_text(f"{before}{_BEGIN}\n\n{summary}\n\n{table(trials)}\n\n{_END}{after}", encoding="utf-8")
