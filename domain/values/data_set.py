"""A data set: one HDFS directory or one HBase table (or a pattern of them, until it is resolved)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from uuid import NAMESPACE_URL, uuid5

from domain.components.glob import has_wildcards
from domain.components.registry import component

MOST_DATA_SETS = 2_000
"""How many a service may span: its recovery point's manifest is sealed by one instruction, of at most 4 MiB."""
TOO_MANY = "TOO_MANY_DATA_SETS"
FEWER = "Protect a directory above them, or make several services of it."


@dataclass(frozen=True, order=True)
class DataSet:
    """``component`` is a registered kind; ``name`` is what that kind calls it (a path, a table).

    A pattern has wildcards and is resolved when a run is armed; a run works on plain names only.
    """

    component: str
    name: str

    @classmethod
    def parse(cls, kind: str, name: str) -> Self:
        """Check and build; raise ``InvalidInput`` naming the field."""
        component(kind).validate(name)
        return cls(kind, name)

    @property
    def id(self) -> str:
        """A name for directories and ids, derived from component and name, the same on every machine."""
        return uuid5(NAMESPACE_URL, f"understudy:{self.component}:{self.name}").hex

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for any number of data sets."""
        return has_wildcards(self.name)

    def overlaps(self, other: DataSet) -> bool:
        """Whether some directory or table could belong to both."""
        return self.component == other.component and bool(component(self.component).overlaps(self.name, other.name))

    def to_wire(self) -> dict[str, Any]:
        """The form that instructions use."""
        return {"id": self.id, "component": self.component, component(self.component).FIELD: self.name}

    def __str__(self) -> str:
        return f"{self.component}:{self.name}"


def data_set_from_wire(value: dict[str, Any]) -> DataSet:
    """The data set of an agent's answer; raises ``InvalidInput`` if the name could not be protected."""
    return DataSet.parse(value["component"], value[component(value["component"]).FIELD])


def overlapping(data_sets: Iterable[DataSet]) -> Iterator[tuple[DataSet, DataSet]]:
    """Every pair of data sets, without wildcards, of which one is the other or lies inside it.

    Sorted by their places, whatever lies inside a directory follows it at once, so one look at the directories that
    are open there finds every pair; comparing all pairs would take minutes for some thousand data sets.
    """
    above: list[tuple[tuple[str, ...], DataSet]] = []
    for place, inner in sorted((_place(data_set), data_set) for data_set in data_sets):
        while above and place[: len(above[-1][0])] != above[-1][0]:
            above.pop()
        yield from ((outer, inner) for _, outer in above)
        above.append((place, inner))


def _place(data_set: DataSet) -> tuple[str, ...]:
    place: tuple[str, ...] = component(data_set.component).place(data_set.name)
    return (data_set.component, *place)
