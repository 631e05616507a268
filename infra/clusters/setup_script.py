"""The administrator's set-up of one cluster, as one shell script that can be read before it is run.

It is printed, not run, by Understudy: what gives Understudy its rights is decided and done by the administrator, once,
as root on the cluster's gateway. It holds the HBase administration process's script itself, so that nothing has to be
fetched. What each right is for stands in docs/rights.md.

The script is the settings (shell assignments, quoted), a function that prints the embedded script, and the fixed text
of ``gateway_setup.sh``. ``python -m infra.clusters.setup_script --help`` prints it.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

_BODY = Path(__file__).with_name("gateway_setup.sh")
_HBASE_ADMIN = Path(__file__).parents[1] / "agent" / "shell"
_HBASE_ADMIN_PARTS = tuple(f"hbase_admin{part}.rb" for part in ("_tables", "_snapshots", "_regions", "_conditions", ""))
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9_.@+-]+)+")
_FOUND_BY_THE_SCRIPT = ("hdfs_command", "hbase_command", "python_command", "hbase_conf_dir", "java_home")
_PATHS = ("spool", "library", "hooks_directory", "sudoers_file", "hbase_root", *_FOUND_BY_THE_SCRIPT)
_END = "END_OF_HBASE_ADMIN"


@dataclass(frozen=True)
class GatewaySetup:
    """What differs between clusters.

    ``authorized_key`` is the public key line of the control device ("" leaves the keys alone), ``authorized_keys_file``
    "" is the user's own. ``snapshottable`` are the data sets' directories that shall allow snapshots. The commands ""
    are looked for in the PATH of the administrator who runs the script, ``hbase_conf_dir`` and ``java_home`` "" in his
    environment; the administration process gets what was found then, and nothing from whoever starts it.
    """

    cluster: str
    user: str = "understudy"
    spool: str = "/var/lib/understudy/spool"
    authorized_key: str = ""
    authorized_keys_file: str = ""
    library: str = "/usr/local/lib/understudy"
    hooks_directory: str = "/etc/understudy/hooks.d"
    sudoers_file: str = "/etc/sudoers.d/understudy"
    service_name: str = "understudy-agent"
    hdfs_user: str = "hdfs"
    hbase_user: str = "hbase"
    hbase_root: str = "/hbase"
    with_hbase: bool = True
    hdfs_command: str = ""
    hbase_command: str = ""
    hbase_conf_dir: str = ""
    java_home: str = ""
    python_command: str = ""
    snapshottable: Sequence[str] = ()


def hbase_admin_script() -> str:
    """The script of the HBase administration process, all parts in one file."""
    return "\n".join((_HBASE_ADMIN / part).read_text(encoding="utf-8") for part in _HBASE_ADMIN_PARTS)


def hbase_admin_sha256() -> str:
    """The hash by which a gateway's script is recognised as this version's."""
    return hashlib.sha256(hbase_admin_script().encode("utf-8")).hexdigest()


def setup_script(setup: GatewaySetup) -> str:
    """The whole script; raises ``ValueError`` for settings that no gateway can have."""
    _check(setup)
    settings = []
    for field in fields(setup):
        value = getattr(setup, field.name)
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif not isinstance(value, str):
            value = "\n".join(value)
        settings.append(f"{field.name}={shlex.quote(value)}\n")
    return "".join(
        [
            "#!/bin/sh\n",
            f"# Prepares cluster {setup.cluster} for Understudy.\n\n",
            *settings,
            f"\nhbase_admin_script() {{\n    cat <<'{_END}'\n{hbase_admin_script()}{_END}\n}}\n\n",
            _BODY.read_text(encoding="utf-8"),
        ]
    )


def _check(setup: GatewaySetup) -> None:
    """Names that become parts of sudo rules and of lines of cron must need no quoting there."""
    for name in ("user", "hdfs_user", "hbase_user", "service_name"):
        value = getattr(setup, name)
        if not value or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", value):
            raise ValueError(f"{name}: {value!r} is not a plain name")
    for name in _PATHS:
        value = getattr(setup, name)
        if not ((value == "" and name in _FOUND_BY_THE_SCRIPT) or _PATH.fullmatch(value)):
            raise ValueError(f"{name}: {value!r} is not a plain absolute path of letters, digits and -_.@+")
    for value in (setup.cluster, setup.authorized_key, setup.authorized_keys_file, *setup.snapshottable):
        if not value.isprintable():
            raise ValueError(f"{value!r} has characters that cannot be printed")
    if any(not path.startswith("/") for path in setup.snapshottable):
        raise ValueError("snapshottable: these are absolute paths of HDFS")


def main() -> None:
    """Print the script; each setting is an option of the same name."""
    parser = argparse.ArgumentParser(description="Print the script that prepares a cluster's gateway for Understudy.")
    parser.add_argument("cluster", help="what the cluster is called")
    for field in fields(GatewaySetup)[1:]:
        option = f"--{field.name.replace('_', '-')}"
        if field.name == "with_hbase":
            parser.add_argument("--without-hbase", dest=field.name, action="store_false", help="there is no HBase")
        elif field.name == "snapshottable":
            parser.add_argument(option, action="append", default=[], metavar="PATH", help="may be given repeatedly")
        else:
            parser.add_argument(option, default=field.default, help=f"default: {field.default!r}")
    try:
        print(setup_script(GatewaySetup(**vars(parser.parse_args()))), end="")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
