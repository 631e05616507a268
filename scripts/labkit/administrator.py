"""What the administrator of each cluster sets up for Understudy, once: the very script that an operator is given.

The gateway's part is run before the gateway's server starts, the file system's when the cluster is up. One line is the
lab's own: sudo hands the variable on by which the lab finds and ends what an agent has started.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from infra.clusters.setup_script import GatewaySetup, setup_script
from scripts.labkit.errors import LabError
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout
from scripts.labkit.processes import CLUSTER_VARIABLE

_SUDO_RULES = Path("/etc/sudoers.d")
_WITHIN_SECONDS = 180


def install_administrator_setup(cluster: ClusterLayout) -> None:
    """Prepare the gateway's host; called at each start, so doing it again changes nothing."""
    put(_script(cluster), setup_script(_setup(cluster)), mode=0o755)
    # sudo ignores files with a dot in their name.
    rules = f'Defaults:{cluster.gateway_user} env_keep += "{CLUSTER_VARIABLE}"\n'
    _install_rules(_SUDO_RULES / f"{_name(cluster)}-lab", rules)
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


def _install_rules(path: Path, rules: str) -> None:
    if path.exists() and path.read_text() == rules:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".sudoers") as draft:
        draft.write(rules)
        draft.flush()
        checked = subprocess.run(["visudo", "-cf", draft.name], capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            raise LabError(f"the sudo rules for {path.name} are not valid: {checked.stdout}{checked.stderr}")
    # By a rename from a name that sudo ignores: half a file of rules would break sudo for everybody.
    put(path, rules, mode=0o440)
