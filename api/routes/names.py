"""Fields and lists that several resources have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from api.requests import Page

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    ),
]
Reason = Annotated[str, Meta(min_length=1, max_length=1_000)]
State = Annotated[str, Meta(pattern="^[A-Z]{1,32}$")]


class OfService(Page, forbid_unknown_fields=True, kw_only=True):
    """A page of what belongs to services; of one service and in one state if they are named."""

    service: Name | None = None
    state: State | None = None

    @property
    def filters(self) -> dict[str, str | None]:
        """What is wanted, by the names of summaries."""
        return {"service_name": self.service, "state": self.state}
