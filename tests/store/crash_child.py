"""Streams commands into a store and says which were acknowledged, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID, uuid5

from infra.store.store import open_store
from tests.contracts.store_means import begun, count
from tests.store.aggregates import CONTENTS, a_context, counter_id

CALLERS = 16


def command_id(run: str, caller: int, number: int) -> UUID:
    return uuid5(UUID(int=0), f"{run}/{caller}/{number}")


async def main(path: str, run: str) -> None:
    store = open_store(Path(path), CONTENTS)
    if store.term == 1:
        for number in range(CALLERS):
            await begun(store, f"c{number}")

    async def caller(number: int) -> None:
        sent = 0
        while True:
            context = a_context(command_id(run, number, sent))
            await count(store, counter_id(f"c{number}"), 1, context)
            print(context.command_id, number, flush=True)
            sent += 1

    await asyncio.gather(*(caller(n) for n in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
