"""The SQLite store passes the contract of all stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.store.store import Store, StoreContents, open_store
from tests.contracts.store_contract import StoreContract
from tests.store.aggregates import CONTENTS


async def in_this_thread(call: Callable[[], Any]) -> Any:
    return call()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[..., Store]:
        def opened(*, inline: bool, contents: StoreContents = CONTENTS) -> Store:
            options: dict[str, Any] = {"inline": True, "offload": in_this_thread} if inline else {}
            return open_store(tmp_path / "store.db", contents, **options)

        return opened
