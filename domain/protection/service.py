"""A service: everything that one business application stores, as a named set of data sets."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import InvalidInput
from domain.pair.pair import ClusterPair
from domain.stateful import Context, Stateful
from domain.values.data_set import FEWER, MOST_DATA_SETS, TOO_MANY, DataSet
from domain.values.names import check_name

MOST_PATTERNS = 64
"""How many patterns a service may have: each is compared with every data set of the pair."""
FEWER_PATTERNS = "Use wider patterns, the names themselves, or several services."


class Service(Stateful):
    """Invariant: it has at least one data set; its claims stand in its pair (saved together with it)."""

    ALLOWED_IN = {"DataSetsChanged": ("ACTIVE",)}

    class Defined(Stateful.Created):
        """A service was entered; ``adopts``: directories that somebody has filled on the secondary are taken over."""

        name: str
        pair: UUID
        pair_name: str
        data_sets: tuple[DataSet, ...]
        adopts: bool = False

        def evolve(self, aggregate: Service) -> None:
            """Take name, pair and data sets."""
            aggregate.name = self.name
            aggregate.pair = self.pair
            aggregate.pair_name = self.pair_name
            aggregate.data_sets = self.data_sets
            aggregate.adopts = self.adopts

    class DataSetsChanged(Stateful.Event):
        """The service spans other data sets from now on, or takes over what stands at them."""

        data_sets: tuple[DataSet, ...]
        adopts: bool = False

        def evolve(self, aggregate: Service) -> None:
            """Take the new data sets."""
            aggregate.data_sets = self.data_sets
            aggregate.adopts = self.adopts

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.pair: UUID
        self.pair_name = ""
        self.data_sets: tuple[DataSet, ...] = ()
        self.adopts = False

    @staticmethod
    def identity(name: str) -> UUID:
        """The id of the service with this name."""
        return uuid5(NAMESPACE_URL, f"understudy:service:{name}")

    @classmethod
    def define(
        cls, context: Context, name: str, pair: ClusterPair, data_sets: tuple[DataSet, ...], adopts: bool = False
    ) -> Service:
        """Enter a service; raise ``InvalidInput`` if it has no data sets, or too many."""
        check_name("service.name", name)
        check_number(data_sets)
        return cls.begin(
            cls.Defined,
            cls.identity(name),
            context,
            name=name,
            pair=pair.id,
            pair_name=pair.name,
            data_sets=data_sets,
            adopts=adopts,
        )

    def change_data_sets(self, context: Context, data_sets: tuple[DataSet, ...], adopts: bool = False) -> None:
        """Record other data sets, unless they are the same; a service that once adopts goes on doing so."""
        check_number(data_sets)
        if data_sets != self.data_sets or adopts > self.adopts:
            self.note(self.DataSetsChanged, context, data_sets=data_sets, adopts=adopts or self.adopts)


def check_number(data_sets: tuple[DataSet, ...]) -> None:
    """Raise ``InvalidInput`` for no data sets, too many, or too many patterns."""
    if not data_sets:
        raise InvalidInput("data_sets", "there are none.", remedy="Name at least one directory or table.")
    if len(data_sets) > MOST_DATA_SETS:
        message = f"there are {len(data_sets)}, and a service has at most {MOST_DATA_SETS}."
        raise InvalidInput("data_sets", message, remedy=FEWER, code=TOO_MANY)
    patterns = sum(data_set.is_pattern for data_set in data_sets)
    if patterns > MOST_PATTERNS:
        message = f"{patterns} of them are patterns, and a service has at most {MOST_PATTERNS}."
        raise InvalidInput("data_sets", message, remedy=FEWER_PATTERNS, code="TOO_MANY_PATTERNS")
