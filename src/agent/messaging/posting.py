"""Post JSON to an address that a setting names, and say whether it can be tried again."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping

import aiohttp

from agent.messaging.base import TryLater, Undeliverable

_SECONDS = 9.0


async def post_json(
    url: str, body: bytes, headers: Mapping[str, str] | None = None, *, name: str, setting: str
) -> None:
    """Post `body` once; only an answer of 2xx is a delivery, and nobody is followed elsewhere.

    Raises `TryLater` if the address is away or busy, and `Undeliverable`, which names the setting, if it refuses.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as answer,
        ):
            status, after = answer.status, answer.headers.get("Retry-After", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TryLater(f"{name} is not reached ({type(error).__name__}).") from None
    if status == 429 or status >= 500:
        raise TryLater(f"{name} answers {status}.", seconds=float(after) if after.isdecimal() else None)
    if status >= 300:
        raise Undeliverable(f"{name} refuses what it gets ({status}): correct {setting}.")


def signature(key: bytes, identifier: str, body: bytes) -> Mapping[str, str]:
    """Return the headers that sign `body` as standardwebhooks.com describes.

    The same message keeps its `identifier`, so that a receiver can tell what it got twice.
    """
    stamp = str(int(time.time()))
    signed = base64.b64encode(hmac.digest(key, f"{identifier}.{stamp}.".encode() + body, "sha256")).decode()
    return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"}
