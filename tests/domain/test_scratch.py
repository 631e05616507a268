"""Names of opened recovery points: short for people, and never two the same."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.protection.scratch import LONGEST_SERVICE, scratch_name

POINT = UUID("ba92b7ca-1111-4111-8111-111111111111")
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)
ODD = st.sampled_from(["shop", "shop_ba92b7ca", "shop_ba92b7ca_x", "shop.x", "shop-x", "a" * 63, "a" * 62 + "."])
SERVICES = st.one_of(NAMES, ODD)
IDS = st.one_of(st.uuids(), st.integers(0, 40).map(lambda number: UUID(int=POINT.int + number)))
AS_AGENTS_READ_IT = re.compile(r"((?:(?!_[0-9a-f]{8})[A-Za-z0-9_-])+)_([0-9a-f]{8,32})")


@pytest.mark.parametrize("service", ["shop", "Shop-2", "data_mart_7", "a" * LONGEST_SERVICE])
def test_it_is_the_service_and_the_beginning_of_the_id(service: str) -> None:
    assert scratch_name(service, POINT, ()) == f"{service}_ba92b7ca"
    assert scratch_name(service, POINT, (POINT,)) == f"{service}_ba92b7ca"


@pytest.mark.parametrize(
    ("other", "digits"),
    [
        ("ba92b7cb-0000-4000-8000-000000000000", 8),
        ("ba92b7ca-0000-4000-8000-000000000000", 9),
        ("ba92b7ca-1111-4111-8111-111111111110", 32),
    ],
)
def test_more_of_the_id_tells_recovery_points_apart_that_begin_the_same(other: str, digits: int) -> None:
    kept = (POINT, UUID(other), UUID(int=0))
    assert scratch_name("shop", POINT, kept) == f"shop_{POINT.hex[:digits]}"


@pytest.mark.parametrize(
    ("service", "beginning"),
    [
        ("shop.eu", "shop-eu-"),
        ("shop_20260101", "shop-20260101-"),
        ("shop-0123456789ab", "shop-0123456789ab-"),
        ("a" * 63, "a" * 34 + "-"),
    ],
)
def test_a_service_that_could_be_taken_for_something_else_is_shortened_and_has_a_digest(
    service: str, beginning: str
) -> None:
    found = scratch_name(service, POINT, ())
    assert re.fullmatch(re.escape(beginning) + r"[0-9a-f]{12}_ba92b7ca", found)
    assert scratch_name(found.removesuffix("_ba92b7ca"), POINT, ()) != found, "nobody can call a service like that"


@given(SERVICES, SERVICES, IDS, IDS)
def test_no_two_are_the_same_whatever_services_and_ids_are_called(
    service: str, other: str, point: UUID, another: UUID
) -> None:
    """Recovery points of two services know nothing of one another: the service alone tells them apart."""
    found, theirs = scratch_name(service, point, (point, another)), scratch_name(other, another, (another, point))
    assert (found == theirs) == ((service, point) == (other, another))
    assert len(found) <= 80
    read = AS_AGENTS_READ_IT.fullmatch(found)
    assert read is not None
    assert point.hex.startswith(read[2])
    assert (read[1] == AS_AGENTS_READ_IT.fullmatch(theirs)[1]) == (service == other)  # type: ignore[index]
