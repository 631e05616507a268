"""The HBase administration process on a real cluster, started through the gateway as an agent starts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.clusters.setup_script import hbase_admin_sha256
from scripts.labkit.lab import Lab
from tests.contracts.hbase_admin_contract import HBaseAdminContract
from tests.lab.hbase_peer import HBasePeer


@pytest.fixture(scope="module")
def peer(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HBasePeer]:
    found = HBasePeer(lab.cluster("a"), tmp_path_factory.mktemp("hbase") / "log")
    yield found
    found.close()


class TestHBaseAdmin(HBaseAdminContract):
    """The contract, on the lab's HBase."""


def test_it_is_the_script_of_this_version(peer: HBasePeer) -> None:
    assert peer.call({"do": "status"})["script_sha256"] == hbase_admin_sha256()


def test_answers_come_as_they_are_ready(peer: HBasePeer) -> None:
    table = f"default:{peer.name('slow')}"
    peer.create_table(table, ("f",), ())
    answered: list[str] = []

    def ask(request: dict[str, Any]) -> None:
        peer.call(request)
        answered.append(request["do"])

    slow = threading.Thread(target=ask, args=({"do": "snapshot", "table": table, "name": f"us-{peer.mark}-slow"},))
    slow.start()
    while slow.is_alive():
        ask({"do": "list_snapshots", "pattern": "none"})
    slow.join()
    assert answered[0] == "list_snapshots"
    assert "snapshot" in answered[1:]


def test_snapshots_of_many_tables_at_once(peer: HBasePeer) -> None:
    tables = [f"default:{peer.name('many')}" for _ in range(3)]
    for table in tables:
        peer.create_table(table, ("f",), ("m",))
        peer.put(table, "row", "value")
    taken: list[dict[str, Any]] = []

    def take(table: str) -> None:
        request = {"do": "snapshot", "table": table, "name": f"us-{table.partition(':')[2]}", "timeout_ms": 60_000}
        taken.append(peer.call(request))

    threads = [threading.Thread(target=take, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found["table"] for found in taken) == tables
    # They overlap: each was asked for before any other was done.
    assert max(found["asked_ms"] for found in taken) < min(found["done_ms"] for found in taken)
    # One host, one clock: the server's stamp lies between question and answer, to the millisecond that it is told in.
    stamps = {one["name"]: one["creation_ms"] for one in peer.call({"do": "list_snapshots"})["snapshots"]}
    assert all(found["asked_ms"] - 1 <= stamps[found["name"]] <= found["done_ms"] for found in taken)
    clock = peer.call({"do": "clock", "table": "understudy:canary", "samples": 8})
    assert abs(clock["offset_ms"]) <= clock["uncertainty_ms"]


def test_it_ends_with_its_input(peer: HBasePeer, lab: Lab, tmp_path: Path) -> None:
    cluster = lab.cluster("a")
    done = cluster.ssh(f"sudo -n -u hbase {cluster.layout.hbase_admin}", text_input='{"id": 1, "do": "status"}\n')
    assert done.returncode == 0
    ready, answer = done.stdout.splitlines()  # and nothing else
    assert ready.startswith('{"ready":true')
    assert '"ok":true' in answer


def test_nothing_of_the_gateways_user_is_run_as_hbases(lab: Lab) -> None:
    """JRuby takes its home from a .jrubyrc in its directory, and then everything that a script requires from there."""
    cluster = lab.cluster("a")
    theirs = cluster.layout.home / "planted"
    cluster.ssh(
        f"mkdir -p {theirs}/lib/ruby/stdlib && cd {theirs} && echo 'home={theirs}' >.jrubyrc && cp .jrubyrc .. && "
        f"echo '$stderr.puts %(PLANTED as #{{%x(id -un)}})' >lib/ruby/stdlib/json.rb && "
        f"printf '#!/bin/sh\necho PLANTED >&2\nexec /usr/bin/java \"$@\"\n' >java && chmod 755 . java"
    )
    try:
        # That it would be run, without the administrator's program: so what follows can fail.
        command = f"cd {theirs} && {cluster.layout.bin}/hbase org.jruby.Main --disable-gems -e 'require %(json)'"
        assert f"PLANTED as {cluster.layout.gateway_user}" in cluster.ssh(command).stderr
        variables = (
            f"HBASE_OPTS=-Djruby.home={theirs} JAVA_TOOL_OPTIONS=-Djruby.home={theirs} HBASE_CONF_DIR={theirs} "
            f"RUBYLIB={theirs}/lib/ruby/stdlib RUBYOPT=-rjson JRUBY_OPTS=-rjson PATH={theirs}:$PATH HOME={theirs}"
        )
        done = cluster.ssh(
            f"cd {theirs} && export {variables} && sudo -n -u hbase {cluster.layout.hbase_admin}",
            text_input='{"id": 1, "do": "status"}\n',
        )
        assert '"ok":true' in done.stdout
        assert "PLANTED" not in done.stdout + done.stderr
        assert "Picked up JAVA_TOOL_OPTIONS" not in done.stderr
    finally:
        cluster.ssh(f"rm -rf {theirs} {theirs.parent}/.jrubyrc")
