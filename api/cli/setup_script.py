"""``understudy setup-script``: prints what a cluster's administrator runs once. Asks nobody; imports ``infra``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from api.cli.remote.errors import usage
from api.main import GatewaySetup, administrators_script

_LACKS = {
    "authorized-key": "nobody can log in as the gateway's user: give the control device's public key",
    "snapshottable": "no directory is made snapshottable: name the data sets' directories, or allow them yourself",
}


def _settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each setting but the cluster's name; their meaning is told in ``GatewaySetup`` and the script."""
    for field in reversed(fields(GatewaySetup)[1:]):
        option = f"--{field.name.replace('_', '-')}"
        if field.name == "snapshottable":
            text = "Directory of a data set that shall allow snapshots; may be repeated."
            function = click.option(option, field.name, multiple=True, metavar="PATH", help=text)(function)
        elif isinstance(field.default, bool):
            function = click.option(f"{option}/--without-hbase", field.name, default=field.default)(function)
        else:
            function = click.option(option, field.name, default=field.default, show_default=True)(function)
    return function


@click.command()
@click.argument("cluster")
@_settings
def setup_script(**settings: Any) -> None:
    """Print the script with which an administrator prepares a cluster's gateway, to be read and then run as root.

    understudy setup-script north --authorized-key "$(cat north.key.pub)" --snapshottable /data/orders > north-setup.sh
    """
    try:
        click.echo(administrators_script(GatewaySetup(**settings)), nl=False)
        for option, lack in _LACKS.items():
            if not settings[option.replace("-", "_")]:
                click.echo(f"note: without --{option} {lack}", err=True)
    except ValueError as error:
        raise usage("BAD_SETTING", f"{error}.", "Correct the option.") from None
