"""Measure messaging on local servers: from commit to post, from tap to effect, and what a killed worker loses or doubles."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import psycopg
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from slack_sdk.web.async_client import AsyncWebClient

from agent.messaging import Courier
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.settings import Settings
from agent.testing.cluster import Cluster
from benchmarks import taps
from benchmarks.report import Report

ROUNDS, REQUESTS, KILLS = 40, 500, 2
_MOST = 5.0


async def measure(report: Report) -> None:
    """Measure the bars of messaging."""
    cluster = Cluster()
    try:
        template = cluster.template("taps", taps.fill)
        await latency(report, cluster.database(template))
        with tempfile.TemporaryDirectory() as folder:
            found = await taps.race(cluster.database(template), requests=REQUESTS, kills=KILLS, folder=Path(folder))
        ends = ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
        reached = f"{found.lost} lost, {found.doubled} doubled, {found.live} with live buttons ({ends}, {found.seconds:.0f} s)"
        wrong = found.lost + found.doubled + found.live + found.copies["slack"]
        report.bar(
            f"{REQUESTS} requests x both services x random taps, worker killed {KILLS} times", bar="0 lost, doubled, live",
            reached=reached, ok=wrong == 0,
        )  # fmt: skip
        report.note(f"messages posted twice after a kill: {found.copies} (Telegram's lose their buttons)")
    finally:
        cluster.close()


async def latency(report: Report, settings: Settings) -> None:
    """Measure one request after the other, beside the bare calls and the bare effect."""
    async with taps.rooms(settings) as there:
        bare = p95([await bare_calls(there) + await bare_effect(there, row) for row in range(1, ROUNDS + 1)])
        courier = Courier(there.runtime)
        courier.start()
        posts, effects = [], []
        for row in range(1_001, 1_001 + ROUNDS):
            posted, effect = await one_round(there, row)
            posts.append(posted)
            effects.append(effect)
        await courier.stop()
    for name, found in (("committed -> posted in both", p95(posts)), ("tap -> effect committed", p95(effects))):
        report.bar(
            f"{name}, p95", bar=f"<= {_MOST:.0f}x bare calls + effect ({bare:.1f} ms)",
            reached=f"{found:.1f} ms, {found / bare:.1f}x", ok=found <= _MOST * bare,
        )  # fmt: skip


async def bare_calls(there: taps.Rooms) -> float:
    """Return the milliseconds that the services' own clients need to post one message each."""
    slack = AsyncWebClient(there.slack.bot_token, base_url=there.slack.url)
    bot = Bot(there.telegram.token, session=AiohttpSession(api=TelegramAPIServer.from_base(there.telegram.url)))
    began = time.perf_counter()
    await slack.chat_postMessage(channel="C1", text="x" * 300)
    await bot.send_message(-5, "x" * 300)
    passed = (time.perf_counter() - began) * 1000
    await bot.session.close()
    return passed


async def bare_effect(there: taps.Rooms, row: int) -> float:
    """Return the milliseconds of a decision with its effect, without messaging."""
    number = await taps.asked(there.runtime, row)
    acting = there.runtime.for_tenant(there.runtime.tenant_id, user="ana")
    began = time.perf_counter()
    await approvals.decide_and_run(number, HumanDecision(decision="approve"), via="cli", runtime=acting)
    return (time.perf_counter() - began) * 1000


async def one_round(there: taps.Rooms, row: int) -> tuple[float, float]:
    """Return the milliseconds from a request to its posts, and from a tap to its effect."""
    number = await taps.asked(there.runtime, row)
    committed = time.time()
    while len(seen := there.seen(number)) < 2:
        await asyncio.sleep(0.001)
    posted = max(one.at for one in seen) - committed
    message, chance = random.Random(row).choice(seen), random.Random(1)
    tapped = time.time()
    await taps.tap(there, message, chance=chance)
    while there.seen(number):
        await asyncio.sleep(0.005)
    url = there.runtime.settings.database_url.get_secret_value()
    at = None
    while at is None:
        with psycopg.connect(url) as conn:
            at = conn.execute(
                "select extract(epoch from max(at))::float8 from public.effects where id = %s", [row]
            ).fetchone()[0]
        await asyncio.sleep(0.005)
    return max(posted, 0) * 1000, (at - tapped) * 1000


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
