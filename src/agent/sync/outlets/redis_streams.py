"""Passes events on to a stream of Redis: the way to many readers that the database need not serve.

An entry's id is the event's sequence, so Redis itself refuses what comes twice or late. One script passes a group on whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.sync.outlets.base import ReceiverAway
from agent.sync.records import Event

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SECONDS = 10.0
# A history that began anew gets a stream of its own; the old one is kept under the name of its epoch.
_APPEND = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top, epoch = 0, nil
if #last > 0 then
  top = tonumber(string.match(last[1][1], '^%d+'))
  for i = 1, #last[1][2], 2 do
    if last[1][2][i] == 'epoch' then epoch = last[1][2][i + 1] end
  end
end
local added = 0
for i = 1, #ARGV, 3 do
  local sequence, own, event = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  if epoch ~= nil and epoch ~= own then
    redis.call('RENAME', KEYS[1], KEYS[1] .. ':' .. epoch)
    top = 0
  end
  epoch = own
  if sequence > top then
    redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'epoch', own, 'event', event)
    top, added = sequence, added + 1
  end
end
return added
"""


class RedisStreams:
    """A Redis server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Redis | None = None

    async def take(self, target: str, events: Sequence[Event]) -> None:
        """Append events to the stream `target`, unless they are there."""
        from redis.exceptions import RedisError  # start-up: only with AGENT_SYNC_REDIS_URL

        values: list[str] = []
        for event in events:
            text = json.dumps(event.as_dict(), ensure_ascii=False, default=str)
            values += [str(event.sequence), event.epoch, text]
        try:
            await self._connected().eval(_APPEND, 1, target, *values)
        except (RedisError, OSError) as error:
            raise ReceiverAway(f"Redis did not take the events: {type(error).__name__}.") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()

    def _connected(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis  # start-up: only with AGENT_SYNC_REDIS_URL

            self._client = Redis.from_url(self._url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        return self._client
