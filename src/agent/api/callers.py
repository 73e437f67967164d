"""Finds out who calls a route, what their role allows, and the runtime that acts for them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItem
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from agent.access import keys
from agent.access.identity import Identity, effective_role
from agent.access.supabase_tokens import SupabaseTokens
from agent.api.guard import LOCAL_NAMES, host_name
from agent.approval.eligibility import AccessRole
from agent.approval.people import people
from agent.errors import NotAuthenticated
from agent.runtime import Runtime

_BEARER = HTTPBearer(
    auto_error=False, description="An API key (`agent keys create`) or the access token of a Supabase user."
)
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_HOW_TO = "Send `Authorization: Bearer <API key>`; an admin makes one with `agent keys create`."


class Callers:
    """What an application needs to know its callers. One for each application."""

    def __init__(self, runtime: Runtime, *, limit: RateLimitItem, limiter: MovingWindowRateLimiter) -> None:
        self.runtime = runtime
        self.tokens = SupabaseTokens(runtime.settings)
        self.limit = limit
        self.limiter = limiter

    async def identify(self, request: HTTPConnection, bearer: str | None) -> Identity:
        """Return who calls. Raises `NotAuthenticated`."""
        if bearer is None:
            return await self._local(request)
        if bearer.startswith("agk_"):
            return await keys.identity_of(bearer, runtime=self.runtime)
        return await self.tokens.identity_of(bearer, runtime=self.runtime)

    async def identity_for(self, request: HTTPConnection) -> Identity:
        """Return who sent a request, from its headers. Raises `NotAuthenticated`."""
        known: Identity | None = getattr(request.state, "identity", None)
        if known is None:
            scheme, _, proof = request.headers.get("authorization", "").partition(" ")
            if scheme and scheme.lower() != "bearer":  # another scheme must not count as no proof at all
                raise NotAuthenticated(_HOW_TO)
            if scheme and not proof.strip():
                raise NotAuthenticated(_HOW_TO)
            known = request.state.identity = await self.identify(request, proof.strip() or None)
        return known

    async def _local(self, request: HTTPConnection) -> Identity:
        """Return the runtime's own user for a call from this machine that nobody forwarded."""
        client = request.client.host if request.client else ""
        near = client in ("127.0.0.1", "::1") and host_name(request.headers.get("host", "")) in LOCAL_NAMES
        if self.runtime.settings.api_auth != "auto" or not near or any(name in request.headers for name in _FORWARDED):
            raise NotAuthenticated(_HOW_TO)
        who = await people.membership(runtime=self.runtime)
        return Identity(
            tenant_id=self.runtime.tenant_id, person=self.runtime.user, role=effective_role("admin", who),
            personal=who.sees_personal, proof="local",
        )  # fmt: skip

    async def within_limit(self, identity: Identity) -> bool:
        """Count one message of a caller, and return whether they may send it (AGENT_RATE_LIMIT)."""
        name = f"{identity.tenant_id}/{identity.person}/{identity.key_id or ''}"
        return await self.limiter.hit(self.limit, name)

    def acting_for(self, identity: Identity) -> Runtime:
        """Return the runtime that acts for a caller: their tenant, their name, and what they may see."""
        acting = self.runtime.for_tenant(identity.tenant_id, user=identity.person, masked=not identity.personal)
        reads_as_user = identity.claims is not None and self.runtime.settings.claims is not None
        return acting.reading_as(identity.claims) if reads_as_user else acting


async def _caller(
    request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Identity:
    callers: Callers = request.app.state.callers
    identity = await callers.identity_for(request)
    if not await callers.within_limit(identity):
        raise HTTPException(
            429, "You have sent too many requests (AGENT_RATE_LIMIT): wait a moment.", {"Retry-After": "5"}
        )
    return identity


Caller = Annotated[Identity, Depends(_caller)]


async def _acting(request: Request, identity: Caller) -> Runtime:
    callers: Callers = request.app.state.callers
    return callers.acting_for(identity)


# The runtime that acts for the caller: their tenant, their name, and what they may see.
Acting = Annotated[Runtime, Depends(_acting)]


def needs(role: AccessRole) -> dict[str, Any]:
    """Return the options of a route that needs `role`: `@router.get("/api/threads", **needs("viewer"))`."""

    async def check(identity: Caller) -> None:
        identity.require(role)

    return {"dependencies": [Depends(check)], "openapi_extra": {"x-role": role}}
