"""The application's log tells the truth about real clusters, also when they fail under it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from scripts.labkit.application.control import (
    application_runs,
    progress_of,
    start_application,
    stop_application,
)
from scripts.labkit.application.log import read_log
from scripts.labkit.application.settings import ApplicationSettings
from scripts.labkit.comparison import Window, compare_data_set, recovered_files, recovered_rows
from scripts.labkit.errors import LabError
from scripts.labkit.lab import Lab
from scripts.labkit.processes import poll


@pytest.fixture
def settings(lab: Lab, unique_name: Callable[[str], str]) -> Iterator[ApplicationSettings]:
    name = unique_name("app")
    chosen = ApplicationSettings(
        name=name, cluster="b", directory=f"/data/{name}", tables=(name,), files_per_second=30, large_file_every=40
    )
    start_application(lab, chosen)
    yield chosen
    stop_application(lab, name)
    cluster = lab.cluster("b")
    cluster.webhdfs("hdfs").delete(chosen.directory, recursive=True)
    with cluster.hbase() as connection:
        connection.delete_table(name, disable=True)


def acknowledged(lab: Lab, settings: ApplicationSettings) -> dict[str, int]:
    return {line.data_set: line.acknowledged for line in progress_of(lab, settings)}


def wait_for_more(lab: Lab, settings: ApplicationSettings, count: int) -> None:
    """Until every data set has ``count`` more acknowledgements than now."""
    goal = {data_set: number + count for data_set, number in acknowledged(lab, settings).items()}

    def reached() -> bool:
        now = acknowledged(lab, settings)
        return all(now[data_set] >= number for data_set, number in goal.items())

    assert poll(reached, within_seconds=60)


def problems_now(lab: Lab, settings: ApplicationSettings, window: Window) -> list[str]:
    cluster = lab.cluster(settings.cluster)
    log = read_log(settings.log_file(cluster.layout))
    files = recovered_files(cluster.webhdfs("app"), settings.directory)
    problems = compare_data_set(settings.directory, log[settings.directory], files, window).problems
    with cluster.hbase() as connection:
        for table in settings.tables:
            rows = recovered_rows(connection, table)
            problems += compare_data_set(table, log[table], rows, window).problems
    return problems


def test_what_was_acknowledged_is_there_after_outages_and_a_restart(lab: Lab, settings: ApplicationSettings) -> None:
    cluster = lab.cluster(settings.cluster)
    wait_for_more(lab, settings, 60)
    cluster.kill("datanode")
    cluster.start("datanode")
    wait_for_more(lab, settings, 10)
    cluster.kill("thrift")
    cluster.start("thrift")
    wait_for_more(lab, settings, 10)
    stop_application(lab, settings.name)
    assert not application_runs(lab, settings)
    start_application(lab, settings)
    wait_for_more(lab, settings, 10)
    stop_application(lab, settings.name)
    now = time.time()
    assert problems_now(lab, settings, Window(now, now)) == []
    # The same contents are wrong for another instant: the comparison can fail here too.
    assert problems_now(lab, settings, Window(now - 3600, now - 3599)) != []


def test_the_table_has_several_regions(lab: Lab, settings: ApplicationSettings) -> None:
    with lab.cluster(settings.cluster).hbase() as connection:
        assert len(connection.table(settings.tables[0]).regions()) == settings.region_count


def test_a_foreign_file_shows_in_the_comparison(lab: Lab, settings: ApplicationSettings) -> None:
    stop_application(lab, settings.name)
    cluster = lab.cluster(settings.cluster)
    client = cluster.webhdfs("app")
    client.write(f"{settings.directory}/foreign", data=b"something else")
    now = time.time()
    problems = problems_now(lab, settings, Window(now, now))
    assert any(problem.startswith("foreign: damaged") for problem in problems)


def test_an_unknown_application_is_named(lab: Lab) -> None:
    with pytest.raises(LabError, match="there is no application 'nobody'"):
        stop_application(lab, "nobody")
