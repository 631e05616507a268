"""A whole service that is written to all the time: what was recovered is compared with the application's own log.

The log knows nothing of Understudy. What was acknowledged before the instants that a snapshot can stand for has to be
in it, and nothing that was sent after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.demokit.proof import compare
from scripts.labkit.application.control import application_runs, start_application, stop_application
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.comparison import DataSetComparison
from scripts.labkit.lab import Lab
from tests.lab.data import allow_snapshots
from tests.lab.product import Product

# Both clusters and the application share one machine: a table's cut takes longer there than on clusters of their own.
POLICY = ("--max-skew-ms", "30000", "--mass-change-percent", "100")


@pytest.fixture
def application(lab: Lab, unique_name: Callable[[str], str]) -> Iterator[ApplicationSettings]:
    """It writes to a directory and to two tables on cluster a until the test ends."""
    name = unique_name("load")
    table = name.replace("-", "_")
    tables = (f"{table}_orders", f"{table}_customers")
    settings = ApplicationSettings(
        name=name, directory=f"/data/{name}", tables=tables, files_per_second=20, region_count=2
    )
    start_application(lab, settings)
    yield settings
    stop_application(lab, name)


def test_a_service_that_is_written_to_is_recovered_as_of_its_moment(
    product: Product, lab: Lab, application: ApplicationSettings
) -> None:
    allow_snapshots(lab.cluster("a"), application.directory)
    product.protect(application.name, (application.directory,), application.tables, POLICY)
    pages = [product.back_up(application.name, way, with_tables=True) for way in ("--push", "--pull")]
    assert application_runs(lab, application), "it wrote all the time"
    first, second = (recovered(product, lab, application, page) for page in pages)
    assert {staged["full"] for staged in pages[1]["staged"].values()} == {False}
    for data_set in (application.directory, *application.tables):
        for found in (first[data_set], second[data_set]):
            assert (found.problems, found.missing, found.extra) == ([], 0, 0)
            assert found.records > 0
        assert 0 < first[data_set].before < second[data_set].before, "more was written between the moments"
        assert second[data_set].after > 0, "and after them"


def recovered(
    product: Product, lab: Lab, application: ApplicationSettings, page: dict[str, Any]
) -> dict[str, DataSetComparison]:
    """A run's recovery point, opened on the secondary, compared with the log: by data set."""
    product.run("open", page["recovery_point"])
    readable = product.ask("recovery-point", "show", page["recovery_point"])["summary"]["readable"]
    found = compare(lab, application, page, readable)
    product.run("close", page["recovery_point"], "--yes")
    return {one.data_set: one for one in found}
