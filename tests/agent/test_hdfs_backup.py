"""Whole backup runs of one HDFS directory between two simulated clusters: what changes arrives as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.hdfs_world import HEAD, World

ACL = (
    "user::rwx,user:bob:r-x,group::r-x,mask::rwx,other::---,"
    "default:user::rwx,default:user:bob:rw-,default:group::r-x,default:mask::rwx,default:other::---"
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def populate(world: World) -> None:
    app = world.app
    app.put(f"{HEAD}/a.txt", b"alpha")
    app.put(f"{HEAD}/empty", b"")
    app.put(f"{HEAD}/é.txt", b"accent", mode="600")
    app.put(f"{HEAD}/sub/deep/b.bin", bytes(range(256)) * 20)
    app.put(f"{HEAD}/sub/c", b"c" * 1024)
    app.mkdir(f"{HEAD}/sub/none", "1777")
    app.chown(f"{HEAD}/sub/c", "alice", "staff")
    app.set_acl(f"{HEAD}/sub", ACL)
    app.set_attribute(f"{HEAD}/a.txt", "user.color", "0x6162")


def test_first_copy(world: World) -> None:
    populate(world)
    result = world.backup("r1")
    world.assert_equal("r1")
    assert result["full"] is True
    assert result["files"] == result["files_moved"] == 5
    assert result["bytes"] == result["bytes_moved"] == 5 + 6 + 5120 + 1024
    assert result["digest"]["content"]["verdict"] == "EQUAL"
    assert result["digest"]["content"]["found"] == result["content_digest"]
    assert result["digest"]["metadata"]["verdict"] == "EQUAL"
    assert result["digest"]["metadata"]["found"] == result["metadata_digest"]


def test_nothing_changed(world: World) -> None:
    populate(world)
    world.backup("r1")
    result = world.backup("r2", "r1")
    world.assert_equal("r2")
    assert result["files_moved"] == 0
    assert result["steps"] == 0
    assert result["healed"] is False
