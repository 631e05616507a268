"""Plain files as lines: the quick way says the very same as the general one, and refuses what is not plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.hdfs_entries import TreeDigest, entry_of, expect, known_since, manifest_line, same_blocks
from infra.agent.core.hdfs_plain import (
    Quoted,
    beginning_of_line,
    is_plain,
    line_below,
    line_of,
    new_line,
    rest_of_line,
    without_moved,
)
from infra.agent.quick_json import decode

POLICY = 7
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CUT = 1_764_000_111_000
IDENTITIES = st.one_of(st.none(), st.sampled_from(["00ff", "0100"]))
CHECKSUMS = st.one_of(st.none(), st.just("MD5-of-0MD5-of-512CRC32C:00ff"))


def file_status(**changes: Any) -> dict[str, Any]:
    status = {
        "type": "FILE",
        "pathSuffix": "f",
        "length": 12,
        "modificationTime": 1_764_000_000_000,
        "owner": "app",
        "group": "staff",
        "permission": "644",
        "fileId": 16_401,
        "blockSize": 134_217_728,
        "replication": 3,
        "storagePolicy": POLICY,
    }
    return {**status, **changes}


STATUSES = st.builds(
    file_status,
    length=st.integers(0, 1 << 50),
    modificationTime=st.integers(0, 1 << 45),
    owner=NAMES,
    group=NAMES,
    permission=st.sampled_from(["0", "644", "1777"]),
    fileId=st.integers(1, 1 << 60),
    blockSize=st.integers(1, 1 << 40),
    replication=st.integers(1, 512),
)


def entry(status: dict[str, Any], path: str, **more: Any) -> dict[str, Any]:
    return {**entry_of(status, path, 5, POLICY), **{name: value for name, value in more.items() if value is not None}}


def line_in_general(known: dict[str, Any], status: dict[str, Any], path: str) -> bytes | None:
    """The line that takes the place of a known one, as it comes of entries."""
    have = {**known, "K": known_since(known, CUT)}
    want = entry(status, path)
    if not same_blocks(have, want) or ("c" not in have and want["l"]):
        return None
    expect(have, want)
    return manifest_line({**want, **({"c": have["c"]} if "c" in have else {})})


@given(STATUSES, PATHS, CHECKSUMS, st.booleans(), IDENTITIES, st.one_of(st.none(), st.just(5)), IDENTITIES)
def test_a_line_of_a_plain_file_is_known_by_its_listing(
    status: dict[str, Any],
    path: str,
    checksum: str | None,
    was_moved: bool,
    blocks: str | None,
    since: int | None,
    listed: str | None,
) -> None:
    if status["length"] == 0:
        blocks = since = listed = None
    known = entry(status, path, c=checksum, w=True if was_moved else None, B=blocks, K=since)
    if listed is not None:
        status["blocks"] = listed
    rest = rest_of_line(status, path, Quoted())
    assert line_of(manifest_line(known), status, rest, CUT) == line_in_general(known, status, path)
    begins = beginning_of_line(without_moved(manifest_line(known)), rest)
    assert begins is not None
    assert int(begins[2]) == status["fileId"]


@pytest.mark.parametrize(
    ("known", "since"),
    [({"B": "0a"}, CUT), ({"w": True}, CUT), ({}, 0), ({"B": "0a", "K": 5}, 5), ({"w": True, "K": 5}, 5)],
    ids=str,
)
def test_where_no_blocks_are_told_the_line_says_since_when_nobody_looked(known: dict[str, Any], since: int) -> None:
    line = line_of(
        manifest_line(entry(file_status(), "d/f", c="MD5:00", **known)),
        file_status(),
        rest_of_line(file_status(), "d/f", Quoted()),
        CUT,
    )
    assert line is not None
    assert decode(line)["K"] == since
    assert decode(line).get("B") == known.get("B")


@given(STATUSES, PATHS, CHECKSUMS, st.booleans(), IDENTITIES, st.one_of(st.none(), st.just(5)))
def test_a_line_is_digested_like_its_entry(
    status: dict[str, Any], path: str, checksum: str | None, was_moved: bool, blocks: str | None, since: int | None
) -> None:
    """Neither what the source's own blocks are called nor who looked when is part of a digest."""
    by_entry, by_line = TreeDigest(), TreeDigest()
    known = entry(status, path, c=checksum)
    by_entry.add(known)
    known = entry(status, path, c=checksum, w=True if was_moved else None, B=blocks, K=since)
    by_line.add_line(manifest_line(known))
    told = ("files", "directories", "bytes", "fuzzy")
    assert [getattr(by_line, name) for name in told] == [getattr(by_entry, name) for name in told]
    assert by_line.content() == by_entry.content()
    assert by_line.metadata() == by_entry.metadata()


@given(STATUSES, PATHS, NAMES, st.integers(0, 1 << 40))
def test_a_new_plain_file_is_recorded_like_its_entry(
    status: dict[str, Any], path: str, staged: str, ordinal: int
) -> None:
    line = new_line(status, path, Quoted(), 5, ordinal, f"new/0/{staged}")
    assert decode(line) == {**entry(status, path), "n": ordinal, "path": f"new/0/{staged}"}


@pytest.mark.parametrize(
    "change",
    [
        {"length": 13},
        {"modificationTime": 1},
        {"owner": "eve"},
        {"group": "eve"},
        {"permission": "600"},
        {"fileId": 16_402},
        {"blockSize": 1 << 20},
        {"replication": 2},
        {"blocks": "00ff"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_difference_of_a_listing_is_seen(change: dict[str, Any]) -> None:
    line = manifest_line(entry(file_status(), "d/f", c="MD5:00"))
    changed = file_status(**change)
    assert line_of(line, file_status(), rest_of_line(file_status(), "d/f", Quoted()), CUT) is not None
    assert line_of(line, changed, rest_of_line(changed, "d/f", Quoted()), CUT) is None
    assert line_of(line, file_status(), rest_of_line(file_status(), "d/g", Quoted()), CUT) is None


@pytest.mark.parametrize(
    "more",
    [{"a": ["user:eve:rw-"]}, {"e": {"user.x": "0x00"}}, {"s": 2}, {"f": True}, {"c": None}],
    ids=lambda more: next(iter(more)),
)
def test_what_is_not_plain_goes_the_general_way(more: dict[str, Any]) -> None:
    known = entry(file_status(), "d/f", **{"c": "MD5:00", **more})
    assert line_of(manifest_line(known), file_status(), rest_of_line(file_status(), "d/f", Quoted()), CUT) is None
    by_entry, by_line = TreeDigest(), TreeDigest()
    by_entry.add(known)
    by_line.add_line(manifest_line(known))
    assert (by_line.content(), by_line.metadata(), by_line.fuzzy) == (
        by_entry.content(),
        by_entry.metadata(),
        by_entry.fuzzy,
    )


@pytest.mark.parametrize(
    "change",
    [{"type": "DIRECTORY"}, {"storagePolicy": 2}, {"aclBit": True}, {"encBit": True}, {"ecBit": True}],
    ids=str,
)
def test_a_listing_shows_what_is_not_plain(change: dict[str, Any]) -> None:
    assert is_plain(file_status(), POLICY)
    assert not is_plain(file_status(**change), POLICY)


def test_a_line_without_an_inode_id_proves_nothing_about_one() -> None:
    """Manifests from before had none."""
    known = entry(file_status(), "d/f", c="MD5:00")
    del known["i"]
    assert line_of(manifest_line(known), file_status(), rest_of_line(file_status(), "d/f", Quoted()), CUT) is None


@given(STATUSES, PATHS, CHECKSUMS, st.booleans(), IDENTITIES, st.one_of(st.none(), st.just(5)))
def test_a_line_below_a_directory_is_read_like_its_entry(
    status: dict[str, Any], path: str, checksum: str | None, was_moved: bool, blocks: str | None, since: int | None
) -> None:
    known = entry(status, path, c=checksum, w=True if was_moved else None, B=blocks, K=since)
    directory = path.rpartition("/")[0]
    found = line_below(manifest_line(known), directory, 5, CUT)
    if b"\\u" in manifest_line({"p": path.rpartition("/")[2]}):  # what is escaped like that goes the general way
        assert found is None
        return
    assert found is not None
    inode_id, record = found
    since = known_since(known, CUT)
    known.pop("w", None)
    assert (inode_id, decode(record)) == (status["fileId"], {**known, "D": True, "K": since})
    assert line_below(manifest_line(known), f"{directory}x", 5, CUT) is None
    assert line_below(manifest_line(entry(status, f"{path}/below", c=checksum)), directory, 5, CUT) is None


def test_what_lists_no_storage_policy_has_none_of_its_own() -> None:
    """A snapshot lists what was moved away from under a policy since the moment as having none."""
    moved_away = file_status(storagePolicy=0)
    assert "s" not in entry_of(moved_away, "d/f", 5, POLICY)
    assert not is_plain(moved_away, POLICY)
    assert entry_of(file_status(storagePolicy=2), "d/f", 5, POLICY)["s"] == 2
    assert entry_of(file_status(storagePolicy=2), "d/f", 5, 0)["s"] == 2
