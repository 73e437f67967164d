"""List permissions, find the one that an approval gave, and revoke one."""

from __future__ import annotations

from agent.approval.permissions import permissions
from agent.errors import AlreadyDecided
from agent.runtime import Runtime

list_permissions = permissions.list_permissions
of_approval = permissions.of_approval


async def revoke(permission_id: int, *, runtime: Runtime | None = None) -> None:
    """Revoke a permission in every process. Raises `AlreadyDecided`, `NotFound` or `DecisionRefused`."""
    revoked_by = await permissions.revoke(permission_id, runtime=runtime)
    if revoked_by is not None:
        raise AlreadyDecided(f"Permission {permission_id} was revoked already, by {revoked_by!r}.")
