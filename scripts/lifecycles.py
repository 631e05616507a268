"""Draws docs/lifecycles.md from the tables of rules: ``python -m scripts.lifecycles`` writes it, ``--check`` compares.

The tables are the specification and the page follows them, so a diagram never says anything that the code does not do.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from domain.pair.identity import Member
from domain.pair.pair import ClusterPair
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import Copy
from domain.protection.pause import Pause
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import Replica
from domain.stateful import Part, Stateful

PAGE = Path(__file__).parent.parent / "docs" / "lifecycles.md"

LIFECYCLES: tuple[tuple[str, type[Stateful] | type[Part]], ...] = (
    ("Backup run", BackupRun),
    ("Copy of one data set, within a backup run", Copy),
    ("Recovery point", RecoveryPoint),
    ("Replica of a service on a cluster", Replica),
    ("Pause of everything, of a cluster or of a service", Pause),
    ("Pair of clusters", ClusterPair),
    ("Identity of a cluster, within its pair", Member),
)

HEADER = """# Lifecycles

<!-- Written by scripts/lifecycles.py from the tables of rules; a test keeps it fresh. -->

Every arrow is a rule: the trigger, and the event that is recorded. What is not drawn here is refused with NOT_IN_STATE.
Facts are events that leave the state as it is.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEADER, *(line for name, machine in LIFECYCLES for line in _section(name, machine))])


def _section(name: str, machine: type[Stateful] | type[Part]) -> Iterator[str]:
    first_sentence = (inspect.getdoc(machine) or "").split("\n\n")[0].replace("\n", " ")
    yield from (f"## {name}", "", first_sentence, "", "```mermaid", "stateDiagram-v2")
    yield f"    [*] --> {machine.INITIAL_STATE}"
    for rule in machine.RULES:
        for source in rule.sources:
            yield f"    {source} --> {rule.target}: {rule.trigger} / {rule.event}"
    leaving = {source for rule in machine.RULES for source in rule.sources}
    arriving = {rule.target for rule in machine.RULES}
    yield from (f"    {state} --> [*]" for state in machine.STATES if state in arriving and state not in leaving)
    yield "```"
    unused = [s for s in machine.STATES if s not in arriving | leaving | {machine.INITIAL_STATE}]
    if unused:
        yield from ("", f"No rule leads to {', '.join(unused)} yet.")
    yield ""
    if issubclass(machine, Stateful) and machine.ALLOWED_IN:
        yield from ("| fact | can be recorded in |", "|---|---|")
        yield from (f"| {fact} | {', '.join(states)} |" for fact, states in machine.ALLOWED_IN.items())
        yield ""


def main() -> int:
    """Write the page, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw docs/lifecycles.md from the tables of rules.")
    parser.add_argument("--check", action="store_true", help="only say whether the page is fresh")
    if parser.parse_args().check:
        fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        if not fresh:
            print("docs/lifecycles.md is out of date: run python -m scripts.lifecycles", file=sys.stderr)
        return 0 if fresh else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
