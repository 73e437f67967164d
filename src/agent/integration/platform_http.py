"""Calls platforms over HTTP: each call is a span with the platform, the operation and the status, and nobody is followed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.runtime import Runtime
from agent.telemetry import platform_span, trace_headers

if TYPE_CHECKING:
    import httpx


async def ask(
    platform: str, operation: str, method: str, url: str, *, headers: Mapping[str, str] | None = None, seconds: float,
    runtime: Runtime, **more: Any,
) -> httpx.Response:  # fmt: skip
    """Return the answer of a platform. Raises `httpx.HTTPError` and `httpx.InvalidURL`."""
    import httpx

    with platform_span(platform, operation, runtime=runtime) as span:
        asked = {**(headers or {}), **trace_headers(httpx.URL(url).host, runtime=runtime)}
        async with httpx.AsyncClient(timeout=seconds, follow_redirects=False, trust_env=False) as client:
            answer = await client.request(method, url, headers=asked, **more)
        span.note(status=answer.status_code)
        if answer.is_error:
            span.fail(str(answer.status_code))
    return answer
