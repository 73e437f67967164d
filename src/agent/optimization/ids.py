"""Reads ids that callers send: what cannot be one names nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agent.errors import NotFound


def key_of(value: Any, what: str) -> UUID:
    """Return the id of a `what`. Raises `NotFound` for what cannot be one."""
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise NotFound(f"There is no {what} {str(value)[:100]!r}.") from None
