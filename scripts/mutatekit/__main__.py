"""``scripts/mutate``: try the faults of the catalogue and tell which of them no test notices."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import click

from scripts.mutatekit.catalogue import CATALOGUE
from scripts.mutatekit.mutation import Mutation
from scripts.mutatekit.report import write
from scripts.mutatekit.trying import Copy, Trial, Verdict

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "mutations.md"


@click.command()
@click.option("--list", "lists", is_flag=True, help="Show the faults and try none.")
@click.option("--only", metavar="NAMES", help="Which faults, separated by commas.  [default: all]")
@click.option("--ci", "is_ci", is_flag=True, help="Those that every run of the whole test suite tries.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="How many at once.")
@click.option("--write", "writes", is_flag=True, help="Put the table into docs/mutations.md.")
def main(lists: bool, only: str | None, is_ci: bool, jobs: int, writes: bool) -> None:
    """Put each fault into a copy of the project and run the tests that must notice it; exit 1 unless all do."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = _chosen(only, is_ci)
    if lists:
        for one in chosen:
            click.echo(f"{one.name:40} {one.harm}")
        return
    trials = try_all(chosen, jobs)
    if writes:
        write(DOCUMENT, trials)
    lost = [trial for trial in trials if trial.verdict is not Verdict.KILLED]
    click.echo(f"{len(trials) - len(lost)} of {len(trials)} faults were noticed")
    sys.exit(1 if lost else 0)


def _chosen(only: str | None, is_ci: bool) -> list[Mutation]:
    names = only.split(",") if only else [one.name for one in CATALOGUE]
    unknown = set(names) - {one.name for one in CATALOGUE}
    if unknown:
        raise click.BadParameter(f"there is no fault {', '.join(sorted(unknown))}; see --list", param_hint="--only")
    return [one for one in CATALOGUE if one.name in names and (one.in_ci or not is_ci)]


def try_all(chosen: Sequence[Mutation], jobs: int) -> list[Trial]:
    """Try faults, ``jobs`` at once, each in a copy of its own; exits when their tests fail without any fault."""
    with tempfile.TemporaryDirectory() as directory:
        all_copies = [Copy(PROJECT, Path(directory) / str(number)) for number in range(jobs)]
        copies: SimpleQueue[Copy] = SimpleQueue()
        for each in all_copies:
            copies.put(each)

        def try_one(one: Mutation) -> Trial:
            copy = copies.get()
            try:
                trial = copy.try_one(one)
            finally:
                copies.put(copy)
            click.echo(f"{trial.verdict.value:9} {trial.seconds:6.1f} s  {one.name}: {trial.detail}")
            return trial

        with ThreadPoolExecutor(jobs) as pool:
            try:
                _check_without(copies, chosen)
                return list(pool.map(try_one, chosen))
            finally:
                for each in all_copies:
                    each.stop()  # what is left, if this was given up


def _check_without(copies: SimpleQueue[Copy], chosen: Sequence[Mutation]) -> None:
    """A fault is only noticed by a test that passes without it."""
    copy = copies.get()
    said = copy.check(sorted({test for one in chosen for test in one.tests}))
    copies.put(copy)
    if said is not None:
        click.echo(said, err=True)
        click.echo("the tests do not pass without any fault: nothing was tried", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
