"""`agent worker`: one more process that goes on with decided turns and approved actions."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.runtime import Runtime

EXAMPLES = examples("agent worker")


def worker(*, as_json: JsonOption = False) -> None:
    """Work until Ctrl-C: carry out what was approved, go on with decided turns, take over from processes that died.

    `agent serve` works too. Start more workers on any machine that reaches the same Postgres.
    """
    run(lambda runtime: _work(runtime, as_json=as_json))


async def _work(runtime: Runtime, *, as_json: bool) -> None:
    from agent.background import background
    from agent.cli.terminal.render import say, stderr
    from agent.worker import Worker

    working = Worker(runtime)
    async with background(runtime) as beside:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, working.stop)
        if as_json:
            typer.echo(json.dumps({"working": beside.jobs.executor_id if beside.jobs else None}))
        else:
            say(stderr(), "Working; Ctrl-C ends it.", "dim")
        await working.run()
