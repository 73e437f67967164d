"""Answers a repeated write with the answer of the first one, where the client sends `Idempotency-Key`.

The key belongs to one person of one tenant and to one request: the same key with another body is refused. A write that failed
is not kept, so that it can be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from agent.access.identity import Identity
from agent.db import load_queries
from agent.errors import InvalidInput, ThreadBusy
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MOST_KEY_CHARACTERS = 255
_MOST_BODY_BYTES = 1_000_000


class IdempotentRoute(APIRoute):
    """A route whose writes can be repeated: see the module's docstring."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if key is None or request.method not in _METHODS:
                return await handle(request)
            if not 0 < len(key) <= _MOST_KEY_CHARACTERS or not key.isprintable():
                raise InvalidInput(
                    "An Idempotency-Key is 1 to 255 printable characters: use a new UUID for each write."
                )
            if "text/event-stream" in request.headers.get("accept", ""):
                raise InvalidInput("A stream cannot be repeated: send Idempotency-Key with Accept: application/json.")
            return await _once(request, key, handle)

        return once


async def _once(request: Request, key: str, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    identity: Identity = await request.app.state.callers.identity_for(request)
    base: Runtime = request.app.state.callers.runtime
    runtime = base.for_tenant(identity.tenant_id, user=identity.person)
    body = await request.body()
    fingerprint = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    values = {"person": identity.person, "key": key, "fingerprint": fingerprint}
    if await runtime.one(_QUERIES["begin_request"], **values) is None:
        return await _answer_again(runtime, values)
    try:
        response = await handle(request)
    except BaseException:
        await runtime.execute(_QUERIES["forget_request"], **values)
        raise
    content = bytes(response.body) if hasattr(response, "body") else b""
    if response.status_code >= 500 or len(content) > _MOST_BODY_BYTES:
        await runtime.execute(_QUERIES["forget_request"], **values)
    else:
        kept = {"status": response.status_code, "content_type": response.headers.get("content-type"), "body": content}
        await runtime.execute(_QUERIES["finish_request"], **values, **kept)
    return response


async def _answer_again(runtime: Runtime, values: dict[str, Any]) -> Response:
    row = await runtime.one(_QUERIES["earlier_request"], **values)
    if row is None or row["status"] is None:
        raise ThreadBusy("The first request with this Idempotency-Key is still running: ask again in a moment.")
    if bytes(row["fingerprint"]) != values["fingerprint"]:
        raise InvalidInput("This Idempotency-Key was used for another request: use a new one for each write.")
    headers = {"Idempotent-Replayed": "true"}
    if row["content_type"]:
        headers["Content-Type"] = row["content_type"]
    return Response(bytes(row["body"] or b""), status_code=row["status"], headers=headers)
