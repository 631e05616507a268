"""A cluster's gateway: a real OpenSSH server with its own port, host key, user, spool and commands.

The server runs as root, as an operator's does, and admits one user with one key. It hands each session a PATH whose
first directory holds the commands of that cluster, and a HOME of its own. Nothing here is known to the control device
but what an operator would enter: address, user, host key, client key, spool.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts.labkit.files import put
from scripts.labkit.layout import HOST, ClusterLayout, LabLayout
from scripts.labkit.processes import CLUSTER_VARIABLE

_SERVER = "/usr/sbin/sshd"  # OpenSSH insists on being started by its absolute path
_PATH_AFTER_COMMANDS = "/usr/local/bin:/usr/bin:/bin"


def ensure_keys(lab: LabLayout) -> None:
    """Make the client key and the host keys once; they survive ``reset``, so that nobody must forget a host key."""
    lab.controller.mkdir(parents=True, exist_ok=True)
    lab.controller.chmod(0o700)
    _ensure_key(lab.client_key, "understudy-lab-controller")
    lines = []
    for cluster in lab.clusters:
        _ensure_key(_host_key(cluster), f"gateway-{cluster.name}")
        lines.append(f"[{HOST}]:{cluster.ports.gateway} {host_public_key(cluster)}")
    put(lab.known_hosts, "\n".join(lines) + "\n")


def host_public_key(cluster: ClusterLayout) -> str:
    """The line that the server shows: "ssh-ed25519 AAAA…"."""
    kind, key, *_comment = _host_key(cluster).with_suffix(".pub").read_text().split()
    return f"{kind} {key}"


def write_gateway_configuration(cluster: ClusterLayout, lab: LabLayout) -> None:
    directory = cluster.conf / "gateway"
    keys = directory / "authorized_keys"
    put(keys, lab.client_key.with_suffix(".pub").read_text())
    settings = {
        "Port": cluster.ports.gateway,
        "ListenAddress": HOST,
        "HostKey": _host_key(cluster),
        "PidFile": "none",
        "AllowUsers": cluster.gateway_user,
        "AuthorizedKeysFile": keys,
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "no",
        "UseDNS": "no",
        "MaxStartups": "50:30:200",
        "Subsystem": f"sftp internal-sftp -d {cluster.home}",
        "SetEnv": f"PATH={cluster.bin}:{_PATH_AFTER_COMMANDS} HOME={cluster.home} {CLUSTER_VARIABLE}={cluster.root}",
    }
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    put(directory / "sshd_config", "".join(lines))


def prepare(cluster: ClusterLayout) -> None:
    """Make the session's directories, owned by the gateway's user, and OpenSSH's own."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for directory, mode in ((cluster.home, 0o755), (cluster.spool, 0o700)):
        directory.mkdir(parents=True, exist_ok=True)
        shutil.chown(directory, cluster.gateway_user, cluster.gateway_user)
        directory.chmod(mode)
    # An interactive login sets PATH anew before it reads this.
    profile = cluster.home / ".profile"
    put(profile, f'PATH="{cluster.bin}:$PATH"\nPS1="{cluster.gateway_user}:\\w\\$ "\ncd\n')
    shutil.chown(profile, cluster.gateway_user, cluster.gateway_user)


def server_command(cluster: ClusterLayout) -> list[str]:
    return [_SERVER, "-D", "-e", "-f", str(cluster.conf / "gateway" / "sshd_config")]


def client_command(cluster: ClusterLayout, lab: LabLayout) -> list[str]:
    """The ssh command that opens the gateway's shell with the lab's key; a command may be appended."""
    return [
        "ssh",
        *("-F", "none", "-i", str(lab.client_key), "-p", str(cluster.ports.gateway)),
        *("-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"),
        *("-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "LogLevel=ERROR"),
        f"{cluster.gateway_user}@{HOST}",
    ]


def _host_key(cluster: ClusterLayout) -> Path:
    return cluster.lab_root / "controller" / f"gateway-{cluster.name}-host-key"


def _ensure_key(path: Path, comment: str) -> None:
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        subprocess.run(command, check=True, capture_output=True, text=True)
