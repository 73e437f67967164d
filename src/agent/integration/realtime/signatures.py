"""Signatures as Pusher defines them: of subscriptions, sign-ins, requests to the HTTP API, and webhooks. Pure.

Everything is HMAC-SHA256 with the secret of an application, in hexadecimal, and compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

CLOCK_SECONDS: Final = 600
_UNSIGNED = "auth_signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The key of an application, which everybody may know, and its secret."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials(key={self.key!r})"


def signed(secret: str, text: str | bytes) -> str:
    """Return the signature of a text."""
    return hmac.new(secret.encode(), text if isinstance(text, bytes) else text.encode(), hashlib.sha256).hexdigest()


def channel_auth(app: Credentials, socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """Return what lets one connection subscribe to a private or presence channel."""
    text = f"{socket_id}:{channel}" if channel_data is None else f"{socket_id}:{channel}:{channel_data}"
    return f"{app.key}:{signed(app.secret, text)}"


def user_auth(app: Credentials, socket_id: str, user_data: str) -> str:
    """Return what lets one connection sign in as the user of `user_data`."""
    return f"{app.key}:{signed(app.secret, f'{socket_id}::user::{user_data}')}"


def matches(given: object, expected: str) -> bool:
    """Return whether a signature that somebody sent is the expected one."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def request_text(method: str, path: str, query: Mapping[str, str]) -> str:
    """Return the text of a request that is signed: names in lower case and in order, values as they are."""
    pairs = sorted((name.lower(), value) for name, value in query.items() if name.lower() != _UNSIGNED)
    return "\n".join((method.upper(), path, "&".join(f"{name}={value}" for name, value in pairs)))


def signed_query(app: Credentials, method: str, path: str, *, body: bytes, query: Mapping[str, str], now: float) -> str:
    """Return the query of a request to the HTTP API, with its signature."""
    values = {**query, "auth_key": app.key, "auth_timestamp": str(int(now)), "auth_version": "1.0"}
    if body:
        values["body_md5"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    values[_UNSIGNED] = signed(app.secret, request_text(method, path, values))
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())


def why_refused(
    app: Credentials, method: str, path: str, *, body: bytes, query: Mapping[str, str], now: float
) -> str | None:
    """Return why a request to the HTTP API is refused, or None where its signature is right, of now, and of this body."""
    if query.get("auth_key") != app.key:
        return "There is no application with this auth_key."
    if query.get("auth_version") != "1.0":
        return "auth_version must be 1.0."
    stamp = query.get("auth_timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 13) or abs(now - int(stamp)) > CLOCK_SECONDS:
        return "auth_timestamp is not within 600 seconds of the server's time: set the clock."
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if (body or "body_md5" in query) and not matches(query.get("body_md5"), digest):
        return "body_md5 is not the MD5 of the body."
    if not matches(query.get(_UNSIGNED), signed(app.secret, request_text(method, path, query))):
        return "auth_signature is wrong: sign the request with the application's secret."
    return None
