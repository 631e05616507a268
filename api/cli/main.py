"""The program ``understudy``: the control device (``serve``, ``init``), an administrator's script, and the API's user.

Commands are imported when they are used: scripts call this program often, and most of it is not needed each time.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from api.cli.remote.connection import DEFAULT_URL, Options
from api.cli.remote.session import Session, TellingGroup

EPILOG = (
    "Exit codes: 0 done; 1 refused; 2 wrong use; 3 the control device or a cluster cannot be reached;"
    " 4 a run or a check failed; 5 a person has to decide; 130 interrupted. See docs/cli.md."
)
COMMANDS = {
    "init": "serve:init",
    "token": "serve:token",
    "serve": "serve:serve",
    "setup-script": "setup_script:setup_script",
    "cluster": "remote.clusters:cluster",
    "pair": "remote.pairs:pair",
    "service": "remote.services:service",
    "policy": "remote.policies:policy",
    "plan": "remote.plan:plan",
    "backup": "remote.backup:backup",
    "runs": "remote.runs:runs",
    "run": "remote.runs:run",
    "recovery-points": "remote.recovery_points:recovery_points",
    "recovery-point": "remote.recovery_points:recovery_point",
    "open": "remote.recovery_points:open_one",
    "close": "remote.recovery_points:close",
    "pause": "remote.pauses:pause",
    "resume": "remote.pauses:resume",
    "pauses": "remote.pauses:pauses",
    "refusals": "remote.refusals:refusals",
}


class Commands(TellingGroup):
    """Finds commands in ``COMMANDS``, in that order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: Any = getattr(import_module(f"api.cli.{module}"), name)
        assert isinstance(found, click.Command), COMMANDS[cmd_name]
        return found


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", help=f"Address of the API (or UNDERSTUDY_URL).  [default: {DEFAULT_URL}]")
@click.option("--socket", help="Unix socket of the API, in place of an address (or UNDERSTUDY_SOCKET).")
@click.option("--token-file", help="File that holds the token (or UNDERSTUDY_TOKEN, UNDERSTUDY_TOKEN_FILE).")
@click.option("--insecure", is_flag=True, help="Send the token to another host without TLS (or UNDERSTUDY_INSECURE=1).")
@click.version_option(package_name="understudy", prog_name="understudy", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, url: str | None, socket: str | None, token_file: str | None, insecure: bool) -> None:
    """Back up whole services between two Hadoop clusters, as of one moment, with evidence."""
    context.obj = Session(Options(url, socket, token_file, insecure))
