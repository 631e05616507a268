"""Fields that several resources have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    ),
]
Reason = Annotated[str, Meta(min_length=1, max_length=1_000)]
