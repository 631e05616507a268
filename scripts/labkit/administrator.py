"""What the administrator of each cluster sets up for Understudy, once: the very script that an operator is given.

The gateway's part is run before the gateway's server starts, the file system's when the cluster is up.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from infra.clusters.setup_script import GatewaySetup, setup_script
from scripts.labkit.errors import LabError
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout

_SUDO_RULES = Path("/etc/sudoers.d")
_WITHIN_SECONDS = 180


def install_administrator_setup(cluster: ClusterLayout) -> None:
    """Prepare the gateway's host; called at each start, so doing it again changes nothing."""
    put(_script(cluster), setup_script(_setup(cluster)), mode=0o755)
    _run(cluster, "gateway")


def prepare_file_system(cluster: ClusterLayout) -> None:
    """Make the product's directories and the canary table; the cluster must be up."""
    _run(cluster, "hdfs")


def _setup(cluster: ClusterLayout) -> GatewaySetup:
    return GatewaySetup(
        cluster=cluster.name.upper(),
        user=cluster.gateway_user,
        spool=str(cluster.spool),
        library=str(cluster.lib),
        sudoers_file=str(_SUDO_RULES / _name(cluster)),
        service_name=_name(cluster),
        hdfs_command=str(cluster.bin / "hdfs"),
        hbase_command=str(cluster.bin / "hbase"),
    )


def _name(cluster: ClusterLayout) -> str:
    return f"{cluster.lab_root.name}-{cluster.name}".replace(".", "-")


def _script(cluster: ClusterLayout) -> Path:
    return cluster.root / "administrator-setup.sh"


def _run(cluster: ClusterLayout, part: str) -> None:
    """Run one part of the script; raises LabError with what it said."""
    done = subprocess.run(
        ["/bin/sh", str(_script(cluster)), part],
        capture_output=True,
        text=True,
        timeout=_WITHIN_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"the administrator's set-up of {cluster.name} failed:\n{done.stdout}{done.stderr}")
