"""The simulated HBase keeps the contract of the real one's administration process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from tests.contracts.hbase_admin_contract import HBaseAdminContract
from tests.fakes.hbase import FakeHBase
from tests.fakes.hdfs import FakeHdfs
from tests.fakes.virtual_time import VirtualClock


class FakePeer:
    """A simulated HBase as the contract wants it."""

    def __init__(self) -> None:
        self.hbase = FakeHBase(FakeHdfs(VirtualClock()), "a")
        self._numbers = count()

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.hbase.call(request)

    def create_table(self, name: str, families: Sequence[str], splits: Sequence[str]) -> None:
        self.hbase.create_table(name, tuple(families), tuple(splits))

    def put(self, table: str, row: str, value: str) -> None:
        self.hbase.put(table, row, value)

    def disable(self, table: str) -> None:
        self.hbase.disable(table)

    def name(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"


class TestFakeHBase(HBaseAdminContract):
    @pytest.fixture
    def peer(self) -> FakePeer:
        return FakePeer()
