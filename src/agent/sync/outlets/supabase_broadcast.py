"""Passes events on to a topic of Supabase Realtime, as broadcasts on a private channel.

Broadcasts go out by one request for a group, which answers when the project has taken all of them. Realtime itself keeps
nothing for those who are not connected: they read on from their offset here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx

from agent.sync.outlets.base import ReceiverAway
from agent.sync.records import Event

_SECONDS = 10.0
_MOST_PAYLOAD = 200_000
_WRONG_SETUP = frozenset({400, 401, 403, 404, 422})
_LONG_WAIT = 30.0


class SupabaseBroadcast:
    """A project's Realtime service."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url.rstrip('/')}/realtime/v1/api/broadcast"
        self._headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._client: httpx.AsyncClient | None = None

    async def take(self, target: str, events: Sequence[Event]) -> None:
        """Broadcast events on the topic `target`."""
        messages = [
            {"topic": target, "event": "sync_event", "private": True, "payload": payload(one)} for one in events
        ]
        if self._client is None:
            self._client = httpx.AsyncClient(headers=self._headers, timeout=_SECONDS, follow_redirects=False)
        try:
            answer = await self._client.post(self._url, json={"messages": messages})
        except httpx.HTTPError as error:
            raise ReceiverAway(f"Supabase Realtime did not take the events: {type(error).__name__}.") from error
        if answer.is_success:
            return
        wrong = answer.status_code in _WRONG_SETUP
        check = " Check SUPABASE_URL and AGENT_SYNC_SUPABASE_KEY." if wrong else ""
        reason = f"Supabase Realtime answered {answer.status_code}.{check}"
        raise ReceiverAway(reason, wait=_LONG_WAIT if wrong else 0.0)

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()


def payload(event: Event) -> dict[str, Any]:
    """Return an event as it is broadcast. Of one that is too long only its place goes out: the reader gets it here. Pure."""
    whole: dict[str, Any] = json.loads(json.dumps(event.as_dict(), default=str))
    if len(json.dumps(whole, ensure_ascii=False).encode()) <= _MOST_PAYLOAD:
        return whole
    return {name: whole[name] for name in ("event_id", "channel_id", "epoch", "sequence", "event_type")} | {
        "too_long": True
    }
