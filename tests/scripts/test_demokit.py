"""The demonstration's files are what the product takes."""

from __future__ import annotations

import fcntl
import tomllib
from pathlib import Path

import msgspec
import pytest

from api.routes.clusters import EndpointsBody
from scripts.demokit.device import DemoFailed, Device
from scripts.demokit.telling import Teller


def test_a_cluster_s_file_is_what_cluster_add_takes(tmp_path: Path) -> None:
    described = {
        "gateway": {
            "host": "127.0.0.1",
            "port": 18022,
            "user": "understudy-a",
            "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKdKjF0nQv5x7pH9xX2mR4uYv8b3cD1eF2gH3iJ4kL5m",
            "client_key_file": "/lab/controller/key",
            "spool": "/lab/a/spool",
            "python": "python3",
        },
        "namenodes": ["http://127.0.0.1:18070"],
        "hbase": {
            "root": "/hbase",
            "admin_command": ["sudo", "-n", "-u", "hbase", "/x/hbase-admin"],
            "thrift": "127.0.0.1:18190",
            "more": "no",
        },
    }
    path = Device(tmp_path, tmp_path, Teller()).write_cluster("a", described)
    endpoints = msgspec.convert(tomllib.loads(path.read_text()), EndpointsBody).to_domain()
    assert endpoints.gateway.port == 18022
    assert endpoints.hbase is not None
    assert endpoints.hbase.admin_command == ("sudo", "-n", "-u", "hbase", "/x/hbase-admin")


def test_a_demonstration_that_was_kept_is_not_replaced_without_a_word(tmp_path: Path) -> None:
    device = Device(tmp_path, tmp_path, Teller())
    device.refuse_kept()
    lock = tmp_path / "events.db.lock"
    lock.write_text("4711\n")
    device.refuse_kept()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DemoFailed, match=r"process 4711.*--replace"):
            device.refuse_kept()
    device.keep()
    with pytest.raises(DemoFailed, match=r"has ended.*nothing was touched.*--replace"):
        device.refuse_kept()
