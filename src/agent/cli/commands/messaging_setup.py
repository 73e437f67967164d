"""`agent messaging route`, `slack init` and `telegram init`: where requests go, and how to set a service up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import Commands, JsonOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.messaging.routing import Route
    from agent.messaging.setup_steps import Steps
    from agent.runtime import Runtime

routes_app = group(
    "Where requests go: by risk, tool and environment.",
    "agent messaging route",
    "agent messaging route add slack C0123ABC --risk critical --risk high",
)
slack_app = Commands(help="Set up Slack.", rich_markup_mode="rich", no_args_is_help=True)
telegram_app = Commands(help="Set up Telegram.", rich_markup_mode="rich", no_args_is_help=True)


@routes_app.command("list", epilog=examples("agent messaging route", "agent messaging route --json"))
def list_routes(*, as_json: JsonOption = False) -> None:
    """List the routes. Where none matches, requests go to the places of the settings, or to the people who may decide."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.messaging.routes import routes

    async def read(runtime: Runtime) -> list[Route]:
        return await routes(runtime=runtime)

    found = run(read)
    if as_json:
        print_json(found)
        return
    rows = [(str(one.id), one.service, one.place, _conditions(one), one.created_by) for one in found]
    empty = "No route: requests go to the places of the settings, or to the linked people who may decide."
    listing(stdout(), ("id", "service", "place", "when", "made by"), rows, empty=empty)


@routes_app.command(
    "add",
    context_settings={"ignore_unknown_options": True},  # ids of Telegram's groups begin with a minus
    epilog=examples(
        "agent messaging route add telegram people --risk critical",
        "agent messaging route add slack C0123ABC --tool 'send_*' --environment production --quiet 22:00-07:00",
        "agent messaging route add telegram -1001234 --backup",
    ),
)
def add_route(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="slack, telegram or email.")],
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE", help="A channel, chat or address, or: people (each linked one who may decide)."
        ),
    ],
    *,
    risk: Annotated[
        list[str] | None, typer.Option(metavar="RISK", help="Only requests of this risk; may be repeated.")
    ] = None,
    tool: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only these tools; may be repeated.")] = None,
    environment: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this AGENT_ENVIRONMENT; may be repeated.")
    ] = None,
    quiet: Annotated[str, typer.Option(metavar="HH:MM-HH:MM", help="Quiet hours of this route.")] = "",
    backup: Annotated[bool, typer.Option("--backup", help="Only when another place does not work.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the requests that match to a place, and only to the places of the routes that match."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.messaging.routes import add
    from agent.messaging.routing import Route
    from agent.messaging.services import services_of

    route = Route(
        service=service, place=place, risks=tuple(one.upper() for one in risk or ()), tools=tuple(tool or ()),
        environments=tuple(environment or ()), quiet=quiet, backup=backup,
    )  # fmt: skip

    async def make(runtime: Runtime) -> tuple[Route, bool]:
        there = any(one.name == service for one in services_of(runtime.settings))
        return await add(route, runtime=runtime), there

    made, there = run(make)
    if as_json:
        print_json(made)
        return
    say(stdout(), f"Route {made.id}: {_conditions(made)} -> {made.service} {made.place}.")
    if not there:
        say(stdout(), f"{made.service} is not set up yet: until then the route counts for nothing.", "yellow")


@routes_app.command("remove", epilog=examples("agent messaging route remove 3"))
def remove_route(
    route_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="The route's number.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """End a route. What was posted stays, and can be decided there."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.messaging.routes import remove

    async def end(runtime: Runtime) -> Route:
        return await remove(route_id, runtime=runtime)

    ended = run(end)
    if as_json:
        print_json(ended)
    else:
        say(stdout(), f"Route {ended.id} is removed.")


@slack_app.command("init", epilog=examples("agent messaging slack init", "agent messaging slack init --http"))
def init_slack(
    *,
    http: Annotated[
        bool, typer.Option("--http", help="Let Slack call AGENT_PUBLIC_URL in place of Socket Mode.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the steps to set Slack up, with the manifest of the app."""
    from agent.messaging.setup_steps import slack_steps
    from agent.settings import Settings

    _show(slack_steps(Settings.load(), http=http), as_json=as_json)


@telegram_app.command("init", epilog=examples("agent messaging telegram init"))
def init_telegram(*, as_json: JsonOption = False) -> None:
    """Print the steps to set Telegram up."""
    from agent.messaging.setup_steps import telegram_steps
    from agent.settings import Settings

    _show(telegram_steps(Settings.load()), as_json=as_json)


def _show(steps: Steps, *, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, say, stdout

    if as_json:
        print_json(steps)
        return
    for number, step in enumerate(steps.steps, start=1):
        say(stdout(), f"{number}. {step}")
    if steps.manifest is not None:
        say(stdout(), "\nThe manifest:\n")
        say(stdout(), json.dumps(steps.manifest, indent=2))
        say(stdout(), "\nThe address:\n")
        typer.echo(steps.create_url)


def _conditions(route: Route) -> str:
    parts = [
        *([f"risk {' or '.join(route.risks)}"] if route.risks else []),
        *([f"tool {' or '.join(route.tools)}"] if route.tools else []),
        *([f"environment {' or '.join(route.environments)}"] if route.environments else []),
    ]
    when = ", ".join(parts) or "every request"
    return f"{when}{f', quiet {route.quiet}' if route.quiet else ''}{', as a backup' if route.backup else ''}"
