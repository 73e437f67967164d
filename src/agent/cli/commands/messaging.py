"""`agent messaging`: show what is set up in Slack and Telegram and what was posted there, and send a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.commands.messaging_setup import routes_app, slack_app, telegram_app
from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.messaging.overview import Overview, Tried
    from agent.runtime import Runtime

app = group(
    "Slack, Telegram and mail: what is set up, what was posted, where requests go, and a test.",
    "agent messaging",
    "agent messaging test",
    "agent messaging slack init",
)
app.add_typer(routes_app, name="route")
app.add_typer(slack_app, name="slack")
app.add_typer(telegram_app, name="telegram")


@app.command("list", epilog=examples("agent messaging", "agent messaging list --json"))
def list_messages(*, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List the services, the linked accounts, and the newest messages with what kept them from being delivered."""
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.messaging.overview import overview

    async def read(runtime: Runtime) -> Overview:
        return await overview(limit, runtime=runtime)

    found = run(read)
    if as_json:
        print_json(found)
        return
    names = (
        ", ".join(found.services) or "none: `agent messaging slack init` or `agent messaging telegram init` says how"
    )
    say(stdout(), f"Services: {names}.")
    accounts = [(one.person, one.service, one.account) for one in found.accounts]
    listing(stdout(), ("person", "service", "account"), accounts, empty="No account is linked: `agent people link`.")
    rows = [
        (
            str(one.approval_id),
            one.service,
            one.place,
            one.error or "delivered" if one.message_id else one.error or "waits",
        )
        for one in found.messages
    ]
    listing(stdout(), ("approval", "service", "place", "state"), rows, empty="No request was posted yet.")


@app.command("test", epilog=examples("agent messaging test"))
def send_test(*, as_json: JsonOption = False) -> None:
    """Send a test message to each place, and say in one sentence what is wrong."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.messaging.overview import try_out

    async def send(runtime: Runtime) -> list[Tried]:
        return await try_out(runtime=runtime)

    tried = run(send)
    if as_json:
        print_json(tried)
        return
    for one in tried:
        say(
            stdout(),
            f"{one.service}{f' {one.place}' if one.place else ''}: {one.message}",
            "" if one.works else "yellow",
        )
    if not tried:
        say(
            stdout(),
            "Nothing is set up: `agent messaging slack init` or `agent messaging telegram init` says how.",
            "yellow",
        )
