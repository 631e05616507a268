"""Services and policies: what they accept, and how they change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.errors import InvalidInput
from domain.protection.policy import Barrier, Settings
from domain.protection.service import Service
from domain.values.data_set import DataSet
from tests.domain import tables
from tests.domain.builders import DATA_SETS, ORDERS, Contexts, new_pair, new_policy, new_service


def test_a_service_has_data_sets() -> None:
    contexts = Contexts()
    service = new_service(contexts)
    version = service.version
    service.change_data_sets(contexts(), DATA_SETS)
    assert service.version == version
    service.change_data_sets(contexts(), (ORDERS,))
    assert service.data_sets == (ORDERS,)
    assert service.id == Service.identity("shop")
    assert tables.same_state(service, tables.rebuilt(service))
    for empty in (lambda: service.change_data_sets(contexts(), ()), lambda: new_service(contexts, ())):
        with pytest.raises(InvalidInput, match="data_sets"):
            empty()
    many = tuple(DataSet("hdfs", f"/data/{number}") for number in range(2_001))
    assert new_service(contexts, many[1:]).data_sets == many[1:]
    with pytest.raises(InvalidInput, match="TOO_MANY_DATA_SETS"):
        new_service(contexts, many)
    patterns = tuple(DataSet("hdfs", f"/data/{number}*") for number in range(65))
    assert new_service(contexts, patterns[1:]).data_sets == patterns[1:]
    with pytest.raises(InvalidInput, match="TOO_MANY_PATTERNS"):
        new_service(contexts, patterns)
    with pytest.raises(InvalidInput, match=r"service\.name"):
        Service.define(contexts(), "no/name", new_pair(contexts), DATA_SETS)


def test_a_policy_counts_its_revisions() -> None:
    contexts = Contexts()
    policy = new_policy(contexts, new_service(contexts), keep_last=3)
    assert (policy.revision, policy.settings.keep_last, policy.service_name) == (1, 3, "shop")
    policy.change(contexts(), policy.settings)
    assert policy.revision == 1
    policy.change(contexts(), replace(policy.settings, keep_last=4))
    assert (policy.revision, policy.settings.keep_last) == (2, 4)
    assert tables.same_state(policy, tables.rebuilt(policy))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direction", "sideways"),
        ("engine", "pigeon"),
        ("verification", "trust"),
        ("head_mode", "777"),
        ("max_skew_ms", 0),
        ("keep_last", 0),
        ("mass_change_percent", 101),
        ("lead_seconds", 0),
        ("warm_up_seconds", 3_601),
        ("fire_tolerance_ms", 0),
        ("workers", 257),
        ("sample_percent", -1),
        ("barrier.hold_max_seconds", Barrier("hold", "release", 601)),
        ("barrier.hold", Barrier("../hold", "release", 10)),
        ("barrier.hold", Barrier("hält", "release", 10)),
        ("barrier.hold", Barrier("-x", "release", 10)),
        ("barrier.release", Barrier("hold", "", 10)),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    settings = replace(Settings(), **{field.partition(".")[0]: value})
    with pytest.raises(InvalidInput) as refusal:
        settings.validate()
    assert refusal.value.field == field
    assert refusal.value.remedy


def test_the_default_and_a_barrier_are_accepted() -> None:
    Settings().validate()
    Settings(barrier=Barrier("hold-writers.sh", "release_writers", 30)).validate()
