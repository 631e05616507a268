"""``understudy service``."""

from __future__ import annotations

import click

from api.cli.remote.errors import usage
from api.cli.remote.session import Session, command
from api.cli.remote.text import details, printable, table
from api.cli.remote.transport import path


@click.group()
def service() -> None:
    """Name the data sets that belong together."""


@service.command()
@click.argument("name")
@click.option("--pair", required=True, metavar="PAIR", help="The pair whose primary holds the data.")
@click.option("--hdfs", multiple=True, metavar="PATH", help="An HDFS directory, or a pattern; may be repeated.")
@click.option("--hbase", multiple=True, metavar="TABLE", help="An HBase table, or a pattern; may be repeated.")
@command
def add(session: Session, name: str, pair: str, hdfs: tuple[str, ...], hbase: tuple[str, ...]) -> None:
    """Enter a service, or change its data sets (give all of them: those left out are not protected any more).

    In a pattern, * stands for any characters and ? for one; put it in quotes.
    """
    _enter(session, name, pair, hdfs, hbase, adopts=False)


@service.command()
@click.argument("name")
@click.option("--pair", required=True, metavar="PAIR", help="The pair whose primary holds the data.")
@click.option("--hdfs", multiple=True, metavar="PATH", help="An HDFS directory, or a pattern; may be repeated.")
@click.option("--hbase", multiple=True, metavar="TABLE", help="An HBase table, or a pattern; may be repeated.")
@command
def adopt(session: Session, name: str, pair: str, hdfs: tuple[str, ...], hbase: tuple[str, ...]) -> None:
    """Enter a service whose directories somebody (DistCp) has copied to the secondary before.

    Its first run compares by checksum and copies what differs. What is extra on the secondary is listed, and nothing
    is deleted or replaced before 'run confirm'.
    """
    _enter(session, name, pair, hdfs, hbase, adopts=True)


def _enter(
    session: Session, name: str, pair: str, hdfs: tuple[str, ...], hbase: tuple[str, ...], *, adopts: bool
) -> None:
    data_sets = [{"component": "hdfs", "name": one} for one in hdfs]
    data_sets += [{"component": "hbase", "name": one} for one in hbase]
    if not data_sets:
        raise usage("NO_DATA_SETS", "no data set is named.", "Give --hdfs PATH or --hbase TABLE at least once.")
    wanted = {"name": name, "pair": pair, "data_sets": data_sets, **({"adopts": True} if adopts else {})}
    answer = session.client.post(path("services"), wanted)
    many = f"{len(data_sets)} data set{'s' if len(data_sets) > 1 else ''}"
    then = ", and takes over what stands on the secondary" if adopts else ""
    session.show(answer, f"service {printable(answer['name'])} is entered with {many}{then}.")


@service.command("list")
@command
def list_all(session: Session) -> None:
    """List the services."""
    answer = session.client.get_all(path("services"))
    rows = [
        (item["name"], item["summary"].get("pair_name"), len(item["summary"].get("data_sets", ())))
        for item in answer["items"]
    ]
    session.show(answer, table(("NAME", "PAIR", "DATA SETS"), rows, right=(2,)))


@service.command()
@click.argument("name")
@command
def show(session: Session, name: str) -> None:
    """Show a service with its data sets."""
    answer = session.client.get(path("services", name))
    session.show(answer, details(answer))
