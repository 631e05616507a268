"""The one place of the domain that names the kinds of components.

What another kind costs: a module here (names, places, overlaps, what a mass change is), and in the agent a component
(``infra.agent.core.components``), a target of the moment (``moment_targets``) and the shape of its data sets in
payloads (``infra.agent.payloads``). Besides, a few places still know the kinds by name, each for what is special about
it: checks and preflight, grades (``grading``, ``moment_result``), what is carried over and which table is tried
(``backup_run.next``, ``backup_run.run``), and the words of the command line.
"""

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
