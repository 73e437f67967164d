"""The realtime update agent: channels for clients of Pusher, and publishing to Pusher itself where it is set up.

While Pusher is away, or not set up at all, clients get the same events from this server's WebSocket: `where` names both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import agent.integration.realtime.apps as apps
import agent.integration.realtime.delivery as delivery
import agent.integration.realtime.occupancy as occupancy
import agent.integration.realtime.publishing as publishing
from agent.errors import InvalidInput
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.events import IntegrationEvent
from agent.runtime import Runtime


class RealtimeUpdateAgent(BaseIntegrationAgent):
    """Publishes events to channels and says who is there."""

    name = "realtime_update"
    summary = "Channels that clients of Pusher speak to: presence, client events, webhooks; passes events on to Pusher."
    capabilities = ("channel management", "websocket fallback", "message queue", "delivery guarantees", "presence")

    async def initialize(self) -> None:
        """Begin to hand over what webhooks and Pusher are still to get."""
        if delivery.HostedPusher.is_set(self.runtime.settings):
            self.connect("pusher", delivery.HostedPusher(self.runtime))
        self._delivery = delivery.Delivery(self.runtime, to_pusher=self._post_to_pusher)
        self._delivery.start()

    async def shutdown(self) -> None:
        """Hand over nothing more; another process does."""
        await self._delivery.stop()

    def tasks(self) -> Mapping[str, Task]:
        """Return what it can do."""
        return {
            "broadcast_update": self._broadcast, "broadcast": self._broadcast, "list_channels": self._channels,
            "presence": self._presence,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Publish what other agents ask to be told to clients: an event of the type `broadcast`."""
        if event.event_type == "broadcast":
            await self._broadcast(event.data, runtime=runtime)

    async def _broadcast(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Publish `data` as `event` on `channel` or `channels`, and return where clients listen."""
        named = parameters.get("channels") or [parameters.get("channel") or "updates"]
        if not isinstance(named, list | tuple):
            raise InvalidInput("channels is a list of names.")
        data = parameters.get("data", {})
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
        event = publishing.checked(named, parameters.get("event") or parameters.get("event_type") or "update", text)
        app = await apps.default(runtime=runtime)
        await publishing.publish(app, [event], runtime=runtime)
        return {"published": True, "event": event.event, "channels": list(event.channels), "app_id": str(app.app_id)}

    async def _channels(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        app = await apps.default(runtime=runtime)
        found = await occupancy.occupied(app, prefix=str(parameters.get("prefix", "")), runtime=runtime)
        return {"channels": {one.channel: {"subscriptions": one.subscriptions, "users": one.users} for one in found}}

    async def _presence(self, parameters: Mapping[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        channel = str(parameters.get("channel", ""))
        return {"channel": channel, "members": await occupancy.members(await apps.default(runtime=runtime), channel, runtime=runtime)}  # fmt: skip

    async def _post_to_pusher(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        async def send() -> None:
            await delivery.post(url, body, headers, platform="pusher", runtime=self.runtime)

        await self.call("pusher", send, failed=delivery.NotTaken, attempts=1, runtime=self.runtime)
