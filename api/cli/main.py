"""The program ``understudy``: the control device (``serve``, ``init``) and the commands that use its API."""

from __future__ import annotations

import click

from api.cli import serve
from api.cli.remote import backup, clusters, pairs, policies, recovery_points, runs, services
from api.cli.remote.connection import DEFAULT_URL, Options
from api.cli.remote.session import Session, TellingGroup

EPILOG = (
    "Exit codes: 0 done; 1 refused; 2 wrong use; 3 the control device or a cluster cannot be reached;"
    " 4 a run or a check failed; 5 a person has to decide; 130 interrupted. See docs/cli.md."
)


@click.group(cls=TellingGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", help=f"Address of the API (or UNDERSTUDY_URL).  [default: {DEFAULT_URL}]")
@click.option("--socket", help="Unix socket of the API, in place of an address (or UNDERSTUDY_SOCKET).")
@click.option("--token-file", help="File that holds the token (or UNDERSTUDY_TOKEN, UNDERSTUDY_TOKEN_FILE).")
@click.pass_context
def main(context: click.Context, url: str | None, socket: str | None, token_file: str | None) -> None:
    """Back up whole services between two Hadoop clusters, as of one moment, with evidence."""
    context.obj = Session(Options(url, socket, token_file))


for member in (
    serve.init,
    serve.serve,
    serve.token,
    clusters.cluster,
    pairs.pair,
    services.service,
    policies.policy,
    backup.backup,
    runs.runs,
    runs.run,
    recovery_points.recovery_points,
    recovery_points.recovery_point,
    recovery_points.open_one,
    recovery_points.close,
):
    main.add_command(member)
