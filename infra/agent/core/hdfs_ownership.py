"""Whose is what stands on the secondary: a head of ours carries an extended attribute that only a superuser can set."""

from __future__ import annotations

from typing import Any

from infra.agent.core import hdfs
from infra.agent.core.machine import Procedure
from infra.agent.core.work import SECONDARY

OWNERSHIP = "trusted.understudy.copy"


def signature(data_set_id: str) -> str:
    """The value of the attribute on the head of a data set."""
    return "0x" + data_set_id.encode("ascii").hex()


def is_signed(data_set: dict[str, Any]) -> Procedure:
    """Tell whether a head of ours stands at the data set's path on the secondary."""
    head = data_set["path"]
    if (yield from hdfs.status(SECONDARY, head)) is None:
        return False
    attributes = yield from hdfs.extended_attributes(SECONDARY, head, OWNERSHIP)
    return bool(attributes.get(OWNERSHIP) == signature(data_set["id"]))
