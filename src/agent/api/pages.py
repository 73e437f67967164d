"""Pages of lists: a cursor says after which entry the next page begins, so that new entries move nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next` of the page before; without it, the first page.")
]


class Page(BaseModel, Generic[T]):
    """Some entries of a list. `next` is the cursor of the following page, or null at the end."""

    items: list[T]
    next: str | None = Field(None, description="Cursor of the following page; null at the end.")


def page_of(entries: Sequence[T], *, limit: int, cursor: str | None, key: Callable[[T], object]) -> Page[T]:
    """Return the page of `entries` after the one whose key is `cursor`. A cursor of an entry that is gone gives no page."""
    start = 0
    if cursor is not None:
        start = next((place for place, entry in enumerate(entries, 1) if str(key(entry)) == cursor), len(entries))
    items = list(entries[start : start + limit])
    more = start + limit < len(entries)
    return Page(items=items, next=str(key(items[-1])) if more and items else None)
