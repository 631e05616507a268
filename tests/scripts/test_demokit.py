"""The demonstration's files are what the product takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from api.routes.clusters import EndpointsBody
from scripts.demokit.device import Device
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
