"""Errors as the command line tells them: one line with the code, one with the remedy, and an exit code.

CommandFailed
├── ApiError        the API answered with a problem document
└── Unreachable     it could not be asked, or did not answer as the API does
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import click

from api.cli.exit_codes import ExitCode
from api.cli.remote.text import printable


class CommandFailed(Exception):
    """A command that ended without doing what was asked."""

    def __init__(self, exit_code: ExitCode, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.remedy = remedy


class ApiError(CommandFailed):
    """A problem document; ``status`` is its HTTP status."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(
            _exit_code(status),
            str(document.get("code", "UNKNOWN")),
            str(document.get("detail", f"the API answered with status {status}.")),
            remedy=str(document.get("remedy", "")),
        )
        self.status = status


def _exit_code(status: int) -> ExitCode:
    if status >= 500:
        return ExitCode.UNAVAILABLE
    return ExitCode.USAGE if status == HTTPStatus.UNPROCESSABLE_ENTITY else ExitCode.REFUSED


class Unreachable(CommandFailed):
    """The control device was not reached, or the connection broke and came back with no answer."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            ExitCode.UNAVAILABLE,
            "UNREACHABLE",
            f"the control device does not answer at {where}: {why}.",
            remedy="Is 'understudy serve' running there? --url, --socket or UNDERSTUDY_URL say where.",
        )


def usage(code: str, message: str, remedy: str) -> CommandFailed:
    """Return the error for something that this machine's user has to set right before anything is asked."""
    return CommandFailed(ExitCode.USAGE, code, message, remedy=remedy)


def tell_and_exit(error: CommandFailed) -> NoReturn:
    """Write the error to standard error and end with its exit code."""
    click.echo(f"error {printable(error.code)}: {printable(error.message)}", err=True)
    if error.remedy:
        click.echo(f"remedy: {printable(error.remedy)}", err=True)
    raise SystemExit(int(error.exit_code))
