"""What settings and files refuse is told before the moment, or before anything is changed; the whole product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from tests.lab.data import fill, put, read_tree
from tests.lab.product import Product
from tests.lab.test_bad_days_refused import refusal_of

UniqueName = Callable[[str], str]
MARK = "security.hdfs.unreadable.by.superuser"


@pytest.fixture
def files(product: Product, cluster_a: Cluster, unique_name: UniqueName) -> str:
    """A service of one directory with a few files."""
    name = unique_name("beforehand")
    fill(cluster_a, f"/data/{name}", {"file": b"1", "sub/deep/other": b"2"})
    product.protect(name, (f"/data/{name}",))
    return name


def as_superuser(cluster: Cluster, command: str) -> None:
    cluster.ssh(f"HADOOP_USER_NAME=hdfs hdfs {command}")


def test_erasure_coding_below_the_root_and_a_file_that_may_not_be_read_are_told_before_the_moment(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, files: str
) -> None:
    root = f"/data/{files}"
    as_superuser(cluster_a, f"dfs -setfattr -n {MARK} {root}/sub/deep/other")
    failure = refusal_of(product, files, "UNREADABLE")
    assert f"{root}/sub/deep/other" in failure["message"]
    assert MARK in failure["message"]
    assert "--leave-out-unreadable" in failure["remedy"]
    product.run("policy", "add", files, "--service", files, "--leave-out-unreadable")
    page = product.back_up(files)
    assert read_tree(cluster_b, f"{root}/.snapshot/{page['snapshot']}") == {"file": b"1"}
    (staged,) = page["staged"].values()
    assert staged["left_out"] == {"files": 1, "paths": ["sub/deep/other"]}
    (grade,) = page["consistency"]["grades"]
    assert "1 file is left out" in grade["reason"]
    assert "LEFT_OUT" in [warning["code"] for warning in page["warnings"]]
    cluster_a.webhdfs("app").write(f"{root}/later", data=b"3")
    as_superuser(cluster_a, f"dfs -setfattr -n {MARK} {root}/file")
    page = product.back_up(files, "--pull")
    assert read_tree(cluster_b, f"{root}/.snapshot/{page['snapshot']}") == {"later": b"3"}
    (staged,) = page["staged"].values()
    assert (staged["left_out"]["files"], staged["deleted"]) == (2, 1)
    as_superuser(cluster_a, f"dfs -mkdir {root}/sub/coded")
    as_superuser(cluster_a, f"ec -setPolicy -path {root}/sub/coded -policy RS-6-3-1024k")
    page = product.fail_to_back_up(files)
    assert (page["failure"]["code"], page["snapshots"]) == ("ERASURE_CODED", {})
    assert f"{root}/sub/coded" in page["failure"]["message"]


def test_what_the_secondary_s_settings_refuse_is_told_before_the_moment(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, files: str
) -> None:
    root = f"/data/{files}"
    product.back_up(files)
    acl = "user::rw-,user:svc@CORP.EXAMPLE:r--,group::r--,mask::r--,other::---"
    as_superuser(cluster_a, f"dfs -setfacl --set {acl.replace('svc@CORP.EXAMPLE', 'alice')} {root}/file")
    long = "n" * 120
    cluster_a.webhdfs("app").write(f"{root}/{long}", data=b"3")
    put(
        cluster_a,
        f"{root}/{long}",
        "SETXATTR",
        **{"xattr.name": "user.large", "xattr.value": "0x" + "00" * 90, "flag": "CREATE"},
    )
    put(cluster_a, f"{root}/{long}", "SETREPLICATION", replication="9")
    settings: dict[str, Any] = {
        "dfs.namenode.acls.enabled": False,
        "dfs.namenode.fs-limits.max-component-length": 100,
        "dfs.namenode.fs-limits.max-xattr-size": 80,
        "dfs.replication.max": 3,
        "dfs.namenode.snapshot.max.limit": 1,
        "dfs.namenode.snapshot.filesystem.limit": 1,
    }
    before = read_tree(cluster_b, root)
    with cluster_b.configured(settings):
        page = product.fail_to_back_up(files)
        assert page["snapshots"] == {}
        told = {finding["code"]: finding for finding in page["findings"]}
        assert "dfs.namenode.acls.enabled" in told["ACLS_OFF"]["remedy"]
        assert f"{root}/file" in told["ACLS_OFF"]["message"]
        assert "limit" in told["LIMIT_REACHED"]["message"]
        assert read_tree(cluster_b, root) == before
    page = product.back_up(files)
    assert read_tree(cluster_b, f"{root}/.snapshot/{page['snapshot']}") == {**before, long: b"3"}


def test_ordered_deletion_with_trash_roots(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, files: str
) -> None:
    """Trash roots alone are nobody's change; together with ordered deletion they forbid what every run does."""
    root = f"/data/{files}"
    product.run("policy", "add", files, "--service", files, "--changed-head", "refuse")
    product.back_up(files)
    trash = {"dfs.namenode.snapshot.trashroot.enabled": True}
    with cluster_b.configured(trash):
        product.wait_for("the trash root", lambda: cluster_b.webhdfs("hdfs").status(f"{root}/.Trash", strict=False), 30)
        cluster_a.webhdfs("app").write(f"{root}/later", data=b"3")
        page = product.back_up(files)
        assert page["applied"]["data_sets"]
        assert "later" in read_tree(cluster_b, f"{root}/.snapshot/{page['snapshot']}")
        assert cluster_b.webhdfs("hdfs").status(f"{root}/.snapshot/{page['snapshot']}/.Trash", strict=False) is None
        cluster_b.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode enter")
        cluster_b.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -saveNamespace")
        cluster_b.ssh("HADOOP_USER_NAME=hdfs hdfs dfsadmin -safemode leave")
    before = read_tree(cluster_b, root)
    with cluster_b.configured({**trash, "dfs.namenode.snapshot.deletion.ordered": True}):
        page = product.fail_to_back_up(files)
        assert (page["failure"]["code"], page["snapshots"]) == ("RENAMES_FORBIDDEN", {})
        assert "dfs.namenode.snapshot.deletion.ordered" in page["failure"]["remedy"]
        assert read_tree(cluster_b, root) == before


def test_what_no_check_can_know_stops_the_run_until_it_is_mended(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, files: str
) -> None:
    """How many snapshots one directory may have is told by no question: it is met when the copy is frozen."""
    root = f"/data/{files}"
    product.run("policy", "add", files, "--service", files, "--patience-seconds", "5")
    product.back_up(files)
    cluster_a.webhdfs("app").write(f"{root}/later", data=b"3")
    with cluster_b.configured({"dfs.namenode.snapshot.max.limit": 1}):
        run = product.begin(files, *product.lead())
        product.wait_for("the run has stopped", lambda: "STOPPED" in alarms(product, files), 120)
        product.wait_for("it is told that nothing moves", lambda: "STALLED" in alarms(product, files), 60)
        watched = product.attempt("run", "watch", run)
        assert watched.returncode == 5
        page = product.wait_for_state(run, "FREEZING")
        (stopped,) = [alarm for alarm in page["alarms"] if alarm["code"] == "STOPPED"]
        assert "the per directory snapshot limit is 1" in stopped["message"]
        assert "dfs.namenode.snapshot.max.limit" in stopped["remedy"]
        assert f"understudy run retry {run}" in stopped["remedy"]
        assert page["last_failure"] == {}, "nothing is tried any more"
    product.run("run", "retry", run)
    page = product.wait_for_state(run, "COMPLETED")
    assert page["alarms"] == []
    assert "later" in read_tree(cluster_b, f"{root}/.snapshot/{page['snapshot']}")


def alarms(product: Product, service: str) -> list[str]:
    """What the newest run's line in the list of runs shows."""
    newest: dict[str, Any] = product.ask("runs", "--service", service, "--limit", "1")["items"][0]
    found: list[str] = newest["summary"]["alarms"]
    return found
