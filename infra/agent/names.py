"""What may be a name of a file or directory: the one rule for names that come from outside.

A NameNode, a manifest, a plan in staging, an instruction: whoever wrote them may be broken or hostile, and a name
becomes part of a path that is written on another cluster. So a name is never empty, "." or "..", never HDFS's own
".snapshot", and holds neither "/" nor NUL nor what has no UTF-8. A path is names with "/" between them.
"""

from __future__ import annotations

from typing import Any

NO_NAMES = frozenset(("", ".", "..", ".snapshot"))


def is_name(value: Any) -> bool:
    """Tell whether a value can be the name of a file or directory."""
    if not isinstance(value, str) or value in NO_NAMES or "/" in value or "\0" in value:
        return False
    return value.isascii() or _has_utf_8(value)


def is_path(value: Any) -> bool:
    """Tell whether a value is a relative path of names; "" is the directory that it is relative to."""
    if not isinstance(value, str):
        return False
    if not value:
        return True
    looks_odd = "/." in value or "//" in value or value[0] in "/." or value[-1] == "/"
    if looks_odd and any(name in NO_NAMES for name in value.split("/")):
        return False
    return "\0" not in value and (value.isascii() or _has_utf_8(value))


def is_absolute_path(value: Any) -> bool:
    """Tell whether a value is an absolute path of at least one name."""
    return isinstance(value, str) and value[:1] == "/" and value != "/" and is_path(value[1:])


def _has_utf_8(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
