"""`agent people`: list, name and remove the people who may decide, name others or see personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.approval.eligibility import Person
    from agent.operations.people import NamedPerson

app = group(
    "List, add and remove people who may decide. If nobody is named, one user decides everything.",
    "agent people",
    "agent people add ana --role admin",
)
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name that AGENT_USER or the surface gives them.")
]


@app.command("list", epilog=examples("agent people", "agent people list --json"))
def list_people(*, as_json: JsonOption = False) -> None:
    """List everybody who was named, with their roles."""
    from agent.approval.people import people
    from agent.cli.terminal.render import listing, print_json, stdout

    named = run(lambda runtime: people.list_people(runtime=runtime))
    if as_json:
        print_json(named)
        return
    rows = [(person.name, ", ".join(person.roles), "" if person.active else "removed") for person in named]
    listing(stdout(), ("name", "roles", "state"), rows, empty="Nobody is named: one user decides everything.")


@app.command(
    "add",
    epilog=examples("agent people add ana --role admin", "agent people add bo --role approver --role personal"),
)
def add(
    name: NameArgument,
    *,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE",
            help="viewer reads; operator also asks; approver decides; admin also names people; personal sees personal columns.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name somebody, or change their roles. The first person must be an admin; after that, only admins name people."""
    from agent.cli.terminal.render import say, stdout
    from agent.operations import people

    named = run(lambda runtime: people.add(name, role or people.DEFAULT_ROLES, runtime=runtime))
    _show(named.person, as_json=as_json)
    if named.alone and not as_json:
        say(stdout(), _first_person_message(named), "yellow")


@app.command("remove", epilog=examples("agent people remove bo", "agent people remove --everybody"))
def remove(
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    *,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Remove everybody: one user decides everything again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take somebody's rights away. Their votes on waiting requests no longer count."""
    from agent.approval.people import people
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.errors import InvalidInput

    if (name is None) != everybody:
        raise InvalidInput("Give either a name or --everybody.")
    if name is not None:
        _show(run(lambda runtime: people.remove(name, runtime=runtime)), as_json=as_json)
        return

    run(lambda runtime: people.remove_everybody(runtime=runtime))
    if as_json:
        print_json([])
    else:
        say(stdout(), "Nobody is named any more: one user decides everything.")


@app.command("link", epilog=examples("agent people link", "agent people link ana"))
def link(
    name: Annotated[str | None, typer.Argument(metavar="NAME", show_default=False)] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a one-time code that binds an account of Telegram or Slack to a person (default: you)."""
    from agent.access import accounts
    from agent.cli.terminal.render import print_json, say, stdout

    code = run(lambda runtime: accounts.new_code(name, runtime=runtime))
    if as_json:
        print_json(code)
        return
    say(stdout(), f"Send this to the bot, in private, as {code.person}, before {code.expires_at.astimezone():%H:%M}:")
    say(stdout(), f"link {code.code}", "bold")


@app.command("unlink", epilog=examples("agent people unlink ana"))
def unlink(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """End the binding of a person's accounts at once."""
    from agent.access import accounts
    from agent.cli.terminal.render import print_json, say, stdout

    ended = run(lambda runtime: accounts.unlink(name, runtime=runtime))
    if as_json:
        print_json(ended)
    elif ended:
        say(stdout(), f"{name} is nobody in {' and '.join(sorted({one.service for one in ended}))} any more.")
    else:
        say(stdout(), f"No account was linked to {name}.")


def _first_person_message(named: NamedPerson) -> str:
    """Say what changes for everybody when the first person is named."""
    first = named.person.name
    others = f", also not {named.shut_out!r}" if named.shut_out else ""
    return (
        f"Only {first} is named: from now on nobody else decides{others}, and {first} cannot approve what {first} asked for. "
        f"Name more people as AGENT_USER={first}; `agent people remove --everybody`, also as {first}, goes back to one user "
        "who decides everything."
    )


def _show(person: Person, *, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, say, stdout

    if as_json:
        print_json(person)
    elif person.active:
        say(stdout(), f"{person.name}: {', '.join(person.roles)}.")
    else:
        say(stdout(), f"{person.name} decides nothing any more.")
