"""Keeps who is signed in in a browser. The browser's cookie is a random value, of which only a hash is stored.

A session begins with a key or token that was checked. It ends after its time, at sign-out, with its key, and for a person whose
rights were taken away: the role is worked out anew at every request. The session of an account of the Supabase project is checked
with the project every AGENT_CONSOLE_RECHECK_MINUTES, and ends when the project refuses it. While the project does not answer, it goes
on until the last access token expires, as that token itself would; after that nobody gets in, and the session waits.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken
from psycopg.types.json import Jsonb

from agent.access import supabase_accounts
from agent.access.identity import Identity, effective_role
from agent.access.keys import hash_of, named_secret, tenant_in
from agent.access.supabase_tokens import SupabaseTokens
from agent.approval.people import people
from agent.db import load_queries
from agent.errors import AccessDenied, NotAuthenticated, ProviderUnavailable
from agent.runtime import Runtime

_QUERIES = load_queries(__package__, "sessions.sql")
_PREFIX = "ags"
_OVER = "Your session is over: sign in again."
_AWAY = "The project that knows your account does not answer, so nobody can say whether you still may: try again in a minute."
_TRY_AGAIN = timedelta(seconds=30)
_log = structlog.get_logger(__name__)


async def begin(identity: Identity, *, refresh: str = "", runtime: Runtime) -> str:
    """Begin a session for who has just proved who they are, and return the value of its cookie.

    With the `refresh` token of an account, the session is checked with its project from time to time.
    """
    secret = named_secret(_PREFIX, identity.tenant_id)
    # A token lives for an hour, the session for hours: the token was only the proof at its beginning.
    until = identity.expires_at if identity.proof == "key" else None
    await runtime.for_tenant(identity.tenant_id).one(
        _QUERIES["create_session"], hash=hash_of(secret), person=identity.person, role=identity.role, personal=identity.personal,
        key_id=identity.key_id, claims=_json(identity), refresh=_sealed(refresh, secret) if refresh else None,
        proven_until=identity.expires_at if refresh else None, lifetime=timedelta(hours=runtime.settings.console_hours), until=until,
    )  # fmt: skip
    _log.info("console_session_began", person=identity.person, proof=identity.proof)
    return secret


async def identity_of(secret: str, *, tokens: SupabaseTokens, runtime: Runtime) -> Identity:
    """Return who is signed in with a cookie's value. Raises `NotAuthenticated`, or `ProviderUnavailable` for an account that nobody can check."""
    tenant = tenant_in(_PREFIX, secret)
    if tenant is None:
        raise NotAuthenticated(_OVER)
    runtime = runtime.for_tenant(tenant)
    row = await _row(secret, runtime)
    checking = tokens.checking.setdefault(secret, asyncio.Lock())
    if row["due"] or checking.locked():  # a decision does not overtake the check of who decides
        async with checking:
            row = await _row(secret, runtime)
            if row["due"] and await _check(secret, row, tokens, runtime):
                row = await _row(secret, runtime)
    if row["unproven"]:
        raise ProviderUnavailable(_AWAY)
    who = await people.membership(row["person"], runtime=runtime)
    return Identity(
        tenant_id=tenant, person=row["person"], role=effective_role(row["role"], who),
        personal=row["personal"] and who.sees_personal, proof="token" if row["key_id"] is None else "key", key_id=row["key_id"],
        expires_at=row["expires_at"], claims=row["claims"],
    )  # fmt: skip


async def _row(secret: str, runtime: Runtime) -> dict[str, Any]:
    row = await runtime.one(_QUERIES["session_of_hash"], hash=hash_of(secret), every=_every(runtime))
    if row is None:
        raise NotAuthenticated(_OVER)
    return row


async def _check(secret: str, row: dict[str, Any], tokens: SupabaseTokens, runtime: Runtime) -> bool:
    """Ask the project whether an account still may, and return whether it said so. It raises `NotAuthenticated` for one that may not.

    One request asks. Those of this process wait for it; those of others go on with what was known before.
    """
    hash_ = hash_of(secret)
    claimed = await runtime.one(_QUERIES["claim_check"], hash=hash_, every=_every(runtime))
    if claimed is None:
        return False
    try:
        given = await supabase_accounts.refreshed(_opened(claimed["refresh"], secret), runtime.settings)
        identity = await tokens.identity_of(given.access, runtime=runtime)
        _check_same(identity, row["claims"], runtime.tenant_id)
    except (NotAuthenticated, AccessDenied):
        await end(secret, runtime=runtime)
        _log.info("console_session_ended", person=row["person"], reason="the project refuses the account")
        raise NotAuthenticated(_OVER) from None
    except ProviderUnavailable:
        await runtime.execute(_QUERIES["check_soon"], hash=hash_, every=_every(runtime), wait=_TRY_AGAIN)
        _log.warning("console_session_not_checked", person=row["person"])
        return False
    await runtime.execute(
        _QUERIES["checked"], hash=hash_, refresh=_sealed(given.refresh, secret), proven_until=identity.expires_at, role=identity.role,
        personal=identity.personal, claims=_json(identity),
    )  # fmt: skip
    return True


def _every(runtime: Runtime) -> timedelta:
    return timedelta(minutes=runtime.settings.console_recheck_minutes)


def _check_same(identity: Identity, claims: Any, tenant_id: str) -> None:
    if (identity.tenant_id, _subject(identity.claims)) != (tenant_id, _subject(claims)):
        raise AccessDenied(_OVER)


def _subject(claims: Any) -> str:
    return str((claims or {}).get("sub", ""))


def _json(identity: Identity) -> Jsonb | None:
    return None if identity.claims is None else Jsonb(dict(identity.claims))


def _sealed(refresh: str, secret: str) -> bytes:
    """Return a refresh token so that only who has the session's cookie can read it: the database alone does not help."""
    return _cipher(secret).encrypt(refresh.encode())


def _opened(sealed: bytes, secret: str) -> str:
    try:
        return _cipher(secret).decrypt(sealed).decode()
    except InvalidToken:
        raise NotAuthenticated(_OVER) from None


def _cipher(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"refresh token of {secret}".encode()).digest()))


async def end(secret: str, *, runtime: Runtime) -> None:
    """End a session."""
    tenant = tenant_in(_PREFIX, secret)
    if tenant is not None:
        await runtime.for_tenant(tenant).execute(_QUERIES["end_session"], hash=hash_of(secret))
