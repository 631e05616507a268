"""``scripts/demo``: exit code 0 only if everything was proved."""

from __future__ import annotations

import signal
import sys

import click

from scripts.demokit.device import DemoFailed
from scripts.demokit.story import Story
from scripts.demokit.telling import Teller
from scripts.labkit.errors import LabError


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything up, to look at it.")
@click.option("--replace", is_flag=True, help="End a demonstration that was kept, and take its place.")
def main(keep: bool, replace: bool) -> None:
    """Back up a whole service between two real clusters, by push and by pull, and prove what was recovered."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    teller = Teller()
    story = Story(teller)
    proved = False
    try:
        if not replace:
            story.refuse_kept()
    except DemoFailed as error:
        teller.problem(f"demo: {error}")
        sys.exit(1)
    try:
        story.tell()
        proved = True
    except (DemoFailed, LabError) as error:
        teller.problem(f"demo: {error}")
    except KeyboardInterrupt:
        teller.problem("demo: interrupted")
    finally:
        story.end(keep=keep)
    if not proved:
        sys.exit(1)
    teller.section("Proved", f"Both recovery points hold exactly what they must. It took {teller.seconds:.0f} s.")


if __name__ == "__main__":
    main()
