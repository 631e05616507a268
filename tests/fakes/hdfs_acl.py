"""ACLs of a simulated HDFS: specification, mask, inheritance, and what a user may do."""

from __future__ import annotations

from tests.fakes.hdfs_namespace import Inode

_BITS = (("r", 4), ("w", 2), ("x", 1))


def digit(symbols: str) -> int:
    """``rwx`` as a number."""
    return sum(bit for letter, bit in _BITS if letter in symbols)


def symbols(number: int) -> str:
    """A number as ``rwx``."""
    return "".join(letter if number & bit else "-" for letter, bit in _BITS)


def group_mode(mode: str, entry: str) -> str:
    """The mode when its group digit is that of an ACL entry."""
    return mode[:-2] + str(digit(entry.rpartition(":")[2])) + mode[-1]


def apply_specification(inode: Inode, specification: str) -> None:
    """SETACL: the entries of owner, mask and others become the mode; all others are kept.

    Default entries that are there stay unless it brings others.
    """
    entries = specification.split(",")
    access = {
        entry.rpartition(":")[0]: entry.rpartition(":")[2] for entry in entries if not entry.startswith("default:")
    }
    is_extended = "mask:" in access or any(not key.endswith(":") for key in access)
    group = access.get("mask:", access["group:"]) if is_extended else access["group:"]
    inode.mode = inode.mode[:-3] + "".join(str(digit(part)) for part in (access["user:"], group, access["other:"]))
    kept = [f"{key}:{value}" for key, value in access.items() if key not in ("user:", "mask:", "other:")]
    defaults = [entry for entry in entries if entry.startswith("default:")]
    defaults = defaults or [entry for entry in inode.acl if entry.startswith("default:")]
    inode.acl = (kept if is_extended else []) + defaults


def inherit(parent: Inode, inode: Inode) -> None:
    """What a new inode takes over from its directory's default ACL."""
    defaults = [entry for entry in parent.acl if entry.startswith("default:")]
    if not defaults:
        return
    access = {e.rpartition(":")[0]: e.rpartition(":")[2] for e in (entry[len("default:") :] for entry in defaults)}
    wanted = inode.mode[-3:]
    user = digit(access["user:"]) & int(wanted[0])
    group = digit(access.get("mask:", access["group:"])) & int(wanted[1])
    inode.mode = inode.mode[:-3] + f"{user}{group}{digit(access['other:']) & int(wanted[2])}"
    if "mask:" in access:
        inode.acl = [f"{key}:{value}" for key, value in access.items() if key not in ("user:", "mask:", "other:")]
    if inode.is_directory:
        inode.acl = inode.acl + defaults


def permits(inode: Inode, user: str, wanted: int) -> bool:
    """Tell by the mode alone whether a user (whose group has the user's name) may read 4, write 2, traverse 1."""
    bits = inode.mode[-3:]
    allowed = int(bits[0] if inode.owner == user else bits[1] if inode.group == user else bits[2])
    return allowed & wanted == wanted
