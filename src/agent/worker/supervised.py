"""A worker that a supervisor started: its standard input tells it to drain, and where that ends, it ends."""

from __future__ import annotations

import asyncio
import sys

from agent.concurrency import end_tasks
from agent.orchestration.worker import PlanWorker
from agent.worker.worker import Worker

DRAIN = b"drain\n"


async def orders_on_stdin() -> asyncio.StreamReader:
    """Return what this process is told on its standard input."""
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    return orders


async def run_supervised(worker: Worker, plans: PlanWorker, orders: asyncio.StreamReader) -> None:
    """Work until it is told to drain and what is held is done, or until `orders` ends: then what is held is handed over."""
    obeying = asyncio.create_task(_obey(worker, plans, orders))
    try:
        await worker.run()
        finishing = asyncio.create_task(plans.finish())
        await asyncio.wait({obeying, finishing}, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(finishing)
    finally:
        await end_tasks(obeying)


async def _obey(worker: Worker, plans: PlanWorker, orders: asyncio.StreamReader) -> None:
    while line := await orders.readline():
        if line == DRAIN:
            worker.drain()
            await plans.stop()
    worker.stop()
