"""Makes keyed digests of the application's values. The database does not hold the key, so a digest confirms no guess."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from agent.db import embedded
from agent.runtime import Runtime
from agent.settings import Settings

_KEY = "key of digests"


async def load_key(runtime: Runtime) -> None:
    """Read the key off the event loop, because it may be in a file. Call this before `keyed`."""
    if _KEY not in runtime.made:
        runtime.made[_KEY] = await asyncio.to_thread(_key, runtime.settings)


def keyed(value: str, *, purpose: str, runtime: Runtime) -> str:
    """Return the digest of a text for `purpose` in this tenant and database, as 32 hex digits; '' stays ''."""
    if not value:
        return ""
    message = "\0".join((purpose, runtime.tenant_id, runtime.database_id, value))
    return hmac.new(runtime.made[_KEY], message.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _key(settings: Settings) -> bytes:
    """Derive the key from the secret that all processes share, or else from their login URL: the database knows neither."""
    own = settings.secret or settings.audit_key
    if own is not None:
        text = own.get_secret_value()
    elif settings.embedded:
        text = embedded.read_or_make_secret(settings.home)
    else:
        urls = (settings.app_url, settings.database_url)
        text = next((url.get_secret_value() for url in urls if url is not None), "")
    return hmac.new(text.encode(), b"learning-agent digests of values", hashlib.sha256).digest()
