"""Keeps a person's own names for pages of the console with their filters."""

from __future__ import annotations

from dataclasses import dataclass

from agent.db import load_queries
from agent.errors import InvalidInput
from agent.runtime import Runtime
from agent.text.visible import one_line

_QUERIES = load_queries(__package__, "saved_views.sql")
MOST, _MOST_NAME, _MOST_PATH = 40, 60, 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A name for a page."""

    id: int
    name: str
    path: str


async def every(*, runtime: Runtime) -> list[SavedView]:
    """Return the views of the runtime's user, by name."""
    return [SavedView(**row) for row in await runtime.all(_QUERIES["views"], person=runtime.user)]


async def save(name: str, path: str, *, runtime: Runtime) -> SavedView:
    """Keep a name for a page; the same name again leads to the new page. Raises `InvalidInput`."""
    name = one_line(name, _MOST_NAME + 1).strip()
    if not name or len(name) > _MOST_NAME:
        raise InvalidInput(f"A view has a name of at most {_MOST_NAME} characters.")
    if len(path) > _MOST_PATH:
        raise InvalidInput("The address of this page is too long to be kept.")
    row = await runtime.one(_QUERIES["save"], person=runtime.user, name=name, path=path, most=MOST)
    if row is None:
        raise InvalidInput(f"You have {MOST} views, which is the most: remove one first.")
    return SavedView(**row)


async def remove(number: int, *, runtime: Runtime) -> None:
    """Remove one of the user's own views."""
    await runtime.execute(_QUERIES["remove"], person=runtime.user, id=number)
