"""``scripts/lab app start | stop | status``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click

from scripts.labkit.application.control import (
    application_runs,
    find_settings,
    progress_of,
    start_application,
    stop_application,
)
from scripts.labkit.application.settings import ApplicationSettings, load_settings
from scripts.labkit.lab import Lab

_DEFAULTS = ApplicationSettings()
_NAME = click.option("--name", default=_DEFAULTS.name, show_default=True, help="Several applications may run.")


@click.group()
def app() -> None:
    """The application that writes to HDFS and HBase all the time."""


@app.command()
@_NAME
@click.option("--cluster", default=_DEFAULTS.cluster, show_default=True)
@click.option("--directory", default=_DEFAULTS.directory, show_default=True, help="Its HDFS directory.")
@click.option("--table", "tables", multiple=True, default=_DEFAULTS.tables, show_default=True, help="Its HBase tables.")
@click.option("--files-per-second", default=_DEFAULTS.files_per_second, show_default=True)
@click.option("--rows-per-second", default=_DEFAULTS.rows_per_second, show_default=True, help="For each table.")
def start(
    name: str,
    cluster: str,
    directory: str,
    tables: tuple[str, ...],
    files_per_second: float,
    rows_per_second: float,
) -> None:
    """Start it; one that was started before goes on where it stopped, with the settings of that time."""
    lab = Lab.load()
    settings = load_settings(lab.layout, name) or ApplicationSettings(
        name=name,
        cluster=cluster.lower(),
        directory=directory,
        tables=tables,
        files_per_second=files_per_second,
        rows_per_second=rows_per_second,
    )
    start_application(lab, settings)
    click.echo(f"application {name} writes; its log: {settings.log_file(lab.cluster(settings.cluster).layout)}")


@app.command()
@_NAME
def stop(name: str) -> None:
    """End it; its data and its log stay."""
    stop_application(Lab.load(), name)


@app.command()
@_NAME
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(name: str, as_json: bool) -> None:
    """Show whether it runs and what was acknowledged."""
    lab = Lab.load()
    settings = find_settings(lab, name)
    running = application_runs(lab, settings)
    progress = progress_of(lab, settings)
    if as_json:
        click.echo(json.dumps({"running": running, "data_sets": [asdict(line) for line in progress]}, indent=2))
        return
    click.echo(f"application {name} is {'running' if running else 'stopped'}")
    for line in progress:
        last = line.last_acknowledged_at
        age = "" if last is None else f", the last {time.time() - last:.1f} s ago"
        click.echo(f"  {line.data_set}: {line.acknowledged} operations acknowledged{age}")
