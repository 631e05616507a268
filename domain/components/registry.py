"""The one place that names the kinds of components; another kind is one new module here and one in the agent."""

from __future__ import annotations

from types import ModuleType

from domain.components import hbase, hdfs
from domain.errors import InvalidInput

COMPONENTS: dict[str, ModuleType] = {module.NAME: module for module in (hdfs, hbase)}


def component(name: str) -> ModuleType:
    """Return the module of a kind of component; raise ``InvalidInput`` for an unknown one."""
    if name not in COMPONENTS:
        raise InvalidInput("component", f"{name!r} is not known.", remedy=f"Known are {', '.join(COMPONENTS)}.")
    return COMPONENTS[name]
