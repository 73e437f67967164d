"""Signs people in with their account of the Supabase project: with a password, or with a link that the project mails.

What comes back is an access token, which `SupabaseTokens` then checks as it checks every other one, and a refresh token, with
which the project says later whether the account still may.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import structlog

from agent.errors import ConfigurationError, NotAuthenticated, ProviderUnavailable
from agent.settings import Settings

if TYPE_CHECKING:
    from supabase import AsyncClient
    from supabase_auth.types import AuthResponse

_TIMEOUT_SECONDS = 10.0
_REFUSED = "The project did not accept that: check the address and the password, or ask for a new link."
_AWAY = "{} did not answer as it should: try again in a minute."
_REFUSALS = (400, 401, 403, 404, 422)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTokens:
    """What the project gives to who has signed in. `refresh` works once."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)

    @classmethod
    def of(cls, answer: AuthResponse) -> AccountTokens:
        """Return the tokens in an answer of the project. Raises `NotAuthenticated` where there are none."""
        if answer.session is None:
            raise NotAuthenticated(_REFUSED)
        return cls(access=answer.session.access_token, refresh=answer.session.refresh_token)


class _Kept:
    """What the client keeps of one sign-in: the secret that belongs to a mailed link."""

    def __init__(self) -> None:
        self._items: dict[str, str] = {}

    async def get_item(self, key: str) -> str | None:
        return self._items.get(key)

    async def set_item(self, key: str, value: str) -> None:
        self._items[key] = value

    async def remove_item(self, key: str) -> None:
        self._items.pop(key, None)

    @property
    def verifier(self) -> str:
        """Return the secret without which a mailed link signs nobody in."""
        found = next((value for key, value in self._items.items() if key.endswith("-code-verifier")), "")
        return found.partition("/")[0]


def offered(settings: Settings) -> bool:
    """Return whether people can sign in with their account."""
    return bool(settings.supabase_url and settings.supabase_anon_key)


async def with_password(email: str, password: str, settings: Settings) -> AccountTokens:
    """Return the tokens of an account. Raises `NotAuthenticated` or `ProviderUnavailable`."""
    async with _client(settings, _Kept()) as client:
        return AccountTokens.of(await client.auth.sign_in_with_password({"email": email, "password": password}))


async def send_link(email: str, to: str, settings: Settings) -> str:
    """Let the project mail a link that leads to the address `to`, and return the secret that belongs to it. It makes no account."""
    kept = _Kept()
    try:
        async with _client(settings, kept) as client:
            await client.auth.sign_in_with_otp(
                {"email": email, "options": {"email_redirect_to": to, "should_create_user": False}}
            )
    except NotAuthenticated:  # whether an address has an account is nobody's business
        _log.info("link_not_sent")
    return kept.verifier


async def with_link(code: str, verifier: str, settings: Settings) -> AccountTokens:
    """Return the tokens that a mailed link and the secret of its sign-in stand for. Raises as `with_password` does."""
    async with _client(settings, _Kept()) as client:
        answer = await client.auth.exchange_code_for_session(
            {"auth_code": code, "code_verifier": verifier, "redirect_to": ""}
        )
        return AccountTokens.of(answer)


async def refreshed(refresh: str, settings: Settings) -> AccountTokens:
    """Return new tokens for an account that still may. Raises `NotAuthenticated` for one that the project has disabled or removed."""
    async with _client(settings, _Kept()) as client:
        return AccountTokens.of(await client.auth.refresh_session(refresh))


@asynccontextmanager
async def _client(settings: Settings, kept: _Kept) -> AsyncIterator[AsyncClient]:
    from supabase import AsyncClientOptions, AuthError, acreate_client  # start-up: it imports much

    if settings.supabase_url is None or settings.supabase_anon_key is None:
        raise ConfigurationError("Signing in with an account needs SUPABASE_URL and SUPABASE_ANON_KEY.")
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False) as http:
        options = AsyncClientOptions(
            auto_refresh_token=False, persist_session=False, flow_type="pkce", storage=kept, httpx_client=http  # type: ignore[arg-type]  # it has the methods that are called
        )  # fmt: skip
        try:
            yield await acreate_client(settings.supabase_url, settings.supabase_anon_key.get_secret_value(), options)
        except AuthError as error:
            if getattr(error, "status", _REFUSALS[0]) not in _REFUSALS:  # it is busy, or fails
                raise ProviderUnavailable(_AWAY.format(settings.supabase_url)) from error
            _log.info("account_refused", reason=type(error).__name__)
            raise NotAuthenticated(_REFUSED) from None
        except (httpx.HTTPError, ValueError) as error:  # what answers may be no project at all
            raise ProviderUnavailable(_AWAY.format(settings.supabase_url)) from error
