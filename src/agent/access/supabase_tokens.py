"""Checks access tokens of Supabase users against the keys that the project publishes.

The keys are fetched without blocking and kept for ten minutes. A token that names an unknown key causes one more fetch, at most
every half minute, so that nobody can make the agent call the project again and again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from weakref import WeakValueDictionary

import httpx
import jwt
import structlog

from agent.access.identity import Identity, effective_role
from agent.approval.eligibility import ACCESS_ROLES, AccessRole
from agent.approval.people import check_not_reserved, clean_name, people
from agent.errors import AccessDenied, AgentError, NotAuthenticated, ProviderUnavailable
from agent.runtime import Runtime
from agent.settings import Settings

_ASYMMETRIC = ("ES256", "RS256", "EdDSA")
_KEEP_SECONDS, _COOL_DOWN_SECONDS = 600.0, 30.0
_LEEWAY_SECONDS = 30
_TIMEOUT_SECONDS = 5.0
_MOST_KEYS_BYTES = 1_000_000
_MOST_TOKEN_CHARACTERS = 20_000
_NOT_VALID = "The token is not valid here: sign in again, or send an API key."
_log = structlog.get_logger(__name__)


class SupabaseTokens:
    """Checks the tokens of one Supabase project. `now` is a clock in seconds that never goes back."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._issuer = f"{(settings.supabase_url or '').rstrip('/')}/auth/v1"
        self._now = now
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        # Sessions whose account is being checked at this moment, by their cookie.
        self.checking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def identity_of(self, token: str, *, runtime: Runtime) -> Identity:
        """Return whom a token stands for.

        Raises `NotAuthenticated`, `AccessDenied` for a user who belongs to no tenant, or `ProviderUnavailable` while the
        project's keys were never read and cannot be.
        """
        if not self._settings.supabase_url or len(token) > _MOST_TOKEN_CHARACTERS:
            raise NotAuthenticated(
                "This is no API key of the agent, and SUPABASE_URL is not set to accept users' tokens."
            )
        claims = await self._claims(token)
        tenant = _claim(claims, self._settings.tenant_claim)
        if not isinstance(tenant, str) or not tenant:
            raise AccessDenied(f"You belong to no tenant: an admin sets {self._settings.tenant_claim} of your user.")
        person = _person_of(claims)
        role = _claim(claims, self._settings.role_claim)
        proven = cast("AccessRole", role) if role in ACCESS_ROLES else "viewer"
        who = await people.membership(person, runtime=runtime.for_tenant(tenant))
        return Identity(
            tenant_id=tenant, person=person, role=effective_role(proven, who), personal=who.several and who.sees_personal,
            proof="token", expires_at=_expiry_of(claims), claims=claims,
        )  # fmt: skip

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key, algorithms = await self._key_for(header)
            return jwt.decode(
                token, key, algorithms=algorithms, issuer=self._issuer, audience=self._settings.supabase_jwt_audience,
                leeway=_LEEWAY_SECONDS, options={"require": ["exp", "iss", "aud", "sub"]},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:  # of what was sent
            _log.info("token_refused", reason=type(error).__name__)
            raise NotAuthenticated(_NOT_VALID) from None

    async def _key_for(self, header: Mapping[str, Any]) -> tuple[Any, list[str]]:
        """Return the key that a token's header names, and the one algorithm that it may be used with."""
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "HS256":
            secret = self._settings.supabase_jwt_secret
            if secret is None:
                raise NotAuthenticated(_NOT_VALID)
            return secret.get_secret_value(), ["HS256"]
        if algorithm not in _ASYMMETRIC or not isinstance(kid, str):
            raise NotAuthenticated(_NOT_VALID)
        key = await self._published(kid)
        if key is None or key.algorithm_name != algorithm:
            raise NotAuthenticated(_NOT_VALID)
        return key, [algorithm]

    async def _published(self, kid: str) -> jwt.PyJWK | None:
        if kid not in self._keys or self._age() > _KEEP_SECONDS:
            async with self._fetching:
                if (kid not in self._keys or self._age() > _KEEP_SECONDS) and self._may_try():
                    await self._fetch()
        if self._fetched_at is None:
            raise ProviderUnavailable(
                f"The keys of {self._settings.supabase_url} cannot be read; try again in a minute."
            )
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._now() - self._fetched_at

    def _may_try(self) -> bool:
        return self._tried_at is None or self._now() - self._tried_at >= _COOL_DOWN_SECONDS

    async def _fetch(self) -> None:
        """Read the project's keys. If that fails, those of before stay in use."""
        self._tried_at = self._now()
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client:
                answer = await client.get(f"{self._issuer}/.well-known/jwks.json")
            answer.raise_for_status()
            self._keys = _public_keys(answer.content)
        except (httpx.HTTPError, ValueError, AttributeError, jwt.PyJWTError) as error:
            _log.warning("supabase_keys_not_read", error=type(error).__name__)
            return
        self._fetched_at = self._now()


def _public_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    """Return the asymmetric keys of a JWKS document by id: a published shared secret would let everybody sign."""
    if len(document) > _MOST_KEYS_BYTES:
        raise ValueError("too large")
    keys = jwt.PyJWKSet.from_dict(json.loads(document)).keys
    return {key.key_id: key for key in keys if key.key_id and key.algorithm_name in _ASYMMETRIC}


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _expiry_of(claims: Mapping[str, Any]) -> datetime:
    """Return when a token expires. A time that no calendar has is none."""
    try:
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        raise NotAuthenticated(_NOT_VALID) from None


def _person_of(claims: Mapping[str, Any]) -> str:
    """Return the name of a token's user: the confirmed address if it has one, else the user's id."""
    try:
        person = clean_name(str(claims.get("email") or claims["sub"]))
        check_not_reserved(person)
    except AgentError:
        raise NotAuthenticated(_NOT_VALID) from None
    return person
