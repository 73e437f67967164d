"""Signs stored values with a key that the database does not hold, to detect a change of them there."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

from agent.db import embedded
from agent.errors import ConfigurationError
from agent.runtime import Runtime


def sign(purpose: str, *parts: Any, runtime: Runtime) -> str:
    """Return a signature over JSON values and bytes for `purpose` in this tenant and database. Raises `ConfigurationError`."""
    values = [
        part.hex() if isinstance(part, bytes) else part for part in (runtime.tenant_id, runtime.database_id, *parts)
    ]
    return hmac.new(_key(purpose, runtime), json.dumps(values, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def is_signed(signature: str | None, purpose: str, *parts: Any, runtime: Runtime) -> bool:
    """Return whether `signature` is the one that `sign` makes of these values."""
    return signature is not None and hmac.compare_digest(signature, sign(purpose, *parts, runtime=runtime))


async def load_secret(runtime: Runtime) -> None:
    """Read the secret off the event loop before it is needed, because it may be in a file. Raises `ConfigurationError`."""
    if "signing secret" not in runtime.made:
        runtime.made["signing secret"] = await asyncio.to_thread(_secret, runtime)


def _key(purpose: str, runtime: Runtime) -> bytes:
    keys: dict[str, bytes] = runtime.made.setdefault("signing keys", {})
    if purpose not in keys:
        keys[purpose] = hmac.new(
            runtime.made.get("signing secret") or _secret(runtime), f"learning-agent {purpose}".encode(), hashlib.sha256
        ).digest()
    return keys[purpose]


def _secret(runtime: Runtime) -> bytes:
    settings = runtime.settings
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    if settings.embedded:
        return embedded.read_or_make_secret(settings.home).encode()
    raise ConfigurationError("Tools that the agent creates are signed with AGENT_SECRET: set it.")
