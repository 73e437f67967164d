"""Measure the platforms that are joined: a read of the cache against bare redis-py, and events to 1,000 connections of the realtime service."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles

from redis.asyncio import Redis

import agent.integration.realtime.apps as apps
import agent.integration.realtime.publishing as publishing
from agent.integration.database_sync.cache import RedisCache
from agent.integration.database_sync.entries import Write
from agent.integration.database_sync.records import Records, name_of
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.served import served
from benchmarks.access_traces import hit_ratio, lessons, without_pattern
from benchmarks.report import Report

READS, ROUNDS = 2_000, 7
CONNECTIONS, CLIENTS, EVENTS = 1_000, 4, 40
VALUE = {"title": "Fractions", "content": "A half and a half are one. " * 20, "grade_level": 5, "tags": ["maths", "fractions"]}  # fmt: skip
# A process with some of the connections: it says when all are subscribed, and what each event took.
CLIENT = """
import asyncio, json, sys, time
from websockets.asyncio.client import connect
async def main(url, count, events):
    ready, seconds, got = asyncio.Event(), [], 0
    left = count
    async def one():
        nonlocal left
        async with connect(url, compression=None, ping_interval=None, open_timeout=60) as socket:
            await socket.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": "news"}}))
            seen = 0
            async for text in socket:
                message = json.loads(text)
                if message["event"] == "pusher_internal:subscription_succeeded":
                    left -= 1
                    if not left:
                        print("ready", flush=True)
                elif message["event"] == "n":
                    seconds.append(time.time() - json.loads(message["data"])["at"])
                    seen += 1
                    if seen == events:
                        return
    await asyncio.gather(*(one() for _ in range(count)))
    print(json.dumps(seconds), flush=True)
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def measure(report: Report) -> None:
    cluster = Cluster()
    try:
        runtime = await open_runtime(cluster.database(cluster.template("blank")))
        try:
            _ahead(report)
            await _cache(report, runtime)
            await _realtime(report, runtime)
        finally:
            await runtime.close()
    finally:
        cluster.close()


def _ahead(report: Report) -> None:
    """Judge loading ahead by the second half of traces, of which the first half is learnt."""
    trace, none = lessons(20_000, seed=1), without_pattern(20_000, seed=1)
    (without, _), (ahead, loaded) = (hit_ratio(trace, size=100, ahead=one) for one in (False, True))
    report.bar(
        "cache hits with loading ahead, of learners who go through lessons", bar="more than without",
        reached=f"{ahead:.1%} of {without:.1%} without, {loaded:.2f} loaded a read", ok=ahead > without,
    )  # fmt: skip
    same = hit_ratio(none, size=100, ahead=True) == hit_ratio(none, size=100, ahead=False)
    report.bar(
        "loading ahead, of reads without a pattern",
        bar="nothing is loaded",
        reached="nothing" if same else "something",
        ok=same,
    )


async def _cache(report: Report, runtime: Runtime) -> None:
    if shutil.which("redis-server") is None:
        report.note("not measured: the cache, no redis-server (apt-get install redis-server)")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            await _read(report, runtime, f"redis://127.0.0.1:{port}/0")
        finally:
            process.kill()
            process.wait()


async def _read(report: Report, runtime: Runtime, url: str) -> None:
    cache, bare_client = RedisCache(url, seconds=600, load_seconds=5), Redis.from_url(url)
    async with asyncio.timeout(10):
        while True:
            try:
                await bare_client.ping()
                break
            except OSError:
                await asyncio.sleep(0.05)
            except Exception:
                await asyncio.sleep(0.05)
    records = Records(cache, load_seconds=5)
    await records.write(Write(kind="lesson", key="1", value=VALUE), runtime=runtime)
    await bare_client.set("bare", json.dumps(VALUE))
    assert await bare_client.get(name_of(runtime.tenant_id, "lesson", "1"))

    async def ours() -> None:
        assert (await records.read("lesson", "1", runtime=runtime)).value["grade_level"] == 5

    async def bare() -> None:
        assert json.loads(await bare_client.get("bare"))["grade_level"] == 5

    times: dict[str, list[float]] = {"bare": [], "ours": []}
    ways: dict[str, Callable[[], Awaitable[None]]] = {"bare": bare, "ours": ours}
    for turn in range(ROUNDS + 1):
        for name in sorted(ways, reverse=bool(turn % 2)):
            started = time.perf_counter()
            for _ in range(READS):
                await ways[name]()
            if turn:  # the first warms up
                times[name].append((time.perf_counter() - started) / READS)
    ratio = median(ours / bare for ours, bare in zip(times["ours"], times["bare"], strict=True))
    report.bar(
        "read of a cached record, over GET and json.loads with redis-py", bar="<= 1.3x",
        reached=f"{ratio:.2f}x ({median(times['ours']) * 1e6:,.0f} of {median(times['bare']) * 1e6:,.0f} us)", ok=ratio <= 1.3,
    )  # fmt: skip
    await cache.close()
    await bare_client.aclose()


async def _realtime(report: Report, runtime: Runtime) -> None:
    app = await apps.default(runtime=runtime)
    async with served(runtime) as http:
        url = f"ws://127.0.0.1:{http.base_url.port}/app/{app.app_key}?protocol=7"
        each = CONNECTIONS // CLIENTS
        started = time.perf_counter()
        clients = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLIENT, url, str(each), str(EVENTS), stdout=asyncio.subprocess.PIPE, limit=2**24
            )
            for _ in range(CLIENTS)
        ]
        for client in clients:
            assert client.stdout
            assert (await client.stdout.readline()) == b"ready\n"
        connected = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(EVENTS):
            data = json.dumps({"at": time.time(), "text": "x" * 100})
            await publishing.publish(app, [publishing.checked(["news"], "n", data)], runtime=runtime)
        seconds: list[float] = []
        for client in clients:
            assert client.stdout
            seconds += json.loads(await client.stdout.readline())
            await client.wait()
        took = time.perf_counter() - started
    arrived, wanted = len(seconds), CONNECTIONS * EVENTS
    report.bar(
        f"events that {CONNECTIONS:,} connections got, of {EVENTS} published", bar="all", reached=f"{arrived:,} of {wanted:,}", ok=arrived == wanted,
    )  # fmt: skip
    report.note(
        f"{CONNECTIONS:,} realtime connections (made in {connected:.1f} s): {arrived / took:,.0f} messages a second, "
        f"from publishing to arriving p50 {median(seconds) * 1e3:,.0f} ms, p95 {quantiles(seconds, n=100)[94] * 1e3:,.0f} ms"
    )
