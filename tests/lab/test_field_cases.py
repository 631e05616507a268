"""What was met in the field, by whole runs of the product, several cases in a run; both gateways greet.

The comparison is the test's own: it reads both clusters over WebHDFS, entry by entry.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.labkit.cluster import Cluster
from scripts.labkit.lab import Lab
from tests.lab.data import fill, put, read_tree
from tests.lab.hdfs_peer import RealWriter
from tests.lab.product import Product

UniqueName = Callable[[str], str]
MEBIBYTE = 1 << 20
YEAR_2040_MS = 2_208_988_800_000
GREETING = "echo Welcome; echo 'to this gateway' >&2; cd /; umask 077; printf 'no end of line'\n"
ODD_ACL = ",".join(f"{kind}:{name}:r-x" for kind in ("user", "group") for name in ("svc@CORP.EXAMPLE", "domain users"))
FACTS = ("type", "length", "modificationTime", "owner", "group", "permission", "blockSize", "replication")


@pytest.fixture(scope="module", autouse=True)
def greeting(lab: Lab) -> Iterator[None]:
    """Both gateways greet, have no SFTP, and grant two sessions over a connection."""
    written = []
    for cluster in (lab.cluster("a"), lab.cluster("b")):
        settings, start_up = cluster.layout.conf / "gateway" / "sshd_config", cluster.layout.home / ".bashrc"
        written.append((cluster, settings, settings.read_text(), start_up))
        start_up.write_text(GREETING)
        without_sftp = [line for line in settings.read_text().splitlines() if not line.startswith("Subsystem")]
        settings.write_text("\n".join([*without_sftp, "MaxSessions 2", ""]))
        restart_gateway(cluster)
        assert "Welcome" in cluster.ssh("true").stdout
    yield
    for cluster, settings, content, start_up in written:
        settings.write_text(content)
        start_up.unlink()
        restart_gateway(cluster)


def restart_gateway(cluster: Cluster) -> None:
    cluster.kill("gateway")
    cluster.start("gateway")


def as_superuser(cluster: Cluster, command: str) -> None:
    done = cluster.ssh(f"export LC_ALL=C.UTF-8 HADOOP_USER_NAME=hdfs; {command}")
    assert done.returncode == 0, done.stderr


def picture(cluster: Cluster, root: str) -> dict[str, dict[str, Any]]:
    """Every entry below a directory: what is listed of it, its ACL, and its bytes."""
    client, found = cluster.webhdfs("hdfs"), {}
    contents = read_tree(cluster, root)
    for directory, directories, files in client.walk(root, status=True):
        for name, status in (*directories, *files):
            path = f"{directory[0]}/{name}"
            relative = path.removeprefix(f"{root}/")
            acl = sorted(client.acl_status(path)["entries"])
            found[relative] = {**{fact: status[fact] for fact in FACTS}, "acl": acl, "bytes": contents.get(relative)}
    return found


def assert_equal(a: Cluster, b: Cluster, root: str, snapshot: str) -> dict[str, dict[str, Any]]:
    """Both snapshots and the head agree in every entry."""
    expected = picture(a, f"{root}/.snapshot/{snapshot}")
    for place in (f"{root}/.snapshot/{snapshot}", root):
        found = picture(b, place)
        assert {path: (one, found.get(path)) for path, one in expected.items() if one != found.get(path)} == {}
        assert found.keys() == expected.keys()
    return expected


def stands(page: dict[str, Any]) -> tuple[str, str]:
    """The grade of a run's only data set, and what was found of it."""
    (grade,) = page["consistency"]["grades"]
    return grade["grade"], page["consistency"]["verdict"]


IN_PLACE = {
    "half": 80,
    "border of a block": 2 * MEBIBYTE,
    "from nothing": 4097,
    "made again": 900,
    "overwritten": 1500,
    "jöined": 2 * MEBIBYTE,
    "directory/inside": 40_000,
}


def change_in_place(cluster: Cluster, root: str) -> None:
    """Other bytes under the same listing, in each way that HDFS has."""
    client, app = cluster.webhdfs("hdfs"), RealWriter(cluster)
    for name, size in IN_PLACE.items():
        path, before = f"{root}/{name}", client.status(f"{root}/{name}")
        if name in ("half", "directory/inside", "border of a block", "from nothing"):
            keep = 0 if name == "from nothing" else size // 2
            app.truncate(path, keep)
            app.append(path, b"!" * (size - keep))
        elif name == "jöined":
            app.put(f"{path}.1", b"?" * MEBIBYTE, MEBIBYTE)
            app.put(f"{path}.2", b"!" * MEBIBYTE, MEBIBYTE)
            client.delete(path)
            client.rename(f"{path}.1", path)
            app.concat(path, f"{path}.2")
        else:
            if name == "made again":
                client.delete(path)
            app.put(path, b"!" * size, MEBIBYTE)
        client.set_owner(path, owner=before["owner"], group=before["group"])
        client.set_permission(path, before["permission"])
        set_time(cluster, path, before["modificationTime"])
        after = client.status(path)
        ignored = {"accessTime": 0, "fileId": 0}
        assert {**before, **ignored} == {**after, **ignored}, name


def set_time(cluster: Cluster, path: str, time_ms: int) -> None:
    assert put(cluster, path, "SETTIMES", modificationtime=str(time_ms), accesstime="-1") == 200


@pytest.mark.parametrize("direction", ["push", "pull"])
def test_a_tree_of_odd_files(
    product: Product, cluster_a: Cluster, cluster_b: Cluster, unique_name: UniqueName, direction: str
) -> None:
    name = unique_name("field")
    root = f"/data/{name}"
    fill(cluster_a, root, {"acl/there": b"1", "acl/sub/there": b"2", "twins/a": b"a" * 70, "twins/b": b"b" * 70})
    client, app = cluster_a.webhdfs("hdfs"), RealWriter(cluster_a)
    for file, size in IN_PLACE.items():
        app.put(f"{root}/{file}", b"." * size, MEBIBYTE)
    for twin in "ab":
        set_time(cluster_a, f"{root}/twins/{twin}", 1_700_000_000_000)
    defaults = ",".join(f"default:{entry}" for entry in ("user::rwx", "user:spy:r-x", "group::r-x", "other::---"))
    for directory in ("scratch", "incoming"):
        specification = f"user::rwx,group::---,other::---,{defaults}"
        assert put(cluster_b, f"/.understudy/{directory}", "SETACL", aclspec=specification) == 200
    product.protect(name, (root,), policy=("--mass-change-percent", "100", "--direction", direction))
    try:
        page = product.back_up(name)
        assert stands(page) == ("EXACT", "CONSISTENT")
        assert_equal(cluster_a, cluster_b, root, page["snapshot"])

        change_in_place(cluster_a, root)
        for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
            client.rename(f"{root}/twins/{old}", f"{root}/twins/{new}")
        client.rename(f"{root}/directory", f"{root}/moved")
        app.put(f"{root}/acl/new", b"new")
        options = f"-R -m {shlex.quote(f'{ODD_ACL},default:user:müller:r-x')}"
        below = root if direction == "pull" else f"{root}/acl"
        as_superuser(
            cluster_a,
            f"hdfs dfs -setfacl {options} {below} && head -c 300000 /dev/urandom |"
            f" hdfs dfs -Ddfs.checksum.type=NULL -put - {root}/unsummed",
        )
        client.set_owner(f"{root}/acl/there", owner="svc@CORP.EXAMPLE", group="domain users")
        client.makedirs(f"{root}/of 2040/below")
        for late in ("half", "acl/new", "of 2040/below", "of 2040"):
            set_time(cluster_a, f"{root}/{late}", YEAR_2040_MS)
        page = product.back_up(name)
        assert stands(page) == ("EXACT", "CONSISTENT")
        found = assert_equal(cluster_a, cluster_b, root, page["snapshot"])
        assert found["moved/inside"]["bytes"] == b"." * 20_000 + b"!" * 20_000
        assert found["twins/a"]["bytes"] == b"b" * 70
        assert "user:svc@CORP.EXAMPLE:r-x" in found["acl/new"]["acl"]
        assert "default:user:müller:r-x" in found["acl/sub"]["acl"]

        page = product.back_up(name)
        (staged,) = page["staged"].values()
        assert (stands(page), staged["files_moved"]) == (("EXACT", "CONSISTENT"), 0)
    finally:
        for directory in ("scratch", "incoming"):
            assert put(cluster_b, f"/.understudy/{directory}", "REMOVEACL") == 200
