"""Says for whom a message of a client is worked on: the local user over standard input, whoever the proof names over HTTP."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

from agent.access.identity import Identity, effective_role
from agent.approval.people import people
from agent.errors import NotAuthenticated
from agent.runtime import Runtime, use_runtime

Message: TypeAlias = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and the runtime that acts for them. Its results are read by another program's model."""

    identity: Identity
    runtime: Runtime


class Finder(Protocol):
    """Finds out who sent a message."""

    async def find(self, ctx: Message) -> Caller:
        """Return who sent a message. Raises `NotAuthenticated`."""
        ...

    def principal(self, ctx: Message) -> str:
        """Return a name of who sent a message, to whom the state of a call belongs."""
        ...


_caller: ContextVar[Caller] = ContextVar("agent_mcp_caller")


def caller() -> Caller:
    """Return who sent the message that is worked on."""
    return _caller.get()


def middleware_of(finder: Finder) -> ServerMiddleware[Any]:
    """Return the middleware that finds out who sent a message before anything looks at it."""

    async def with_caller(ctx: Message, call_next: CallNext) -> HandlerResult:
        found = await finder.find(ctx)
        token = _caller.set(found)
        try:
            with use_runtime(found.runtime):
                return await call_next(ctx)
        finally:
            _caller.reset(token)

    return with_caller


class LocalUser:
    """The local user of this process, with their role."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def find(self, ctx: Message) -> Caller:
        """Return the local user."""
        runtime = self._runtime
        who = await people.membership(runtime=runtime)
        identity = Identity(
            tenant_id=runtime.tenant_id, person=runtime.user, role=effective_role("admin", who), personal=who.sees_personal,
            proof="local",
        )  # fmt: skip
        return Caller(identity=identity, runtime=replace(runtime, outside_model=True))

    def principal(self, ctx: Message) -> str:
        """Return the local user's name."""
        return f"{self._runtime.tenant_id}/{self._runtime.user}"


class ProvenCaller:
    """Whoever the API key, the token or this machine proves, as the surface in front has found out."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def find(self, ctx: Message) -> Caller:
        """Return the caller with a runtime of their tenant, under their name, with what they may see."""
        identity, runtime = _identity(ctx), self._runtime
        acting = runtime.for_tenant(identity.tenant_id, user=identity.person, masked=not identity.personal)
        if identity.claims is not None and runtime.settings.claims is not None:
            acting = acting.reading_as(identity.claims)
        return Caller(identity=identity, runtime=replace(acting, outside_model=True))

    def principal(self, ctx: Message) -> str:
        """Return the name of the caller and of their key."""
        identity = _identity(ctx)
        return f"{identity.tenant_id}/{identity.person}/{identity.key_id or ''}"


def _identity(ctx: Message) -> Identity:
    identity: Identity | None = getattr(ctx.request.state, "identity", None) if ctx.request else None
    if identity is None:
        raise NotAuthenticated("Nobody is proven to have sent this.")
    return identity
