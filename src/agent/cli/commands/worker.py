"""`agent worker`: one more process that goes on with decided turns and approved actions, or as many as the work needs."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.runtime import Runtime
    from agent.worker import Bounds, Change

EXAMPLES = examples("agent worker", "agent worker --autoscale --max 6")


def worker(
    *,
    autoscale: Annotated[
        bool,
        typer.Option("--autoscale", help="Run as many processes as the waiting turns, actions, plans and jobs need."),
    ] = False,
    least: Annotated[int, typer.Option("--min", min=1, max=100, help="With --autoscale: fewest processes.")] = 1,
    most: Annotated[int, typer.Option("--max", min=1, max=100, help="With --autoscale: most processes.")] = 4,
    waiting: Annotated[
        int,
        typer.Option(
            min=1, help="With --autoscale: one more process when more than this waits for each, twice in a row."
        ),
    ] = 8,
    quiet: Annotated[
        float, typer.Option(min=1, help="With --autoscale: one less after so many seconds in which nothing waits.")
    ] = 60.0,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
    as_json: JsonOption = False,
) -> None:
    """Work until Ctrl-C: carry out what was approved, go on with decided turns, take over from processes that died.

    `agent serve` works too. Start more workers on any machine that reaches the same Postgres. With --autoscale a process that is no longer
    needed takes nothing more and ends when it has finished, and one that dies is replaced; the server's connections bound how many there are.
    """
    if not autoscale:
        run(lambda runtime: _work(runtime, supervised=supervised, as_json=as_json))
        return
    if most < least:
        raise typer.BadParameter("--max is less than --min: raise it.")
    from agent.worker import Bounds

    bounds = Bounds(least=least, most=most, waiting=waiting, quiet_seconds=quiet)
    run(lambda runtime: _supervise(runtime, bounds, as_json=as_json))


async def _work(runtime: Runtime, *, supervised: bool, as_json: bool) -> None:
    from agent.background import background
    from agent.cli.terminal.render import say, stderr
    from agent.worker import Worker, orders_on_stdin, run_supervised

    working = Worker(runtime)
    orders = await orders_on_stdin() if supervised else None
    async with background(runtime) as beside:
        _at_signals(orders.feed_eof if orders else working.stop)
        if as_json:
            typer.echo(json.dumps({"working": beside.jobs.executor_id if beside.jobs else None}))
        else:
            say(stderr(), "Working; Ctrl-C ends it.", "dim")
        await (run_supervised(working, beside.plans, orders) if orders else working.run())


async def _supervise(runtime: Runtime, bounds: Bounds, *, as_json: bool) -> None:
    from agent.cli.terminal.render import say, stderr
    from agent.worker import Supervisor

    def tell(change: Change) -> None:
        if as_json:
            typer.echo(json.dumps(asdict(change)))
        else:
            whom = f" (process {change.pid})" if change.pid else ""
            say(stderr(), f"{change.kind}{whom}: {change.processes} processes, {change.waiting} waiting", "dim")

    supervisor = Supervisor(
        [sys.executable, "-m", "agent.cli.main", "worker", "--supervised", "--json"], bounds, runtime=runtime, tell=tell
    )
    _at_signals(supervisor.stop)
    await supervisor.run()


def _at_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
