"""Whose the clusters of a pair are, asked now; and what a person needs to take them over from a lost control device."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from domain.errors import Conflict, InvalidInput, Refused, Unavailable, UnderstudyError
from domain.values.endpoints import Endpoints
from infra.agent.core.ownership import UNKNOWN, refusal
from infra.workers.decisions import Controller
from infra.workers.equipment import Equipment
from infra.workers.standing import look, owner_of

LOOK_SECONDS = 30.0


async def owners(clusters: Mapping[str, Endpoints], equipment: Equipment, controller: Controller) -> dict[str, Any]:
    """What each cluster says of whose it is, by name.

    ``{"owner", "seen_ms", "marker", "is_ours", "failure": null}``, or ``{"failure": {"code", "message", "remedy"}}``
    where it could not be asked. ``is_ours``: there is no record, or this control device may go on from it.
    """
    told = await asyncio.gather(*(_owner(name, one, equipment, controller) for name, one in clusters.items()))
    return dict(zip(clusters, told, strict=True))


async def _owner(cluster: str, endpoints: Endpoints, equipment: Equipment, controller: Controller) -> dict[str, Any]:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            told = await look({"primary": (cluster, endpoints)}, cluster, equipment, controller)
    except TimeoutError:
        error: UnderstudyError = Unavailable("NO_ANSWER", f"{cluster} has not answered within {LOOK_SECONDS:.0f} s.")
    except (Refused, Unavailable) as failure:
        error = failure
    else:
        found = told["primary"]
        is_ours = await equipment.standing.is_ours(found["owner"])
        return {**found, "is_ours": is_ours, "failure": None}
    return {"failure": {"code": error.code, "message": error.message, "remedy": error.remedy}}


def refuse_owned(told: Mapping[str, Any], controller: Controller) -> None:
    """Raise ``Conflict`` PAIR_OWNED or OTHER_CONTROLLER for a cluster that is another's; silent where nobody knows.

    A marker without a record is from a control device that does not write records: another one than this.
    """
    for cluster, one in told.items():
        if one["failure"] is not None:
            continue
        if not one["is_ours"]:
            failure = refusal(cluster, owner_of(one["owner"]), {"store": controller.store.hex})
            raise Conflict(failure.code, f"{failure.message}.", remedy=failure.remedy)
        if one["owner"] is None and one["marker"] is not None:
            raise Conflict(
                "PAIR_OWNED",
                f"cluster {cluster} belongs to pair {one['marker'].get('pair_name')!r} of another control device,"
                " as its marker says.",
                remedy="Use that control device. If it is lost for good: 'understudy pair take-over'.",
            )


def found_for_take_over(told: Mapping[str, Any], from_store: str, controller: Controller) -> dict[str, tuple[int, int]]:
    """Serial and epoch of the newest marker of each cluster that can be taken over now.

    Raises ``Unavailable`` where none can be reached, ``InvalidInput`` NOT_THE_OWNER where a cluster is neither that
    store's nor this one's, and ``Conflict`` NOTHING_TO_TAKE_OVER where all are this control device's already.
    """
    reached = {cluster: one for cluster, one in told.items() if one["failure"] is None}
    if not reached:
        failure = next(iter(told.values()))["failure"]
        raise Unavailable(failure["code"], failure["message"], remedy=failure["remedy"])
    for cluster, one in reached.items():
        store = store_of(one)
        if not (one["is_ours"] and store in (None, controller.store.hex)) and store != from_store:
            raise InvalidInput(
                "from_store",
                f"cluster {cluster} belongs to store {store}, not to {from_store}.",
                remedy="Look at 'understudy pair owner', and make sure that it is the lost control device's.",
                code="NOT_THE_OWNER",
            )
    if all(one["is_ours"] and store_of(one) in (None, controller.store.hex) for one in reached.values()):
        raise Conflict(
            "NOTHING_TO_TAKE_OVER",
            f"{', '.join(reached)}: no other control device has anything here.",
            remedy="Nothing has to be taken over; 'understudy pair create' forms a pair.",
        )
    markers = {cluster: one["marker"] or {"serial": 0, "epoch": 0} for cluster, one in reached.items()}
    return {cluster: (int(marker["serial"]), int(marker["epoch"])) for cluster, marker in markers.items()}


def store_of(one: Mapping[str, Any]) -> str | None:
    """The store that a cluster belongs to: ``unknown`` for a marker from before stores had ids, None for nobody."""
    if one["owner"] is not None:
        return str(one["owner"]["store"])
    if one["marker"] is None:
        return None
    return str(one["marker"].get("store", UNKNOWN))
