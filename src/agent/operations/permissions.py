"""What was allowed in advance: list it, find what an approval allowed, take it back."""

from __future__ import annotations

from agent.approval.permissions import permissions
from agent.errors import AlreadyDecided
from agent.runtime import Runtime

listed = permissions.list_permissions
of_approval = permissions.of_approval


async def revoke(permission_id: int, *, runtime: Runtime | None = None) -> None:
    """Revoke a permission in every process. Raises `AlreadyDecided`, `NotFound` or `DecisionRefused`."""
    first = await permissions.revoke(permission_id, runtime=runtime)
    if first is not None:
        raise AlreadyDecided(f"Permission {permission_id} was revoked already, by {first!r}.")
