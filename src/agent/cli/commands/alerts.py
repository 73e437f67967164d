"""`agent alerts`: list and show what is wrong, take care of it, mute it, and send a test."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.messaging.alert_courier import Told
    from agent.monitoring.records import Alert
    from agent.runtime import Runtime

app = group("What is wrong with the application or the agent.", "agent alerts", "agent alerts show 3")

_Id = Annotated[int, typer.Argument(metavar="ID", help="The alert's number.", show_default=False)]
_Comment = Annotated[str, typer.Option("--comment", "-m", help="Why, or what is done about it.")]
_STYLES = {"CRITICAL": "bold red", "HIGH": "red", "MEDIUM": "yellow", "LOW": ""}


@app.command("list", epilog=examples("agent alerts", "agent alerts list --all --json"))
def list_alerts(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List what is wrong now, the worst first."""
    from agent.cli.terminal.clean_text import one_line
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.monitoring import alerts

    found = run(lambda runtime: alerts.list_alerts(every=every, limit=limit, runtime=runtime))
    if as_json:
        print_json(found)
        return
    rows = [(str(one.id), one.severity, _state(one), one_line(one.message, 300)) for one in found]
    listing(stdout(), ("id", "severity", "state", "what"), rows, empty="No alert is open.", limit=limit)


@app.command("show", epilog=examples("agent alerts show 3"))
def show(alert: _Id, *, as_json: JsonOption = False) -> None:
    """Show an alert with its evidence, what to do about it, and what people did."""
    from agent.cli.terminal.clean_text import clean, one_line
    from agent.cli.terminal.render import INDENT, print_json, say, stdout
    from agent.monitoring import alerts

    async def read(runtime: Runtime) -> tuple[Alert, list[dict[str, Any]]]:
        return await alerts.get(alert, runtime=runtime), await alerts.decisions_of(alert, runtime=runtime)

    found, decisions = run(read)
    if as_json:
        print_json({**asdict(found), "decisions": decisions})
        return
    say(
        stdout(), f"Alert {found.id} · {found.severity} · {_state(found)} · {found.check_name}", _STYLES[found.severity]
    )
    say(stdout(), one_line(found.message))
    say(stdout(), one_line(found.action), "bold")
    times = f"opened {found.opened_at:%Y-%m-%d %H:%M}, seen last {found.seen_at:%Y-%m-%d %H:%M}"
    say(stdout(), f"{times}, in {found.seen} runs; episode {found.episode}.", "dim")
    say(stdout(), clean(json.dumps(found.evidence, ensure_ascii=False, indent=2)), indent=INDENT)
    for one in decisions:
        why = f": {one_line(one['comment'], 300)}" if one["comment"] else ""
        say(stdout(), f"{one['decision']} by {one_line(one['decided_by'], 100)}{why}", "dim")


@app.command("ack", epilog=examples('agent alerts ack 3 -m "the import was stopped"'))
def acknowledge(alert: _Id, *, comment: _Comment = "", as_json: JsonOption = False) -> None:
    """Say that you take care of an alert: nobody is told of this episode again."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.monitoring import alerts

    done = run(lambda runtime: alerts.acknowledge(alert, comment=comment, runtime=runtime))
    if as_json:
        print_json(done)
    else:
        say(stdout(), f"Alert {done.id} is yours. It closes by itself when it is over.")


@app.command("mute", epilog=examples("agent alerts mute 3", "agent alerts mute 3 --hours 0"))
def mute(
    alert: _Id,
    *,
    hours: Annotated[float, typer.Option("--hours", help="For how long; 0 ends it.")] = 24.0,
    comment: _Comment = "",
    as_json: JsonOption = False,
) -> None:
    """Tell nobody about an alert for some hours, also if it comes back. It stays in the list."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.monitoring import alerts

    done = run(lambda runtime: alerts.mute(alert, hours=hours, comment=comment, runtime=runtime))
    if as_json:
        print_json(done)
    elif done.muted_until is None:
        say(stdout(), f"Alert {done.id} is not muted any more.")
    else:
        say(stdout(), f"Alert {done.id} is muted until {done.muted_until:%Y-%m-%d %H:%M %Z}.")


@app.command("test", epilog=examples("agent alerts test"))
def send_test(*, as_json: JsonOption = False) -> None:
    """Send a test alert to everybody who gets alerts, and say in one sentence what is wrong."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.messaging.alert_courier import try_out

    async def send(runtime: Runtime) -> list[Told]:
        return await try_out(runtime=runtime)

    tried = run(send)
    if as_json:
        print_json(tried)
        return
    for one in tried:
        say(stdout(), f"{one.service} {one.place}: {one.message}", "" if one.works else "yellow")
    if not tried:
        text = "Nobody gets alerts: set AGENT_ALERT_SLACK_URL, AGENT_ALERT_TELEGRAM_URL, AGENT_ALERT_EMAILS or AGENT_ALERT_WEBHOOK_URL."
        say(stdout(), text, "yellow")


def _state(alert: Alert) -> str:
    if alert.status != "open":
        return "over"
    if alert.muted_until is not None:
        return "muted"
    return f"taken by {alert.acknowledged_by}" if alert.acknowledged_by else "open"
