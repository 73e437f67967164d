"""`agent worker`: one more process that goes on with decided turns and approved actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.framework import examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.runtime import Runtime

EXAMPLES = examples("agent worker")


def worker() -> None:
    """Work until Ctrl-C: carry out what was approved, go on with decided turns, take over from processes that died.

    `agent serve` works too. Start more workers on any machine that reaches the same Postgres.
    """
    run(_work)


async def _work(runtime: Runtime) -> None:
    import asyncio
    import signal

    from agent.cli.terminal.render import say, stderr
    from agent.jobs import Jobs
    from agent.messaging import Courier
    from agent.worker import Worker

    working, jobs, courier = Worker(runtime), Jobs(runtime), Courier(runtime)
    await jobs.start()
    courier.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.stop)
    say(stderr(), "Working; Ctrl-C ends it.", "dim")
    try:
        await working.run()
    finally:
        await courier.stop()
        await jobs.stop()
