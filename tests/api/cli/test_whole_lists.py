"""Lists that the API gives page by page are shown whole: the thousand-and-first service is not left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.cli.remote.transport import PAGE_ITEMS, ApiClient


class Paged(ApiClient):
    """Answers with pages of what it has."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[Mapping[str, Any]] = []

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, timeout_seconds: float = 0.0) -> Any:
        assert query is not None
        self.asked.append(query)
        begin = query["after"] or 0
        end = min(self.count, begin + query["limit"])
        return {"items": list(range(begin, end)), "next": end if end < self.count else None}


def test_all_pages_are_asked_for_with_the_same_question() -> None:
    client = Paged(2 * PAGE_ITEMS + 1)
    answer = client.get_all("/policies", {"service": "shop"})
    assert answer == {"items": list(range(2 * PAGE_ITEMS + 1)), "next": None}
    assert [asked["after"] for asked in client.asked] == [None, PAGE_ITEMS, 2 * PAGE_ITEMS]
    assert {asked["service"] for asked in client.asked} == {"shop"}


def test_an_empty_list_is_one_page() -> None:
    client = Paged(0)
    assert client.get_all("/pauses") == {"items": [], "next": None}
    assert len(client.asked) == 1
