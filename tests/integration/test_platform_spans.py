"""Calls to platforms are spans: which platform, what for, and how it answered; no address, key or payload leaves with them."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from tests.integration.redis_server import RedisServer

import agent.integration.realtime.delivery as delivery
from agent import telemetry
from agent.errors import ProviderUnavailable
from agent.integration.circuits import call
from agent.integration.database_sync.cache import CacheAway, RedisCache
from agent.integration.studio.assets import OpenCloud
from agent.settings import Settings
from agent.testing.receiver import receiving
from agent.testing.running import running

PLANTED = "s3cret-ada@example.com"


async def test_each_call_is_a_span_without_a_value_and_only_named_hosts_are_told_the_trace(
    settings: Settings, redis: RedisServer
) -> None:
    async with receiving() as there:
        changed = settings.model_copy(update={
            "studio_open_cloud_url": there.url, "studio_open_cloud_key": SecretStr(PLANTED), "studio_creator": "user:1",
            "otel_trace_hosts": "hooks.example.com, LOCALHOST",
        })  # fmt: skip
        async with running(changed) as runtime:
            exporter, provider = InMemorySpanExporter(), TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            telemetry.trace_to(provider, runtime=runtime)
            await OpenCloud(runtime).upload(PLANTED[:20], "Image", PLANTED.encode())
            named = there.url.replace("127.0.0.1", "localhost") + f"/{PLANTED}"
            await delivery.post(
                named, json.dumps({"data": PLANTED}).encode(), {"X-Key": PLANTED}, platform="webhook", runtime=runtime
            )
            there.answers = [503]
            with pytest.raises(delivery.NotTaken):
                await delivery.post(there.url, b"{}", {}, platform="webhook", runtime=runtime)
            cache = RedisCache(redis.url, seconds=5, load_seconds=1, runtime=runtime)
            assert await cache.get(f"key-of-{PLANTED}") is None
            redis.kill()
            with pytest.raises(CacheAway):
                await cache.get(f"key-of-{PLANTED}")
            await cache.close()

            async def away() -> None:
                raise ProviderUnavailable(PLANTED)

            with pytest.raises(ProviderUnavailable):
                await call("translator", away, failed=ProviderUnavailable, attempts=1, runtime=runtime)
    found = [
        (
            one.name,
            (one.attributes or {}).get(telemetry.STATUS),
            (one.attributes or {}).get(telemetry.ERROR_TYPE),
            one.kind.name,
        )
        for one in exporter.get_finished_spans()
    ]
    redis_error = found[4][2]
    assert found == [
        ("upload open_cloud", 200, None, "CLIENT"), ("publish webhook", 200, None, "CLIENT"), ("publish webhook", 503, "503", "CLIENT"),
        ("get redis", None, None, "CLIENT"), ("get redis", None, redis_error, "CLIENT"),
        ("call translator", None, "ProviderUnavailable", "CLIENT"),
    ]  # fmt: skip
    assert redis_error
    told = "".join(one.to_json() for one in exporter.get_finished_spans())
    assert PLANTED not in told
    assert there.url not in told
    assert [one.headers.get("traceparent") is not None for one in there.got] == [False, True]
    sent = exporter.get_finished_spans()[1].context
    assert there.got[1].headers["traceparent"].startswith(f"00-{sent.trace_id:032x}-{sent.span_id:016x}-0")
