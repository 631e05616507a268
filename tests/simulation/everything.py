"""Ends the control device after every event, and every agent at every operation, each in a story of its own.

The tests do the same in fewer stories. This takes half an hour and is for changes that go deep: ``scripts/simulate``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.simulation.hadoop_pair import Executioner, HadoopWorld
from tests.simulation.test_hadoop_story import PATIENT, check_the_end, story

NEVER = 1 << 40


class Case(NamedTuple):
    """One story: its name, and what goes wrong in it."""

    name: str
    executioner: Executioner
    crash_after: Callable[[int], int | None] = lambda newest: None


def tell(case: Case) -> int:
    """Tell it and check its end; raises what is wrong. Return how many events were recorded."""
    with tempfile.TemporaryDirectory() as directory:
        world = HadoopWorld(Path(directory), case.executioner)
        story(world, **PATIENT).tell(world, case.crash_after)
        check_the_end(world)
        return sum(len(history) for history in world.events().values())


def cases(events: int, operations: int) -> Iterator[Case]:
    """Every case, the control device's first."""
    for position in range(1, events + 1):
        yield Case(f"the control device ends after event {position}", Executioner(NEVER, "after"), _once(position))
    for when in ("before", "after", "torn"):
        for operation in range(1, operations + 1):
            yield Case(f"an agent dies {when} operation {operation}", Executioner(operation, when))


def _once(position: int) -> Callable[[int], int | None]:
    return lambda newest: position if newest < position else None


def main() -> int:
    """Tell the stories; return 1 if one of them ends in another way."""
    parser = argparse.ArgumentParser(prog="simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stride", type=int, default=1, help="tell only every N-th story")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    arguments = parser.parse_args()
    undisturbed = Executioner(NEVER, "after")
    events = tell(Case("nothing goes wrong", undisturbed))
    chosen = list(enumerate(cases(events, undisturbed.count)))[arguments.first :: arguments.stride]
    print(f"{events} events, {undisturbed.count} operations, {len(chosen)} stories", flush=True)
    wrong = 0
    began = time.monotonic()
    for number, (index, case) in enumerate(chosen, 1):
        try:
            tell(case)
        except Exception:  # noqa: BLE001 - the others are told all the same
            wrong += 1
            print(f"story {index}, {case.name}:", traceback.format_exc(limit=-3), sep="\n", flush=True)
        if number % 50 == 0:
            print(f"{number} told, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(chosen)} stories told, {wrong} ended in another way")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
