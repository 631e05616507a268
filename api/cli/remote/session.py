"""What every command shares: the client, ``--json``, confirmation, and how an error ends the program."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import click

from api.characters import escaped_json
from api.cli.exit_codes import ExitCode
from api.cli.remote.connection import Options, connection
from api.cli.remote.errors import CommandFailed, tell_and_exit
from api.cli.remote.transport import ApiClient

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Session:
    """One invocation. The client is made when it is first needed, so that ``--help`` needs no token."""

    options: Options = field(default_factory=Options)
    as_json: bool = False

    @functools.cached_property
    def client(self) -> ApiClient:
        """The client for the API."""
        return ApiClient(connection(self.options, os.environ))

    def show(self, value: Any, text: str) -> None:
        """Write the API's own answer with ``--json``, the text otherwise."""
        click.echo(escaped_json(json.dumps(value, indent=2, ensure_ascii=False)) if self.as_json else text)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is destroyed; raise ``CommandFailed`` unless the answer is yes."""
        if yes:
            return
        try:
            agreed = click.confirm(question, err=True)
        except click.Abort:
            click.echo(err=True)  # the input ended on the question's line
            agreed = False
        if not agreed:
            raise CommandFailed(
                ExitCode.REFUSED, "NOT_CONFIRMED", "nothing was done.", remedy="Answer y, or give --yes."
            )


def command(function: Callable[P, R]) -> Callable[..., R]:
    """Hand the session to a command as its first argument, and give the command ``--json``."""

    @click.option("--json", "as_json", is_flag=True, help="Write what the API answers, as JSON.")
    @click.pass_obj
    @functools.wraps(function)
    def run(session: Session, /, *args: Any, as_json: bool, **kwargs: Any) -> R:
        session.as_json = as_json
        return function(session, *args, **kwargs)  # type: ignore[arg-type]

    return run


class TellingGroup(click.Group):
    """The outermost group: errors of the API end the program with one line, a remedy and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            tell_and_exit(error)
        except BrokenPipeError:
            # The reader has gone ('| head'); what was asked for is done or not, but nobody wants to read it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise SystemExit(int(ExitCode.OK)) from None
