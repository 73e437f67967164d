"""`agent monitor`: watch until Ctrl-C, look once, or show how the last runs went."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import run
from agent.errors import InvalidInput

if TYPE_CHECKING:
    from agent.monitoring.continuous_monitor import MonitorHealth
    from agent.monitoring.records import Alert, MonitorRun
    from agent.runtime import Runtime

EXAMPLES = examples("agent monitor --once", "agent monitor --status")


def monitor(
    *,
    once: Annotated[bool, typer.Option("--once", help="Look once, now.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show how the last runs went.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the application and the agent, and bring alerts to people, until Ctrl-C. `agent serve` does so too."""
    if once and status:
        raise InvalidInput("Use --once or --status, not both.")
    if status:
        _show_status(as_json=as_json)
    elif once:
        _look_once(as_json=as_json)
    else:
        run(lambda runtime: _watch(runtime, as_json=as_json))


def _look_once(*, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.monitoring import alerts
    from agent.monitoring.continuous_monitor import continuous_monitor

    async def look(runtime: Runtime) -> tuple[MonitorRun, list[Alert]]:
        done = await continuous_monitor.run_once(runtime=runtime)
        return done, await alerts.list_alerts(runtime=runtime)

    done, found = run(look)
    if as_json:
        print_json({"run": done, "alerts": found})
        return
    if done.status == "skipped":
        say(stdout(), "Another monitor is looking just now.", "yellow")
        return
    looked = [one for one in done.checks if not one.skipped]
    say(
        stdout(),
        f"{len(looked)} checks looked: {done.opened} alerts opened, {done.resolved} are over, {len(found)} are open.",
    )
    for one in looked:
        if one.error:
            say(stdout(), f"{one.name}: {one.error}", "yellow")
    if found:
        say(stdout(), "agent alerts   list them", "dim")


def _show_status(*, as_json: bool) -> None:
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.monitoring.continuous_monitor import continuous_monitor

    async def read(runtime: Runtime) -> tuple[MonitorHealth, list[MonitorRun]]:
        return await continuous_monitor.health(runtime=runtime), await continuous_monitor.runs(runtime=runtime)

    health, runs = run(read)
    if as_json:
        print_json({"health": health, "runs": runs})
        return
    if health.problem:
        say(stdout(), f"{health.problem} `agent serve` or `agent monitor`.", "yellow")
    rows = [
        (
            f"{one.started_at:%Y-%m-%d %H:%M:%S}" if one.started_at else "",
            one.status,
            str(one.opened),
            str(one.resolved),
            ", ".join(check.name for check in one.checks if check.error) or "none failed",
        )
        for one in runs
    ]
    listing(stdout(), ("began", "state", "opened", "over", "checks"), rows, empty="The monitor has not run yet.")


async def _watch(runtime: Runtime, *, as_json: bool) -> None:
    from agent.cli.terminal.render import say, stderr
    from agent.messaging import AlertCourier
    from agent.monitoring.continuous_monitor import ContinuousMonitor

    watching, courier, ended = (
        ContinuousMonitor(runtime.settings.monitor_minutes or 5),
        AlertCourier(runtime),
        asyncio.Event(),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await watching.start(runtime=runtime)
    courier.start()
    if as_json:
        typer.echo(json.dumps({"watching_every_minutes": runtime.settings.monitor_minutes or 5}))
    else:
        say(stderr(), "Watching; Ctrl-C ends it.", "dim")
    try:
        await ended.wait()
    finally:
        await courier.stop()
        await watching.stop(runtime=runtime)
