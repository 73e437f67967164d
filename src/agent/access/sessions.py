"""Keeps who is signed in in a browser. The browser's cookie is a random value, of which only a hash is stored.

A session begins with a key or token that was checked. It ends after its time, at sign-out, with its key, and for a person whose
rights were taken away: the role is worked out anew at every request.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from psycopg.types.json import Jsonb

from agent.access.identity import Identity, effective_role
from agent.access.keys import hash_of, named_secret, tenant_in
from agent.approval.people import people
from agent.db import load_queries
from agent.errors import NotAuthenticated
from agent.runtime import Runtime

_QUERIES = load_queries(__package__, "sessions.sql")
_PREFIX = "ags"
_OVER = "Your session is over: sign in again."
_log = structlog.get_logger(__name__)


async def begin(identity: Identity, *, runtime: Runtime) -> str:
    """Begin a session for who has just proved who they are, and return the value of its cookie."""
    secret = named_secret(_PREFIX, identity.tenant_id)
    # A token lives for an hour, the session for hours: the token was only the proof at its beginning.
    until = identity.expires_at if identity.proof == "key" else None
    await runtime.for_tenant(identity.tenant_id).one(
        _QUERIES["create_session"], hash=hash_of(secret), person=identity.person, role=identity.role, personal=identity.personal,
        key_id=identity.key_id, claims=None if identity.claims is None else Jsonb(dict(identity.claims)),
        lifetime=timedelta(hours=runtime.settings.console_hours), until=until,
    )  # fmt: skip
    _log.info("console_session_began", person=identity.person, proof=identity.proof)
    return secret


async def identity_of(secret: str, *, runtime: Runtime) -> Identity:
    """Return who is signed in with a cookie's value. Raises `NotAuthenticated`."""
    tenant = tenant_in(_PREFIX, secret)
    if tenant is None:
        raise NotAuthenticated(_OVER)
    runtime = runtime.for_tenant(tenant)
    row = await runtime.one(_QUERIES["session_of_hash"], hash=hash_of(secret))
    if row is None:
        raise NotAuthenticated(_OVER)
    who = await people.membership(row["person"], runtime=runtime)
    return Identity(
        tenant_id=tenant, person=row["person"], role=effective_role(row["role"], who),
        personal=row["personal"] and who.sees_personal, proof="token" if row["key_id"] is None else "key", key_id=row["key_id"],
        expires_at=row["expires_at"], claims=row["claims"],
    )  # fmt: skip


async def end(secret: str, *, runtime: Runtime) -> None:
    """End a session."""
    tenant = tenant_in(_PREFIX, secret)
    if tenant is not None:
        await runtime.for_tenant(tenant).execute(_QUERIES["end_session"], hash=hash_of(secret))
