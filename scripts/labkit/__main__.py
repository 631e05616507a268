"""The command line of the lab: ``scripts/lab COMMAND``."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict

import click
from rich.console import Console

from scripts.labkit.application.commands import app
from scripts.labkit.cluster import Cluster
from scripts.labkit.description import describe_lab
from scripts.labkit.errors import LabError
from scripts.labkit.gateway import client_command
from scripts.labkit.lab import Lab
from scripts.labkit.status import status_of, status_table

_CAPTURE = click.option(
    "--capture-open-files/--no-capture-open-files",
    default=None,
    help="Whether snapshots freeze the length of files open for writing. Hadoop's default, and the lab's at first: no.",
)


@click.group(help=__doc__)
def main() -> None:
    """Collect the commands."""


@main.command()
@_CAPTURE
def up(capture_open_files: bool | None) -> None:
    """Bring up what is down, and wait until all of it is ready."""
    began = time.monotonic()
    Lab.load().up(click.echo, capture_open_files=capture_open_files)
    click.echo(f"the lab is up ({time.monotonic() - began:.1f} s)")


@main.command()
def down() -> None:
    """End every process of the lab; its data stays."""
    began = time.monotonic()
    Lab.load().down(click.echo)
    click.echo(f"the lab is down ({time.monotonic() - began:.1f} s)")


@main.command()
@_CAPTURE
def reset(capture_open_files: bool | None) -> None:
    """Wipe both clusters and bring them up empty."""
    began = time.monotonic()
    Lab.load().reset(click.echo, capture_open_files=capture_open_files)
    click.echo(f"the lab is up, and empty ({time.monotonic() - began:.1f} s)")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(as_json: bool) -> None:
    """Show what runs; the exit code is 0 when everything does."""
    statuses = status_of(Lab.load().layout)
    if as_json:
        click.echo(json.dumps([asdict(line) for line in statuses], indent=2))
    else:
        Console().print(status_table(statuses))
    sys.exit(0 if all(line.state == "running" for line in statuses) else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Accepted for symmetry: the answer is always JSON.")
def describe(as_json: bool) -> None:
    """Print what a client must know: addresses, keys, directories."""
    del as_json
    click.echo(json.dumps(describe_lab(Lab.load().layout), indent=2))


@main.command()
@click.argument("part")
def kill(part: str) -> None:
    """End a part at once, such as a.namenode."""
    cluster, name = _find(part)
    cluster.kill(name)


@main.command()
@click.argument("part")
def pause(part: str) -> None:
    """Stop a part without ending it: it accepts connections and answers nothing."""
    cluster, name = _find(part)
    cluster.pause(name)


@main.command()
@click.argument("part")
def resume(part: str) -> None:
    """Let a paused part go on."""
    cluster, name = _find(part)
    cluster.resume(name)


@main.command()
@click.argument("part")
def start(part: str) -> None:
    """Start a part that is down, and wait until it is ready."""
    cluster, name = _find(part)
    cluster.start(name, report=click.echo)


@main.command("power-off-gateway")
@click.argument("cluster")
def power_off_gateway(cluster: str) -> None:
    """End a gateway with its sessions and all that runs in them, as a power cut does."""
    Lab.load().cluster(cluster).power_off_gateway()


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("cluster")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(cluster: str, command: tuple[str, ...]) -> None:
    """Open the gateway's shell of cluster A or B, or run COMMAND in it."""
    lab = Lab.load()
    arguments = [*client_command(lab.cluster(cluster).layout, lab.layout), *command]
    os.execvp(arguments[0], arguments)


main.add_command(app)


def _find(part: str) -> tuple[Cluster, str]:
    cluster, dot, name = part.partition(".")
    if not dot:
        raise LabError(f"a part is named like a.namenode, not {part!r}")
    return Lab.load().cluster(cluster), name


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        click.echo(f"lab: {error}", err=True)
        sys.exit(1)
