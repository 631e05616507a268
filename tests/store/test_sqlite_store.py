"""The SQLite store passes the contract of all stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.store.store import Store, StoreContents, open_store
from tests.contracts.store_contract import StoreContract
from tests.store.aggregates import CONTENTS


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[..., Store]:
        def opened(*, contents: StoreContents = CONTENTS, **options: Any) -> Store:
            return open_store(tmp_path / "store.db", contents, **options)

        return opened
