"""Fixtures of the tests that run on the lab's real clusters; everything in this folder has the mark ``lab``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.cli.remote.connection import Options, connection
from api.cli.remote.transport import ApiClient
from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.hbase_pair import RealTables
from tests.lab.product import Product, forget_earlier_pairs

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, up: brought up if it is not; left up, because whoever runs the tests decides about that."""
    found = Lab.load()
    found.up(print)
    return found


@pytest.fixture
def cluster_a(lab: Lab) -> Cluster:
    return lab.cluster("a")


@pytest.fixture
def cluster_b(lab: Lab) -> Cluster:
    return lab.cluster("b")


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes names for directories, tables and snapshots that no other test, and no other run, has: ``prefix-…``."""

    def make(prefix: str) -> str:
        return f"{prefix}-{secrets.token_hex(4)}"

    return make


@pytest.fixture(scope="module")
def product(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A control device of its own with a formed pair over the lab's clusters."""
    forget_earlier_pairs(lab)
    made = Product(lab, tmp_path_factory.mktemp("product"))
    made.install()
    made.start()
    try:
        made.form_pair()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def client(product: Product) -> ApiClient:
    """The API of the control device, without a process for each command."""
    return ApiClient(connection(Options(), product.environment))


@pytest.fixture(scope="module")
def pair(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTables]:
    """Both clusters' HBase with the procedures between them; what is made with it is removed with it."""
    made = RealTables(lab, tmp_path_factory.mktemp("hbase"))
    yield made
    made.close()


@pytest.fixture
def run(pair: RealTables) -> str:
    """A name for a run of tables; others are made from it."""
    return f"us-{pair.source.name('run')}".replace("_", "-")
