"""Names that people give to things; they become parts of ids and directory names, so few characters are allowed."""

from __future__ import annotations

import re

from domain.errors import InvalidInput

_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(field: str, name: str) -> None:
    """Raise ``InvalidInput`` unless ``name`` is 1 to 63 letters, digits, ``.``, ``-`` and ``_``, not a mark first."""
    if not _LEGAL.fullmatch(name):
        raise InvalidInput(
            field,
            f"{name!r} cannot be a name.",
            remedy="Use 1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        )
