"""Redis as a cache that may be away at any time: then it holds nothing, and nobody waits for it twice.

One script writes every entry, and never puts an older version in the place of a newer one. Whoever loads a value holds the entry's lock;
what they load is kept only while they still hold it. A change deletes the lock. So a loader that began before a change cannot bring
the old value back, not even if Redis lost the change's entry meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agent.breaker import Breaker, CircuitOpen, Limits
from agent.errors import ProviderUnavailable
from agent.integration.database_sync.entries import Record, read, stale, written
from agent.runtime import Runtime
from agent.telemetry import platform_span

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")
_SECONDS = 2.0
_AWAY_SECONDS = 1.0
_GROUP = "agents"
_AT_ONCE = 100
# Entry, lock; version, entry, milliseconds, token of the loader or "".
_PUT = """
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[4] then return 0 end
local present = redis.call('GET', KEYS[1])
if present then
  local version, flag = string.match(present, '^(%d+):(%a):')
  local given = string.match(ARGV[2], '^%d+:(%a):')
  local new = tonumber(ARGV[1])
  if version and tonumber(version) > new then return 0 end
  if version and tonumber(version) == new and flag ~= 's' and (given == 'v' or given == 'd') then return 0 end
  if version and tonumber(version) == new and (flag == 'v' or flag == 'd') and given == 's' then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""


def stream_of(tenant_id: str) -> str:
    """Return the stream in which other programs write records of a tenant: entries with kind, key and value (JSON)."""
    return f"agents:writes:{tenant_id}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class CacheAway(ProviderUnavailable):
    """Redis did not answer; what it would hold is read from Postgres."""


class RedisCache:
    """The entries of records in Redis. An entry lives for `seconds`, which bounds how old a value can be whatever fails."""

    def __init__(self, url: str, *, seconds: float, load_seconds: float, runtime: Runtime | None = None) -> None:
        self._url, self._runtime = url, runtime
        self._milliseconds, self._lock_milliseconds = int(seconds * 1000), int(load_seconds * 1000)
        self._client: Redis | None = None
        self._put_script: Callable[..., Awaitable[object]] | None = None
        self._breaker = Breaker("Redis", Limits(open_seconds=_AWAY_SECONDS, probe_seconds=2 * _SECONDS))
        self._errors: tuple[type[Exception], ...] = (OSError,)

    async def get(self, name: str) -> Record | None:
        """Return what is cached, or None. Raises `CacheAway`."""
        return read(cast("bytes | None", await self._call("get", lambda: self._redis().get(name))))

    async def put(self, name: str, record: Record, *, token: str = "") -> bool:
        """Keep a record unless a newer one is there, and return whether it is kept. With a `token` only while that holds the lock."""
        return await self._put(name, record.version, written(record), token)

    async def invalidate(self, name: str, version: int) -> None:
        """Say that only this version or a newer one holds."""
        await self._put(name, version, stale(version), "")

    async def lock(self, name: str) -> str | None:
        """Return the token of the entry's lock, or None if somebody else holds it. Raises `CacheAway`."""
        token = secrets.token_hex(8)
        taken = await self._call(
            "set", lambda: self._redis().set(f"{name}:lock", token, nx=True, px=self._lock_milliseconds)
        )
        return token if taken else None

    async def incoming(self, tenant_id: str) -> list[tuple[str, Mapping[bytes, bytes]]]:
        """Return writes that other programs put into the tenant's stream, those that were not acknowledged first. Raises `CacheAway`."""
        return cast("list[tuple[str, Mapping[bytes, bytes]]]", await self._call("xreadgroup", lambda: self._read_stream(stream_of(tenant_id))))  # fmt: skip

    async def acknowledge(self, tenant_id: str, ids: Sequence[str]) -> None:
        """Say that writes of the stream are kept, and take them out of it. Raises `CacheAway`."""
        stream = stream_of(tenant_id)
        await self._call("xack", lambda: self._redis().xack(stream, _GROUP, *ids))
        await self._call("xdel", lambda: self._redis().xdel(stream, *ids))

    async def _read_stream(self, stream: str) -> list[tuple[str, Mapping[bytes, bytes]]]:
        from redis.exceptions import ResponseError  # start-up: only with REDIS_URL

        redis = self._redis()
        if not await redis.exists(stream):
            return []
        with suppress(ResponseError):  # it is there
            await redis.xgroup_create(stream, _GROUP, id="0")
        found: list[tuple[str, Mapping[bytes, bytes]]] = []
        for start in ("0", ">"):
            answer: Any = await redis.xreadgroup(_GROUP, _GROUP, {stream: start}, count=_AT_ONCE)
            entries = (
                answer[0][1] if isinstance(answer, list) and answer else next(iter((answer or {}).values()), [[]])[0]
            )
            found += [(_text(number), fields) for number, fields in entries if fields]
        return found

    async def check(self) -> None:
        """Ask Redis for a sign of life. Raises `CacheAway`."""
        await self._call("ping", lambda: self._redis().ping())

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _put(self, name: str, version: int, entry: str, token: str) -> bool:
        self._redis()
        script = self._put_script
        assert script is not None  # noqa: S101  # made with the client
        args = [version, entry, self._milliseconds, token]
        return bool(await self._call("put", lambda: script(keys=[name, f"{name}:lock"], args=args)))

    async def _call(self, operation: str, function: Callable[[], Awaitable[T]]) -> T:
        self._redis()
        span = nullcontext() if self._runtime is None else platform_span("redis", operation, runtime=self._runtime)
        try:
            with span:
                return await self._breaker.call(function, failed=self._errors)
        except CircuitOpen as error:
            raise CacheAway(str(error)) from error
        except self._errors as error:
            raise CacheAway(f"Redis did not answer ({type(error).__name__}): check REDIS_URL.") from error

    def _redis(self) -> Redis:
        if self._client is None:
            from redis.asyncio import Redis  # start-up: only with REDIS_URL
            from redis.exceptions import RedisError  # start-up: only with REDIS_URL

            self._errors = (OSError, RedisError)
            self._client = Redis.from_url(self._url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
            self._put_script = cast("Callable[..., Awaitable[object]]", self._client.register_script(_PUT))
        return self._client
