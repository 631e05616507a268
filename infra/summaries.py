"""What lists show of each aggregate: its name, whether work is open, and a small JSON object.

A summary is for choosing and sorting; what a page shows besides is read when it is opened. A change here takes a new
``VIEWS_VERSION``, so that stores rebuild their read model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

import domain
import infra.store
from domain.command_key import CommandKey
from domain.control_device import ControlDevice
from domain.instructing import Instructing
from domain.pair.cluster import Cluster
from domain.pair.pair import FORMING, ClusterPair
from domain.protection.backup_run.alarms import reading_of
from domain.protection.backup_run.run import BackupRun
from domain.protection.backup_run.states import OPEN
from domain.protection.pause import Pause
from domain.protection.policy import BackupPolicy
from domain.protection.recovery_point import RecoveryPoint
from domain.protection.replica import Replica
from domain.protection.service import Service
from domain.refusal import Refusal
from domain.stateful import Stateful
from domain.values.data_set import DataSet
from domain.values.limits import Limits
from infra.store.read_models import AggregateView
from infra.store.sources import sources_digest
from infra.store.store import StoreContents

VIEWS_VERSION = "9"

KINDS: dict[str, type[Stateful]] = {
    "cluster": Cluster,
    "pair": ClusterPair,
    "service": Service,
    "policy": BackupPolicy,
    "run": BackupRun,
    "recovery-point": RecoveryPoint,
    "replica": Replica,
    "refusal": Refusal,
    "pause": Pause,
    "command-key": CommandKey,
    "control-device": ControlDevice,
}
"""Everything that the store holds, by the word that people use for it."""


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _dates(aggregate: Stateful) -> dict[str, Any]:
    return {"created_at": aggregate.created_on.isoformat(), "updated_at": aggregate.modified_on.isoformat()}


def _instructing(aggregate: Instructing) -> dict[str, Any]:
    """Failures that are being tried again, and whether gateways still keep something of an aggregate at rest."""
    return {
        "last_failure": aggregate.last_failure if not aggregate.is_at_rest else {},
        "alarms": [alarm["code"] for alarm in aggregate.alarms],
        "can_be_swept": aggregate.is_at_rest and bool(aggregate.instructed),
        **_dates(aggregate),
    }


def _names(data_sets: Sequence[DataSet]) -> list[dict[str, str]]:
    return [{"component": data_set.component, "name": data_set.name} for data_set in data_sets]


def cluster_summary(cluster: Cluster) -> dict[str, Any]:
    """How it is reached, what may be taken of it, and to which pair it belongs."""
    return {
        "endpoints": msgspec.to_builtins(cluster.endpoints),
        "limits": msgspec.to_builtins(cluster.limits),
        "pair": str(cluster.pair) if cluster.pair else None,
        **_dates(cluster),
    }


def limits_from(summary: Mapping[str, Any]) -> Limits:
    """A cluster's limits out of its summary."""
    return msgspec.convert(summary["limits"], Limits)


def pause_summary(pause: Pause) -> dict[str, Any]:
    """Who holds what, since when and why; empty words once it goes on."""
    return {
        "by": pause.by,
        "since_ms": None if pause.since is None else int(pause.since.timestamp() * 1000),
        "reason": pause.reason,
        **_dates(pause),
    }


def pair_summary(pair: ClusterPair) -> dict[str, Any]:
    """Who has which identity, and who claims what."""
    return {
        "epoch": pair.epoch,
        "store": pair.store.hex if pair.store else None,
        "taken_over": pair.taken_over,
        "members": [
            {
                "cluster": name,
                "identity": member.state,
                "intended": pair.intended.get(name, ""),
                "serial": member.serial,
            }
            for name, member in pair.members.items()
        ],
        "claims": [{"service": str(service), "data_sets": _names(claimed)} for service, claimed in pair.claims.items()],
        **_instructing(pair),
    }


def service_summary(service: Service) -> dict[str, Any]:
    """What belongs together."""
    return {
        "pair": str(service.pair),
        "pair_name": service.pair_name,
        "data_sets": _names(service.data_sets),
        "adopts": service.adopts,
        **_dates(service),
    }


def policy_summary(policy: BackupPolicy) -> dict[str, Any]:
    """How a service is backed up."""
    return {
        "service": str(policy.service),
        "service_name": policy.service_name,
        "revision": policy.revision,
        "settings": msgspec.to_builtins(policy.settings),
        **_dates(policy),
    }


def totals(run: BackupRun) -> dict[str, int]:
    """The sums over all copies that are in staging."""
    names = ("files", "directories", "bytes", "bytes_moved", "files_moved", "deleted", "renamed", "changed_attributes")
    return {name: sum(int(staged.get(name) or 0) for staged in run.staged.values()) for name in names}


def run_summary(run: BackupRun) -> dict[str, Any]:
    """Which service, which moment, how far, how consistent, how much."""
    plan = run.plan
    consistency = run.consistency.to_json() if run.consistency is not None else None
    return {
        "service": str(plan.service),
        "service_name": plan.service_name,
        "policy_name": plan.policy_name,
        "policy_revision": plan.policy_revision,
        "pair": str(plan.pair),
        "pair_name": plan.pair_name,
        "epoch": plan.epoch,
        "primary": plan.primary,
        "secondary": plan.secondary,
        "direction": plan.settings.direction,
        "moment_ms": run.moment_ms,
        "lead_ms": run.moment_ms - _milliseconds(run.created_on),
        "armed_after_ms": None if run.armed_at is None else _milliseconds(run.armed_at) - _milliseconds(run.created_on),
        "snapshot": run.snapshot,
        "verdict": consistency["verdict"] if consistency else None,
        "skew_ms": consistency["skew_ms"] if consistency else None,
        "data_sets": len(run.data_sets),
        "copies_staged": len(run.staged),
        "full": run.base is None if run.copies else None,
        "totals": totals(run),
        "failure": run.failure,
        "warnings": len(run.warnings),
        "recovery_point": str(run.recovery_point) if run.recovery_point else None,
        **_instructing(run),
    }


def read_of(evidence: Mapping[str, Any]) -> dict[str, Any] | None:
    """How many bytes of a recovery point had been read when it was made, and since when; None: that is unknown.

    What was never read, or for longer than the policy says, is told besides.
    """
    verified = {one["id"]: one.get("verified") for one in evidence.get("data_sets") or ()}
    told = [reading_of({"data_sets": verified}, key) for key in verified]
    if not told or not all(told):
        return None
    oldest = [one["oldest_ms"] for one in told if one.get("oldest_ms") is not None]
    sums = {name: sum(int(one.get(name) or 0) for one in told) for name in ("bytes", "never_bytes", "overdue_bytes")}
    return {**sums, "oldest_ms": min(oldest, default=None)}


def recovery_point_summary(point: RecoveryPoint) -> dict[str, Any]:
    """Which state of which service, and where it can be read."""
    made = point.made
    return {
        "run": str(made.run),
        "service": str(made.service),
        "service_name": made.evidence["service"],
        "policy_name": made.evidence["policy"],
        "pair": str(made.pair),
        "primary": made.primary,
        "secondary": made.secondary,
        "moment_ms": made.moment_ms,
        "snapshot": made.snapshot,
        "consistency": made.evidence["consistency"],
        "level": made.evidence["level"],
        "read": read_of(made.evidence),
        "data_sets": [data_set.to_wire() for data_set in made.data_sets],
        "manifest_sha256": made.manifest_sha256,
        "readable": point.readable,
        "failure": point.failure,
        "expiry_reason": point.expiry_reason,
        "sides_left": list(point.sides_left),
        "primary_manifest": point.primary_manifest,
        "primary_failure": point.primary_failure,
        **_instructing(point),
    }


def replica_summary(replica: Replica) -> dict[str, Any]:
    """What the head shows, who may change it, which recovery points there are and what holds them."""
    kept = sorted(replica.kept.values(), key=lambda point: point.moment_ms, reverse=True)
    return {
        "service": str(replica.service),
        "cluster": replica.cluster,
        "owner": str(replica.owner) if replica.owner else None,
        "head": str(replica.head) if replica.head else None,
        "kept": [
            {
                "recovery_point": str(point.recovery_point),
                "moment_ms": point.moment_ms,
                "snapshot": point.snapshot,
                "holds": sorted(replica.holds.get(point.recovery_point, ())),
            }
            for point in kept
        ],
        **_dates(replica),
    }


def refusal_summary(refusal: Refusal) -> dict[str, Any]:
    """Who tried what, when, and why it was not done."""
    made = refusal.made
    return {
        "at_ms": int(made.timestamp.timestamp() * 1000),
        "actor": made.actor,
        "request_id": made.request_id,
        "command": made.command,
        "about": made.about,
        "code": made.code,
        "message": made.message,
        "left_out": made.left_out,
    }


def _name(aggregate: Any) -> str:
    return str(aggregate.name)


def control_device_summary(device: ControlDevice) -> dict[str, Any]:
    """Which store this is, and its newest start."""
    return {
        "store": device.store.hex,
        "term": device.term,
        "incarnation": device.incarnation.hex if device.incarnation else None,
        "host": device.host,
        **_dates(device),
    }


VIEWS = (
    AggregateView(Cluster, cluster_summary, _name),
    AggregateView(ClusterPair, pair_summary, _name, lambda pair: pair.state == FORMING),
    AggregateView(Service, service_summary, _name),
    AggregateView(BackupPolicy, policy_summary, _name),
    AggregateView(BackupRun, run_summary, is_open=lambda run: run.state in OPEN),
    AggregateView(RecoveryPoint, recovery_point_summary, is_open=lambda point: not point.is_at_rest),
    AggregateView(Replica, replica_summary),
    AggregateView(Refusal, refusal_summary),
    AggregateView(Pause, pause_summary, lambda pause: pause.scope),
    AggregateView(ControlDevice, control_device_summary),
)

INDEXED_FIELDS = ("can_be_swept", "pair", "service")
"""What whole kinds are searched by, so that it must not take longer with everything that has ended long ago."""

CONTENTS = StoreContents(
    tuple(KINDS.values()),
    VIEWS,
    VIEWS_VERSION,
    indexed_fields=INDEXED_FIELDS,
    snapshots_version=sources_digest(domain, infra.store),
)
"""What ``open_store`` needs to know."""
