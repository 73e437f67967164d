"""`agent keys`: make, list and revoke API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.approval.eligibility import AccessRole

app = group(
    "Make, list and revoke API keys. Each stands for a person and bounds what they may do.",
    "agent keys",
    "agent keys create --name ci --role viewer",
)


@app.command("list", epilog=examples("agent keys", "agent keys list --json"))
def list_keys(*, as_json: JsonOption = False) -> None:
    """List the keys, the newest first. Nobody can see a key itself again."""
    from agent.access import keys
    from agent.cli.terminal.render import listing, print_json, stdout

    known = run(lambda runtime: keys.list_keys(runtime=runtime))
    if as_json:
        print_json(known)
        return
    rows = [
        (str(key.id), key.name, f"...{key.hint}", key.person, key.role, "revoked" if key.revoked_at else "")
        for key in known
    ]
    listing(stdout(), ("id", "name", "ends in", "person", "role", "state"), rows, empty="There are no keys.")


@app.command(
    "create",
    epilog=examples(
        "agent keys create --name ci --role viewer", "agent keys create --person ana --role approver --days 90"
    ),
)
def create(
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "api",
    role: Annotated[
        str, typer.Option(help="viewer reads; operator also asks; approver decides; admin names people and keys.")
    ] = "operator",
    person: Annotated[str | None, typer.Option(help="Who acts with it (default: AGENT_USER).")] = None,
    personal: Annotated[bool, typer.Option("--personal", help="Show personal values to its holder.")] = False,
    days: Annotated[float | None, typer.Option(min=0.001, help="Days until it expires (default: never).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it. It is shown only now."""
    from agent.access import keys
    from agent.cli.terminal.render import print_json, say, stdout

    made = run(
        lambda runtime: keys.create(
            name, role=cast("AccessRole", role), person=person, personal=personal, days=days, runtime=runtime
        )
    )
    if as_json:
        print_json(made)
        return
    say(stdout(), made.secret)
    say(
        stdout(),
        f"Key {made.key.id} for {made.key.person} ({made.key.role}). Keep it: nobody can show it again.",
        "yellow",
    )


@app.command("revoke", epilog=examples("agent keys revoke 3"))
def revoke(key_id: Annotated[int, typer.Argument(metavar="ID")], *, as_json: JsonOption = False) -> None:
    """End a key at once, also for streams that are open."""
    from agent.access import keys
    from agent.cli.terminal.render import print_json, say, stdout

    key = run(lambda runtime: keys.revoke(key_id, runtime=runtime))
    if as_json:
        print_json(key)
    else:
        say(stdout(), f"Key {key.id} ({key.name}) is revoked.")
