"""`/api/people` and `/api/permissions`: who may do what, and what was allowed in advance."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.api.pages import Cursor, Limit, Page, number_in, page_of
from agent.approval import people as people_store
from agent.approval.eligibility import Person, Role
from agent.approval.permissions import Permission
from agent.operations import people, permissions

router = APIRouter(prefix="/api", route_class=IdempotentRoute)
Name = Annotated[str, Path(min_length=1, max_length=200, description="The person's name.")]
PermissionId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the permission.")]


class Roles(BaseModel):
    """The roles of a person, and beside them the right `personal`."""

    roles: list[Role] = Field(min_length=1, max_length=5)


@router.get("/people", tags=["people"], **needs("viewer"))
async def list_people(runtime: Acting) -> list[Person]:
    """List everybody who was named. Where nobody is, one user decides everything."""
    return await people_store.people.list_people(runtime=runtime)


@router.put("/people/{name}", tags=["people"], **needs("admin"))
async def name_person(name: Name, body: Roles, runtime: Acting) -> Person:
    """Name a person, or give them other roles. The first one must be an admin."""
    return (await people.add(name, body.roles, runtime=runtime)).person


@router.delete("/people/{name}", tags=["people"], **needs("admin"))
async def remove_person(name: Name, runtime: Acting) -> Person:
    """Take a person's rights away, from the next decision on."""
    return await people_store.people.remove(name, runtime=runtime)


@router.get("/permissions", tags=["permissions"], **needs("viewer"))
async def list_permissions(runtime: Acting, limit: Limit = 50, cursor: Cursor = None) -> Page[Permission]:
    """List what was allowed in advance, the newest first."""
    given = await permissions.list_permissions(limit + 1, before=number_in(cursor), runtime=runtime)
    return page_of(given, limit=limit, key=lambda permission: permission.id)


@router.delete("/permissions/{permission_id}", status_code=204, tags=["permissions"], **needs("approver"))
async def revoke_permission(permission_id: PermissionId, runtime: Acting) -> None:
    """Revoke a permission in every process."""
    await permissions.revoke(permission_id, runtime=runtime)
