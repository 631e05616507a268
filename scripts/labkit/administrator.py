"""What the administrator of each cluster sets up for Understudy, once: its rights on the gateway.

The gateway's user may run exactly one command as ``hbase``, without arguments: the administration process. The
command's directory belongs to root, so the user cannot change what it is allowed to run.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from scripts.labkit.errors import LabError
from scripts.labkit.files import put
from scripts.labkit.layout import ClusterLayout
from scripts.labkit.processes import CLUSTER_VARIABLE

_SUDO_RULES = Path("/etc/sudoers.d")


def install_administrator_setup(cluster: ClusterLayout) -> None:
    """Install the rights of one cluster; called at each start, so doing it again changes nothing."""
    cluster.lib.mkdir(parents=True, exist_ok=True)
    cluster.lib.chmod(0o755)
    user = cluster.gateway_user
    rules = (
        f'Defaults:{user} env_keep += "{CLUSTER_VARIABLE}"\n'  # so that the lab finds and ends the process
        f'{user} ALL=(hbase) NOPASSWD: {cluster.hbase_admin} ""\n'
    )
    # sudo ignores files with a dot in their name.
    name = f"{cluster.lab_root.name}-{cluster.name}".replace(".", "-")
    _install_rules(_SUDO_RULES / name, rules)


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
