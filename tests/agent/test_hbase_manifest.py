"""Reading HBase's snapshot files: what a real HBase 2.6 wrote, what a simulated one writes, and hostile bytes.

The files under ``hbase_manifests`` were written by HBase 2.6.4: a table of three regions and two families (plain), the
same after one region was split while compaction was off (split), a clone of that with new rows (clone), the clone
disabled (disabled), a table with medium-sized objects (mob) and a clone of it in another namespace (mobclone).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.hbase_layout import wanted_files
from infra.agent.core.hbase_manifest import (
    INFO_FILE,
    MANIFEST_FILE,
    Region,
    SnapshotDamaged,
    Table,
    parse_data_manifest,
    parse_snapshot_info,
)
from tests.fakes.hbase_wire import SimulatedRegion, data_manifest, snapshot_info, varint

RECORDED = Path(__file__).parent / "hbase_manifests"
HFILE = "0123456789abcdef0123456789abcdef"
PARENT = "fedcba9876543210fedcba9876543210"


def recorded(name: str) -> list[Region]:
    return parse_data_manifest((RECORDED / f"{name}.{MANIFEST_FILE}").read_bytes())


def relatives(regions: list[Region]) -> list[str]:
    return [wanted.file.relative for wanted in wanted_files(regions)]


def wanted_of(store_file: str, length: int = 10, is_reference: bool = False) -> list[str]:
    region = SimulatedRegion("ns:t", files={"f": [(store_file, length, is_reference)]})
    return relatives(parse_data_manifest(data_manifest("ns:t", [region])))


@pytest.mark.parametrize(
    ("name", "table", "kind", "creation_ms"),
    [
        ("plain", Table("default", "hb_plain"), "FLUSH", 1795400680479),
        ("disabled", Table("default", "hb_clone"), "DISABLED", 1795400691809),
        ("mobclone", Table("hbns", "mob.clone-1"), "FLUSH", 1795400696019),
    ],
)
def test_what_a_recorded_snapshot_is_of(name: str, table: Table, kind: str, creation_ms: int) -> None:
    info = parse_snapshot_info((RECORDED / f"{name}{INFO_FILE}").read_bytes())
    assert info == (f"hb-{name}", table, creation_ms, kind, 0)


def test_regions_and_families_of_a_recorded_snapshot() -> None:
    regions = recorded("plain")
    # These are the names of the regions' directories as the cluster listed them.
    assert {region.encoded for region in regions} == {
        "3a595a33c16f44f5e1ab7922549423b5",
        "1793c9ff444b30c277e997a658187114",
        "f4a6db69d54f6ac17e7e9a4972746480",
    }
    assert [[(file.family, file.length) for file in region.files] for region in regions] == [
        [("d", 8012), ("d", 6265), ("e", 8012)]
    ] * 3
    assert len(relatives(regions)) == 9


def test_split_regions_refer_to_the_files_of_their_parent() -> None:
    regions = recorded("split")
    references = [file for region in regions for file in region.files if file.is_whole_reference]
    assert {file.name.partition(".")[2] for file in references} == {"f4a6db69d54f6ac17e7e9a4972746480"}
    # A split moves no bytes: the same nine files as before it.
    assert relatives(regions) == relatives(recorded("plain"))


def test_a_clone_needs_the_files_of_its_origin() -> None:
    files = relatives(recorded("clone"))
    own = [file for file in files if file.startswith("default/hb_clone/")]
    assert own == ["default/hb_clone/547cf54992949debaf07a7244ab60a74/d/bdf005567baf4ea392b2c30f99956a10"]
    assert sorted(set(files) - set(own)) == relatives(recorded("split"))
    assert relatives(recorded("disabled")) == files


def test_medium_sized_objects_stand_under_a_region_of_their_own() -> None:
    regions = recorded("mob")
    (mobs,) = [region for region in regions if region.holds_mobs]
    assert mobs.encoded == "46779d17aede3e18399d8120029dfdf2"
    assert [file.length for file in mobs.files] == [11455]
    assert len(relatives(regions)) == 3
    (mobs,) = [region for region in recorded("mobclone") if region.holds_mobs]
    assert mobs.files == []  # HBase forgets them in a snapshot of a clone


def test_names_of_links_and_references() -> None:
    (region,) = [SimulatedRegion("ns:t").encoded]
    assert wanted_of(HFILE) == [f"ns/t/{region}/f/{HFILE}"]
    assert wanted_of(f"{HFILE}_SeqId_7_") == [f"ns/t/{region}/f/{HFILE}_SeqId_7_"]
    assert wanted_of(f"{HFILE}.{PARENT}", is_reference=True) == [f"ns/t/{PARENT}/f/{HFILE}"]
    assert wanted_of(f"a.b-c={PARENT}-{HFILE}") == [f"default/a.b-c/{PARENT}/f/{HFILE}"]
    assert wanted_of(f"other=a.b={PARENT}-{HFILE}") == [f"other/a.b/{PARENT}/f/{HFILE}"]
    assert wanted_of(f"other=t={PARENT}-{HFILE}.{region}", is_reference=True) == [f"other/t/{PARENT}/f/{HFILE}"]
    assert wanted_of(f"größe=表.é={PARENT}-{HFILE}") == [f"größe/表.é/{PARENT}/f/{HFILE}"]
    # A reference that is not told by the manifest is itself a file that is needed.
    assert wanted_of(f"{HFILE}.{PARENT}") == [
        f"ns/t/{region}/f/{HFILE}.{PARENT}",
        f"ns/t/{PARENT}/f/{HFILE}",
    ]


def test_one_file_with_two_lengths_is_damage() -> None:
    region = SimulatedRegion("ns:t", files={"f": [(HFILE, 10, False)]})
    daughter = SimulatedRegion("ns:t", b"a", region_id=2, files={"f": [(f"{HFILE}.{region.encoded}", 11, True)]})
    with pytest.raises(SnapshotDamaged, match="two lengths"):
        relatives(parse_data_manifest(data_manifest("ns:t", [region, daughter])))


@pytest.mark.parametrize(
    "store_file",
    [
        "../../../../tmp/x",
        "a/b",
        ".links-x",
        "",
        "x" * 300,
        f"..=t={PARENT}-{HFILE}",
        f"t=zz-{HFILE}",
        f"t={PARENT}-a.b",
    ],
)
def test_names_that_lead_elsewhere_are_refused(store_file: str) -> None:
    with pytest.raises(SnapshotDamaged):
        wanted_of(store_file)


@pytest.mark.parametrize("table", ["a/b", "..", "x:y:z", "-t", "", "a\u0301", "a\u2028"])
def test_tables_that_lead_elsewhere_are_refused(table: str) -> None:
    with pytest.raises(SnapshotDamaged):
        parse_data_manifest(data_manifest("t", [SimulatedRegion(table)]))
    with pytest.raises(SnapshotDamaged):
        parse_snapshot_info(snapshot_info("s", table, 1))


@pytest.mark.parametrize("family", ["..", "a/b", "a:b", "", "\n"])
def test_families_that_lead_elsewhere_are_refused(family: str) -> None:
    region = SimulatedRegion("t", files={family: [(HFILE, 1, False)]})
    with pytest.raises(SnapshotDamaged):
        parse_data_manifest(data_manifest("t", [region]))


def test_other_versions_are_refused() -> None:
    with pytest.raises(SnapshotDamaged, match="version 1"):
        parse_snapshot_info(snapshot_info("s", "t", 1, version=1))
    assert parse_snapshot_info(snapshot_info("s", "t", 1, ttl_seconds=60)).ttl_seconds == 60


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # claims almost 2⁶⁴ bytes
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a varint of eleven bytes
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # more than 64 bits
        b"\x0b\x0c",  # a group
        b"\x02\x00",  # field number 0
        b"\x0a",
        b"\x12\x05abcde",
        b"",
        varint(1 << 3) + varint(5),  # an integer where a message belongs
    ],
)
def test_hostile_bytes_are_a_typed_error(data: bytes) -> None:
    for parse in (parse_data_manifest, parse_snapshot_info):
        with pytest.raises(SnapshotDamaged):
            parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_data_manifest, parse_snapshot_info):
        with contextlib.suppress(SnapshotDamaged):  # any other exception fails the test
            parse(data)


@given(st.data())
def test_any_damage_of_a_recorded_manifest_is_read_or_refused(data: st.DataObject) -> None:
    original = bytearray((RECORDED / f"split.{MANIFEST_FILE}").read_bytes())
    position = data.draw(st.integers(0, len(original) - 1))
    original[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(original)))
    for damaged in (bytes(original), bytes(original[:cut])):
        try:
            wanted = wanted_files(parse_data_manifest(damaged))
        except SnapshotDamaged:
            continue
        assert all(".." not in item.file.relative.split("/") for item in wanted)
