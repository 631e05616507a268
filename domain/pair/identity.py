"""The identity of one member of a pair, as a state machine of its own.

PROMOTING, DEMOTING, FENCED and DIVERGED belong to changes of identity; the names are fixed here because markers on
the clusters and recorded events carry them. A member gets its first identity once the marker that says so stands on
its cluster.
"""

from __future__ import annotations

from domain.stateful import Part, Rule

UNASSIGNED = "UNASSIGNED"
PRIMARY = "PRIMARY"
SECONDARY = "SECONDARY"
PROMOTING = "PROMOTING"
DEMOTING = "DEMOTING"
FENCED = "FENCED"
DIVERGED = "DIVERGED"


class Member(Part):
    """One cluster's place in the pair; ``key`` is the cluster's name."""

    INITIAL_STATE = UNASSIGNED
    STATES = (UNASSIGNED, PRIMARY, SECONDARY, PROMOTING, DEMOTING, FENCED, DIVERGED)
    RULES = (
        Rule("assign_primary", (UNASSIGNED,), PRIMARY, "IdentityAssigned"),
        Rule("assign_secondary", (UNASSIGNED,), SECONDARY, "IdentityAssigned"),
    )

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.serial = 0
