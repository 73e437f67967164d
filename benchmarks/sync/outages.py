"""Take the receiver of each outlet away for a minute while events are published: it gets all of them, in the channel's order."""

from __future__ import annotations

import asyncio
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.cases.outlet_receivers import TARGET, RealtimeReceiver, RedisReceiver, once

from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.sync import AgentSyncService
from agent.sync.outlets.relay import Relay
from benchmarks.report import Report

AWAY, BEFORE, DURING, AFTER, PATIENCE = 60.0, 50, 600, 50, 120.0


async def measure(report: Report, runtime: Runtime) -> None:
    """Measure losses, disorder, and how soon a receiver has everything after it came back."""
    with tempfile.TemporaryDirectory() as folder:
        receivers: list[Any] = [RedisReceiver(Path(folder)), RealtimeReceiver()]
        for receiver in receivers:
            await receiver.start()
        values = {name: value for receiver in receivers for name, value in receiver.settings.items()}
        given = Settings(_env_file=None, **values)
        update = {name: getattr(given, name) for name in values}
        other = await open_runtime(runtime.settings.model_copy(update=update))
        try:
            await asyncio.gather(*(_outage(report, other, receiver) for receiver in receivers))
        finally:
            await other.close()
            for receiver in receivers:
                await receiver.stop()


async def _outage(report: Report, runtime: Runtime, receiver: Any) -> None:
    service = AgentSyncService(runtime)
    channel = (await service.create_sync_channel(name=f"away-{receiver.kind}")).channel_id
    await service.create_outlet(channel, receiver.kind, target=TARGET)
    relay = Relay(runtime)
    relay.start()
    total = BEFORE + DURING + AFTER

    async def publish(start: int, count: int, pause: float) -> None:
        for number in range(start, start + count):
            event = {"source_agent_id": "bench", "event_type": "n", "data": {"n": number}}
            await service.publish_sync_event(channel, event)
            await asyncio.sleep(pause)

    await publish(0, BEFORE, 0.01)
    await receiver.stop()
    began = time.monotonic()
    await publish(BEFORE, DURING, AWAY / DURING)
    await asyncio.sleep(max(0.0, began + AWAY - time.monotonic()))
    await receiver.start()
    back = time.monotonic()
    await publish(BEFORE + DURING, AFTER, 0.01)
    took: list[int] = []
    while len(took) < total and time.monotonic() < back + PATIENCE:
        await asyncio.sleep(0.1)
        took = once(await receiver.took())
    seconds = time.monotonic() - back
    await relay.stop()
    lost, disorder = total - len(set(took)), sum(one > other for one, other in pairwise(took))
    report.bar(
        f"events lost or out of order in {receiver.kind}, which was away for {AWAY:.0f} s", bar="0 and 0",
        reached=f"{lost} and {disorder} of {total} (all there {seconds:.1f} s after it came back)", ok=lost == disorder == 0,
    )  # fmt: skip
