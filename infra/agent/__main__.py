"""The agent's program: ``understudy-agent.pyz COMMAND --spool DIR``; see ``docs/agent.md`` for the commands.

Exit codes: 0 answered (a refusal is an answer), 2 usage, 70 internal error (the traceback is on standard error).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from typing import Sequence

from infra.agent.core.operations import StartWatchdog
from infra.agent.shell.commands import Commands, ending_quietly, standard_streams
from infra.agent.shell.detaching import own_command
from infra.agent.shell.spool import Spool
from infra.agent.version import agent_version

WITH_SPOOL = ("submit", "look", "adopt", "forget", "facts")


def main(arguments: Sequence[str], command: Sequence[str]) -> int:
    """Run one command; ``command`` is how this program is started again for a detached agent."""
    os.umask(0o077)
    parsed = _parser().parse_args(arguments)
    if parsed.limit is not None:
        signal.alarm(parsed.limit)  # ends this process, and no agent that it has started, when its time is over
    commands = Commands(Spool(getattr(parsed, "spool", "/")), command, *standard_streams())
    try:
        with ending_quietly():
            if parsed.command == "run":
                from infra.agent.shell.carrying import carry_out  # loads all of the agent: the others do without

                outcome = carry_out(Spool(parsed.spool), parsed.id, command, parsed.report_to)
                if parsed.report_to is None:
                    commands.answer(outcome)
            elif parsed.command == "watchdog":
                commands.watchdog(parsed.id, StartWatchdog(parsed.hook, parsed.argument, parsed.after))
            elif parsed.command == "hbase-keeper":
                from infra.agent.shell.hbase_keeper import Address, leave_behind

                leave_behind(Address(parsed.spool, parsed.words), parsed.idle)
            elif parsed.command == "version":
                sys.stdout.write(agent_version() + "\n")
            else:
                getattr(commands, parsed.command)()
    except Exception:  # noqa: BLE001 - the one place where a fault becomes an exit code
        traceback.print_exc()
        return 70
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="understudy-agent")
    parser.add_argument("--limit", type=int, default=None, metavar="SECONDS", help="end after so many seconds")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in WITH_SPOOL:
        commands.add_parser(name).add_argument("--spool", required=True)
    run = commands.add_parser("run")
    run.add_argument("--spool", required=True)
    run.add_argument("--report-to", type=int, default=None, help=argparse.SUPPRESS)
    run.add_argument("id")
    watchdog = commands.add_parser("watchdog")
    watchdog.add_argument("--spool", required=True)
    watchdog.add_argument("--hook", required=True)
    watchdog.add_argument("--argument", required=True)
    watchdog.add_argument("--after", type=int, required=True, metavar="SECONDS")
    watchdog.add_argument("id")
    keeper = commands.add_parser("hbase-keeper")
    keeper.add_argument("--spool", required=True)
    keeper.add_argument("--idle", type=float, required=True, metavar="SECONDS")
    keeper.add_argument("words", nargs="+", metavar="WORD", help="the command that it keeps running")
    commands.add_parser("clock")
    commands.add_parser("version")
    return parser


def program() -> list[str]:
    """The arguments of this process."""
    return sys.argv[1:]


if __name__ == "__main__":
    sys.exit(main(program(), own_command()))
