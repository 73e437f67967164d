"""Pages of lists: a cursor says after which entry the next page begins, so that new entries move nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from agent.errors import InvalidInput

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=200, description="Most entries of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=300, description="`next` of the page before; without it, the first page.")
]


class Page(BaseModel, Generic[T]):
    """Some entries of a list. `next` is the cursor of the following page, or null at the end."""

    items: list[T]
    next: str | None = Field(None, description="Cursor of the following page; null at the end.")


def page_of(entries: Sequence[T], *, limit: int, key: Callable[[T], object]) -> Page[T]:
    """Return the page of `entries`, which hold one more than `limit` if there is another page. `key` makes its cursor."""
    items = list(entries[:limit])
    return Page(items=items, next=str(key(items[-1])) if len(entries) > limit else None)


def number_in(cursor: str | None) -> int | None:
    """Return the number of the entry behind which a page begins. Raises `InvalidInput`."""
    return None if cursor is None else numbers_in(cursor, 1)[0]


def numbers_in(cursor: str, most: int) -> tuple[int, ...]:
    """Return the numbers of a cursor: up to `most`, with dots between them. Raises `InvalidInput`."""
    parts = cursor.split(".")
    if len(parts) > most or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        raise not_a_cursor()
    return tuple(map(int, parts))


def not_a_cursor() -> InvalidInput:
    """Return the error for a cursor that no page gave."""
    return InvalidInput("That is no cursor of this list: send `next` of the page before, as it is.")
