"""Digests of the application's values under a key that the database does not hold: who can guess a value cannot confirm it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from agent.db import embedded
from agent.runtime import Runtime
from agent.settings import Settings

_KEY = "key of digests"


async def load_key(runtime: Runtime) -> None:
    """Read the key before it is needed, off the event loop: it may be in a file."""
    if _KEY not in runtime.made:
        runtime.made[_KEY] = await asyncio.to_thread(_key, runtime.settings)


def keyed(value: str, *, purpose: str, runtime: Runtime) -> str:
    """The digest of a text, good for `purpose`, this tenant and this database only; '' stays ''. Call `load_key` before."""
    if not value:
        return ""
    said = "\0".join((purpose, runtime.tenant_id, runtime.database_id, value))
    return hmac.new(runtime.made[_KEY], said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _key(settings: Settings) -> bytes:
    """From the secret that all processes share; without one from how they log in, which the database does not know either."""
    own = settings.secret or settings.audit_key
    if own is not None:
        text = own.get_secret_value()
    elif settings.embedded:
        text = embedded.read_or_make_secret(settings.home)
    else:
        urls = (settings.app_url, settings.database_url)
        text = next((url.get_secret_value() for url in urls if url is not None), "")
    return hmac.new(text.encode(), b"learning-agent digests of values", hashlib.sha256).digest()
