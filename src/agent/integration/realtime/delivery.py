"""Hands events to others outside of this service: to an application's webhook, and to Pusher where the settings name an app there.

Both are durable subscriptions of a sync channel: an event is acknowledged after the other side has taken it, and comes again until
then, for hours. An event can arrive twice and is not lost.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import psycopg
import structlog

import agent.integration.realtime.apps as apps
import agent.integration.realtime.signatures as signatures
from agent.concurrency import end_tasks
from agent.db import load_queries
from agent.db.queries import fetch_all
from agent.errors import AgentError, ConfigurationError, ProviderUnavailable
from agent.integration.platform_http import ask
from agent.integration.realtime.apps import App
from agent.integration.realtime.signatures import Credentials
from agent.integration.sync_channels import sync_channel
from agent.repeating import Repeating
from agent.runtime import Runtime
from agent.settings import Settings
from agent.sync import AgentSyncService, Event

_QUERIES = load_queries(__package__)
WEBHOOKS, PUSHER = "realtime-webhooks", "pusher"
_SECONDS: Final = 9.0
_LOOK_SECONDS = 2.0
_NEVER: Final = frozenset({400, 413, 422})
# A webhook may refuse one event for good, so the others do not wait for it: twenty deliveries go on for more than two hours.
# Pusher gets one event after the other, and may be away for five hours. A pause is longer than a request waits for its answer, or
# another process would send the event meanwhile.
TERMS: Final[Mapping[str, Mapping[str, Any]]] = {
    WEBHOOKS: {"max_deliver": 20, "backoff_seconds": [1.0, 2.0, 5.0, 15.0, 30.0, 60.0, *[600.0] * 13]},
    PUSHER: {"max_deliver": 700, "backoff_seconds": [10.0, 10.0, 15.0, 30.0], "max_ack_pending": 1},
}
Poster = Callable[[str, bytes, dict[str, str]], Awaitable[None]]
_log = structlog.get_logger(__name__)


class NotTaken(ProviderUnavailable):
    """The address did not take what was sent."""


class Refused(ProviderUnavailable):
    """The address will never take what was sent."""


async def post(url: str, body: bytes, headers: dict[str, str], *, platform: str, runtime: Runtime) -> None:
    """Post events as JSON to a platform. Raises `NotTaken` or `Refused` unless the answer is a success; nobody is followed elsewhere."""
    import httpx

    try:
        answer = await ask(
            platform, "publish", "POST", url, headers={"Content-Type": "application/json", **headers}, seconds=_SECONDS,
            runtime=runtime, content=body,
        )  # fmt: skip
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotTaken(f"The address is not reached ({type(error).__name__}).") from None
    if answer.status_code in _NEVER:
        raise Refused(f"The address answers {answer.status_code}.")
    if not answer.is_success:
        raise NotTaken(f"The address answers {answer.status_code}.")


def webhook_of(app: Credentials, events: list[dict[str, Any]], *, now: float) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers by which a webhook gets events, as Pusher sends them. Pure."""
    body = json.dumps({"time_ms": int(now * 1000), "events": events}).encode()
    return body, {"X-Pusher-Key": app.key, "X-Pusher-Signature": signatures.signed(app.secret, body)}


class HostedPusher:
    """The app at Pusher that the settings name."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, settings = runtime, runtime.settings
        secret = settings.pusher_secret
        if not (settings.pusher_app_id and settings.pusher_key and secret):
            raise ConfigurationError("Set PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET and PUSHER_CLUSTER.")
        self._app = Credentials(key=settings.pusher_key, secret=secret.get_secret_value())
        self._path = f"/apps/{settings.pusher_app_id}"
        self._url = settings.pusher_url.rstrip("/") or f"https://api-{settings.pusher_cluster or 'mt1'}.pusher.com"

    @staticmethod
    def is_set(settings: Settings) -> bool:
        """Return whether the settings name an app at Pusher."""
        return bool(settings.pusher_app_id and settings.pusher_key and settings.pusher_secret)

    def request(self, data: dict[str, Any], *, now: float) -> tuple[str, bytes]:
        """Return the address and the body that publish an event. Pure."""
        event = {"name": data["event"], "channels": data["channels"], "data": data["data"]}
        body = json.dumps(event | ({"socket_id": data["without"]} if data.get("without") else {})).encode()
        query = signatures.signed_query(self._app, "POST", f"{self._path}/events", body=body, query={}, now=now)
        return f"{self._url}{self._path}/events?{query}", body

    async def check(self) -> None:
        """Ask Pusher for the app's channels. Raises `NotTaken`."""
        import httpx

        query = signatures.signed_query(self._app, "GET", f"{self._path}/channels", body=b"", query={}, now=time.time())
        try:
            url = f"{self._url}{self._path}/channels?{query}"
            answer = await ask("pusher", "check", "GET", url, seconds=_SECONDS, runtime=self._runtime)
        except httpx.HTTPError as error:
            raise NotTaken(f"Pusher is not reached ({type(error).__name__}).") from None
        if not answer.is_success:
            raise NotTaken(f"Pusher answers {answer.status_code}: check PUSHER_APP_ID, PUSHER_KEY and PUSHER_SECRET.")

    async def close(self) -> None:
        """Nothing stays open."""


class Delivery:
    """Hands over what is due, of every tenant, until it is stopped. Any number of processes may do so."""

    def __init__(
        self, runtime: Runtime, *, to_webhook: Poster | None = None, to_pusher: Poster | None = None,
        terms: Mapping[str, Mapping[str, Any]] = TERMS,
    ) -> None:  # fmt: skip
        self._runtime, self._terms = runtime, terms
        self._posts: dict[str, Poster] = {
            WEBHOOKS: to_webhook or partial(post, platform="webhook", runtime=runtime),
            PUSHER: to_pusher or partial(post, platform="pusher", runtime=runtime),
        }
        self._running: dict[tuple[str, str, int, str], asyncio.Task[None]] = {}
        self._repeating = Repeating("realtime_delivery", self._look, seconds=_LOOK_SECONDS)

    def start(self) -> None:
        """Begin."""
        self._repeating.start()

    async def stop(self) -> None:
        """End; what is not acknowledged, another process hands over."""
        await self._repeating.stop()
        await end_tasks(*self._running.values())

    async def _look(self) -> None:
        """Begin for applications that have a receiver now, and end for those that have none any more."""
        async with self._runtime.db.connection("agent_app") as conn:
            tenants = [row["tenant_id"] for row in await fetch_all(conn, _QUERIES["tenants"])]
        wanted: dict[tuple[str, str, int, str], App] = {}
        for tenant in tenants:
            acting = self._runtime.for_tenant(tenant)
            for app in await apps.every(runtime=acting):
                if app.webhook_url:
                    wanted[WEBHOOKS, tenant, app.app_id, app.app_key + app.webhook_url] = app
                if self._goes_to_pusher(app):
                    wanted[PUSHER, tenant, app.app_id, app.app_key] = app
        for key in [key for key, task in self._running.items() if key not in wanted or task.done()]:
            await end_tasks(self._running.pop(key))
        for key, app in wanted.items():
            if key not in self._running:
                self._running[key] = asyncio.create_task(self._hand_over(key[0], app))

    def _goes_to_pusher(self, app: App) -> bool:
        own = app.tenant_id == self._runtime.tenant_id and app.name == apps.DEFAULT
        return own and HostedPusher.is_set(self._runtime.settings)

    async def _hand_over(self, receiver: str, app: App) -> None:
        acting = self._runtime.for_tenant(app.tenant_id)
        service = AgentSyncService(acting)
        name = app.webhook_channel if receiver == WEBHOOKS else app.channel
        channel = await sync_channel(name, runtime=acting)
        start = "all" if receiver == WEBHOOKS else "new"
        await service.subscribe_agent_to_channel(receiver, channel, start=start, **self._terms[receiver])
        handle = self._to_webhook(app, acting) if receiver == WEBHOOKS else self._to_pusher()
        while True:
            with suppress(AgentError, psycopg.Error):
                await service.consume(receiver, channel, handle, limit=20)
            await asyncio.sleep(_LOOK_SECONDS)

    def _to_webhook(self, app: App, runtime: Runtime) -> Callable[[Event], Awaitable[None]]:
        async def handle(event: Event) -> None:
            key = await apps.credentials(app, runtime=runtime)
            body, headers = webhook_of(key, event.data["events"], now=time.time())
            await self._posts[WEBHOOKS](app.webhook_url or "", body, headers)

        return handle

    def _to_pusher(self) -> Callable[[Event], Awaitable[None]]:
        pusher = HostedPusher(self._runtime)

        async def handle(event: Event) -> None:
            if event.data.get("from") == "server":
                url, body = pusher.request(event.data, now=time.time())
                try:
                    await self._posts[PUSHER](url, body, {})
                except Refused as error:  # those behind it must not wait for what never arrives
                    _log.warning("pusher_refused_event", event_id=event.event_id, error=str(error))

        return handle
