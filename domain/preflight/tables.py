"""What the secondary's HBase needs to be able to open a table: its codecs and ciphers, room for its regions, its name.

A snapshot that can be copied and never opened is no backup. HBase opens a snapshot's table by links, files of its own
whose names hold the table's; where such a name is longer than HDFS allows, neither a clone nor a restore can be made,
on no cluster with that limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domain.preflight.finding import REFUSE, Facts, Finding

LONGEST_NAME_BYTES = 255
"""dfs.namenode.fs-limits.max-component-length, where nobody has told another one."""

MOST_TABLES, MOST_REGIONS = "hbase.namespace.quota.maxtables", "hbase.namespace.quota.maxregions"
REGION, FILE = 32, 32
"""Bytes of a region's encoded name, and of a store file's."""


def check(facts: Facts) -> list[Finding]:
    """Refuse a run of a table that the secondary could not open."""
    tables = [value for value in facts.primary.get("data_sets") or () if value.get("component") == "hbase"]
    clones = (facts.secondary.get("hbase") or {}).get("clones") or {}
    cluster = facts.names["secondary"]
    return [finding for table in tables for finding in _judge(table, clones, cluster)]


def _judge(table: Mapping[str, Any], clones: Mapping[str, Any], cluster: str) -> Iterator[Finding]:
    name = str(table["table"])
    for kind, code in (("codecs", "CODEC_MISSING"), ("ciphers", "CIPHER_MISSING")):
        known = clones.get(kind) or {}
        for needed in table.get(kind) or ():
            why = known.get(needed, "this HBase does not know it") if known else None
            if why:
                yield _cannot_read(code, name, needed, cluster, why)
    most, there = clones.get("most_tables"), int(clones.get("tables") or 0)
    if most is not None and there >= most:
        message = (
            f"there are {there} clones on {cluster}, and there may be {most}: {name} could not be tried or opened."
        )
        yield _over_quota(name, message, MOST_TABLES)
    most = clones.get("most_regions")
    if most is not None and int(table.get("regions_count") or 0) > most:
        message = f"{name} has {table['regions_count']} regions, and all clones on {cluster} together may have {most}."
        yield _over_quota(name, message, MOST_REGIONS)
    longest = int(clones.get("longest_name_bytes") or LONGEST_NAME_BYTES)
    if link_bytes(name) > longest:
        message = f"links to the files of {name} have names of {link_bytes(name)} bytes, and HDFS allows {longest}"
        remedy = "Copy it to a table of a shorter name, or raise dfs.namenode.fs-limits.max-component-length"
        yield Finding(
            REFUSE,
            "TABLE_NAME_LONG",
            name,
            f"{message}: HBase can neither clone nor restore its snapshots.",
            f"{remedy} on both clusters.",
        )


def _over_quota(name: str, message: str, quota: str) -> Finding:
    remedy = f"Close what is open, or raise {quota} of the namespace understudy_scratch there."
    return Finding(REFUSE, "SCRATCH_QUOTA", name, message, remedy)


def _cannot_read(code: str, name: str, needed: str, cluster: str, why: str) -> Finding:
    message = f"{name} has families with {needed}, and HBase of {cluster} cannot use that: {why.rstrip('.')}."
    remedy = f"Install {needed} on every HBase server of {cluster} and restart them, or change the table's families."
    return Finding(REFUSE, code, name, message, remedy)


def link_bytes(table: str) -> int:
    """The bytes of the name of a link to a store file of a table: [namespace=]table=region-file."""
    namespace, _, name = table.rpartition(":")
    before = f"{namespace}={name}" if namespace not in ("", "default") else name
    return len(before.encode()) + 1 + REGION + 1 + FILE
