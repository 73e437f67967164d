"""Checks access tokens of Supabase users against the keys that the project publishes."""

from __future__ import annotations

from agent.access.identity import Identity
from agent.errors import NotAuthenticated
from agent.runtime import Runtime
from agent.settings import Settings


class SupabaseTokens:
    """Checks the tokens of one Supabase project."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def identity_of(self, token: str, *, runtime: Runtime) -> Identity:
        """Return whom a token stands for. Raises `NotAuthenticated`."""
        raise NotAuthenticated("The token is not valid here: set SUPABASE_URL to accept tokens of Supabase users.")
