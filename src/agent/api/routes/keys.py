"""`/api/keys`: make, list and revoke API keys."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from agent.access import keys
from agent.api.callers import Acting, needs
from agent.api.idempotency import IdempotentRoute
from agent.approval.eligibility import AccessRole

router = APIRouter(prefix="/api/keys", tags=["keys"], route_class=IdempotentRoute)
KeyId = Annotated[int, Path(ge=1, le=2**63 - 1, description="Number of the key.")]


class Key(BaseModel):
    """An API key without its secret; `hint` is its last characters."""

    id: int
    name: str
    hint: str
    person: str
    role: AccessRole
    personal: bool
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


class NewKeyRequest(BaseModel):
    """What the new key is for, who acts with it, and how far."""

    name: str = Field(min_length=1, max_length=200, description="What the key is for.")
    role: AccessRole = Field("operator", description="The most that it allows.")
    person: str | None = Field(None, min_length=1, max_length=200, description="Who acts with it; default: you.")
    personal: bool = Field(default=False, description="Whether it shows personal values.")
    days: float | None = Field(None, gt=0, le=3650, description="Days until it expires; null: never.")


class NewKey(Key):
    """A new key. `secret` is shown only this once."""

    secret: str


@router.get("", **needs("admin"))
async def list_keys(runtime: Acting) -> list[Key]:
    """List the keys of your tenant, the newest first."""
    return [Key(**asdict(key)) for key in await keys.list_keys(runtime=runtime)]


@router.post("", status_code=201, **needs("admin"))
async def create_key(body: NewKeyRequest, runtime: Acting) -> NewKey:
    """Make a key. Its secret is in this answer and nowhere else."""
    made = await keys.create(
        body.name, role=body.role, person=body.person, personal=body.personal, days=body.days, runtime=runtime
    )
    return NewKey(**asdict(made.key), secret=made.secret)


@router.delete("/{key_id}", **needs("admin"))
async def revoke_key(key_id: KeyId, runtime: Acting) -> Key:
    """Revoke a key at once, also for streams that are open."""
    return Key(**asdict(await keys.revoke(key_id, runtime=runtime)))
