"""Makes, lists, revokes and checks API keys. Only a hash of a key is stored, so that nobody can read a key from the database.

A key names its tenant, because the tables show rows only to a tenant: `agk_<tenant>_<secret>`. The tenant counts only after
the hash of the whole key was found among that tenant's keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from agent.access.identity import Identity, effective_role
from agent.approval.eligibility import ACCESS_ROLES, AccessRole
from agent.approval.people import check_not_reserved, clean_name, people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import DecisionRefused, InvalidInput, NotAuthenticated, NotFound
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__)
_PREFIX = "agk"
_SECRET = re.compile(r"([a-z]{3})_([A-Za-z0-9-]{1,400})_([A-Za-z0-9-]{43})\Z")
_HINT_CHARS = 4
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret. `hint` is its last characters."""

    id: int
    name: str
    hint: str
    person: str
    role: AccessRole
    personal: bool
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was made now. `secret` is the key itself, which nobody can see a second time."""

    key: ApiKey
    secret: str


async def create(
    name: str,
    *,
    role: AccessRole = "operator",
    person: str | None = None,
    personal: bool = False,
    days: float | None = None,
    runtime: Runtime | None = None,
) -> NewKey:
    """Make a key for `person` (default: the runtime's user) that expires after `days`.

    Raises `InvalidInput`, or `DecisionRefused` unless an admin calls.
    """
    runtime = runtime or await current_runtime()
    if role not in ACCESS_ROLES:
        raise InvalidInput(f"{role!r} is not a role: the roles are {', '.join(ACCESS_ROLES)}.")
    owner = clean_name(person or runtime.user)
    check_not_reserved(owner)
    await _check_admin(runtime)
    secret = named_secret(_PREFIX, runtime.tenant_id)
    row = await runtime.one(
        _QUERIES["create_key"], name=clean_name(name), hash=hash_of(secret), hint=secret[-_HINT_CHARS:], person=owner, role=role,
        personal=personal, created_by=runtime.user, lifetime=None if days is None else timedelta(days=days),
    )  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    seal_soon(runtime)
    _log.warning("api_key_created", id=row["id"], name=row["name"], person=owner, role=role)
    return NewKey(key=_api_key(row), secret=secret)


async def list_keys(*, runtime: Runtime | None = None) -> list[ApiKey]:
    """Return every key of the tenant, the newest first. Raises `DecisionRefused` unless an admin calls."""
    runtime = runtime or await current_runtime()
    await _check_admin(runtime)
    return [_api_key(row) for row in await runtime.all(_QUERIES["keys"])]


async def revoke(key_id: int, *, runtime: Runtime | None = None) -> ApiKey:
    """End a key at once, also for streams that are open. Raises `NotFound`, or `DecisionRefused` unless an admin calls."""
    runtime = runtime or await current_runtime()
    await _check_admin(runtime)
    row = await runtime.one(_QUERIES["revoke_key"], id=key_id, revoked_by=runtime.user)
    if row is None:
        raise NotFound(f"There is no valid key {key_id}. `agent keys list` shows them.")
    seal_soon(runtime)
    _log.warning("api_key_revoked", id=key_id)
    return _api_key(row)


async def identity_of(secret: str, *, runtime: Runtime) -> Identity:
    """Return whom a key stands for. Raises `NotAuthenticated` without a hint why, so that keys cannot be probed."""
    tenant = tenant_in(_PREFIX, secret)
    row = None
    if tenant is not None:
        runtime = runtime.for_tenant(tenant)
        row = await runtime.one(_QUERIES["key_of_hash"], hash=hash_of(secret))
    if row is None:
        raise NotAuthenticated("The API key is not valid: it is wrong, expired or revoked. Ask an admin for a new one.")
    await runtime.execute(_QUERIES["key_used"], id=row["id"])
    who = await people.membership(row["person"], runtime=runtime)
    return Identity(
        tenant_id=runtime.tenant_id, person=row["person"], role=effective_role(row["role"], who),
        personal=row["personal"] and who.sees_personal, proof="key", key_id=row["id"], expires_at=row["expires_at"],
    )  # fmt: skip


async def still_valid(identity: Identity, *, runtime: Runtime) -> bool:
    """Return whether the key or token of an identity has not expired, and the key was not revoked."""
    if identity.expires_at is not None and identity.expires_at <= datetime.now(UTC):
        return False
    if identity.key_id is None:
        return True
    return await runtime.for_tenant(identity.tenant_id).one(_QUERIES["key_is_valid"], id=identity.key_id) is not None


async def any_key(*, runtime: Runtime) -> bool:
    """Return whether the runtime's tenant has a valid key."""
    row = await runtime.one(_QUERIES["any_key"])
    return bool(row and row["any"])


def hash_of(secret: str) -> bytes:
    """Return what is stored of a key. Its 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def named_secret(prefix: str, tenant_id: str) -> str:
    """Return a new random secret that names its tenant: `<prefix>_<tenant>_<random>`."""
    # base32 for the tenant and no underscore in the secret: the parts can be told apart.
    tenant = base64.b32encode(tenant_id.encode()).decode().rstrip("=")
    return f"{prefix}_{tenant}_{secrets.token_urlsafe(32).replace('_', '-')}"


def tenant_in(prefix: str, secret: str) -> str | None:
    """Return the tenant that a secret names, or None if it is none of this prefix. Only its hash proves anything."""
    found = _SECRET.match(secret)
    if found is None or found[1] != prefix:
        return None
    text = found[2]
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8)).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


async def _check_admin(runtime: Runtime) -> None:
    who = await people.membership(runtime=runtime)
    if who.several and not (who.person and who.person.is_admin):
        raise DecisionRefused(f"Only an admin sees and makes keys, and {who.name!r} is none (`agent people list`).")


def _api_key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**{name: row[name] for name in ApiKey.__dataclass_fields__})
