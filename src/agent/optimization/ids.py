"""Reads ids that callers send, and says where to find those that there are."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agent.errors import NotFound

_LISTED = {
    "learning session": "agent improve sessions", "research campaign": "agent improve research", "pattern": "agent improve research launch TOPIC",
    "configuration": "agent improve configs", "optimization": "agent improve optimizations",
}  # fmt: skip


def key_of(value: Any, what: str) -> UUID:
    """Return the id of a `what`, such as "pattern". Raises `NotFound` for what cannot be one."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise not_there(value, what) from None


def not_there(value: Any, what: str) -> NotFound:
    """Return the error that there is no such `what`; it names the command that lists them."""
    where = f" `{_LISTED[what]}` lists them." if what in _LISTED else ""
    return NotFound(f"There is no {what} {str(value)[:100]!r}.{where}")
