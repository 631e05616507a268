"""``understudy serve``, ``init`` and ``token``: the control device itself. Apart from the commands that use its API,
and the only part of the command line that imports ``infra`` (when it runs, not before).
"""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

import click

from api.cli.exit_codes import ExitCode
from api.cli.remote.errors import CommandFailed, tell_and_exit, usage

CONFIG_NAME = "understudy.toml"
CONFIG = """\
# The control device's settings; see docs/cli.md. Relative paths are relative to this file's directory.

[store]
path = "events.db"

[listen]
{listen}

# Where the private keys for the clusters' gateways are; 'client_key_file' of a cluster is a name in it.
[keys]
directory = {keys}

# Name of a token (the actor of the events) = SHA-256 of the token. Another one: understudy token NAME
[tokens]
{name} = "{digest}"
"""


@click.command()
@click.option(
    "--config", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The settings file (see 'init')."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def serve(config: Path, log_level: str) -> None:
    """Run the control device until SIGTERM or SIGINT. Logs are JSON lines on standard error."""
    from api.main import run
    from domain.errors import InvalidInput, Unavailable, UnderstudyError

    try:
        run(config, log_level)
    except InvalidInput as error:
        raise usage(error.code, error.message, error.remedy) from None
    except UnderstudyError as error:
        code = ExitCode.UNAVAILABLE if isinstance(error, Unavailable) else ExitCode.REFUSED
        tell_and_exit(CommandFailed(code, error.code, error.message, remedy=error.remedy))


@click.command()
@click.option(
    "--directory",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the settings and the store shall lie; made if it is not there.  [default: the present one]",
)
@click.option("--name", default=None, help="Name of the token: the actor of what is done with it.  [default: you]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Loopback port of the API; 0 takes any.")
@click.option("--socket", "with_socket", is_flag=True, help="Answer on a Unix socket in the directory, not on a port.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Put the token there (mode 0600).")
@click.option(
    "--keys",
    default="keys",
    show_default=True,
    help="Directory of the private keys for gateways; made if it is not there. In the settings' directory, or a path.",
)
def init(
    directory: Path, name: str | None, port: int | None, with_socket: bool, token_file: Path | None, keys: str
) -> None:
    """Write first settings and make a token. The token is shown once; only its hash is kept."""
    from api.access import new_token, token_hash
    from infra.settings import Listen

    if with_socket and port is not None:
        raise usage("TWO_ADDRESSES", "both --port and --socket are given.", "Give one of them.")
    name = name or getpass.getuser()
    _check_token_name("--name", name)
    token = new_token()
    listen = Listen(port=Listen.port if port is None else port)
    text = 'socket = "api.sock"' if with_socket else f'host = "{listen.host}"\nport = {listen.port}'
    for made in (directory, directory / keys):
        try:
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise usage("NOT_WRITABLE", f"{made} cannot be made: {error.strerror}.", "Name another place.") from None
    config = directory / CONFIG_NAME
    if config.exists():
        raise usage("EXISTS", f"{config} exists already.", "Name another place, or move it away.")
    if token_file:  # first: without its token the settings would be worth nothing
        _write_private(token_file, token + "\n")
    _write_private(
        config, CONFIG.format(listen=text, keys=json.dumps(keys), name=f'"{name}"', digest=token_hash(token))
    )
    click.echo(f"settings: {config}")
    if token_file:
        click.echo(f"token of {name}: in {token_file}")
    else:
        click.echo(f"token of {name}, shown this once: {token}")
    click.echo(f"Start the control device: understudy serve --config {config}")


@click.command()
@click.argument("name")
def token(name: str) -> None:
    """Make another token, and the line for it in the settings file ([tokens]); shown this once."""
    from api.access import new_token, token_hash

    _check_token_name("NAME", name)
    made = new_token()
    click.echo(f"token of {name}, shown this once: {made}")
    click.echo(f'line for [tokens], read at the next start: "{name}" = "{token_hash(made)}"')


def _check_token_name(field: str, name: str) -> None:
    from domain.errors import InvalidInput
    from domain.values.names import check_name

    try:
        check_name(field, name)
    except InvalidInput as error:
        raise usage(error.code, error.message, error.remedy) from None


def _write_private(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise usage("EXISTS", f"{path} exists already.", "Name another place, or move it away.") from None
    except OSError as error:
        raise usage("NOT_WRITABLE", f"{path} cannot be written: {error.strerror}.", "Check the directory.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
