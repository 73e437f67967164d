"""`agent people`: who may decide, who names people, who sees personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, examples, group
from agent.cli.running import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.approval.rules import Person
    from agent.runtime import Runtime

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
    from agent.cli.render import listing, print_json, stdout

    found = run(lambda runtime: people.list_people(runtime=runtime))
    if as_json:
        print_json(found)
        return
    rows = [(one.name, ", ".join(one.roles), "" if one.active else "removed") for one in found]
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
        typer.Option(metavar="ROLE", help="approver decides; admin also names people; personal sees personal columns."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name somebody, or change their roles. The first person must be an admin; after that, only admins name people."""
    from agent.approval.people import people
    from agent.cli.render import say, stdout

    async def named(runtime: Runtime) -> tuple[Person, str]:
        person = await people.add(name, role or ["approver"], runtime=runtime)
        alone = len(await people.list_people(runtime=runtime)) == 1
        return person, _what_naming_means(person, runtime.user) if alone else ""

    person, meaning = run(named)
    _show(person, as_json=as_json)
    if meaning and not as_json:
        say(stdout(), meaning, "yellow")


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
    from agent.cli.render import print_json, say, stdout
    from agent.errors import InvalidInput

    if (name is None) != everybody:
        raise InvalidInput("Give either a name or --everybody.")
    if name is not None:
        _show(run(lambda runtime: people.remove(name, runtime=runtime)), as_json=as_json)
        return

    async def end(runtime: Runtime) -> None:
        await people.remove_everybody(runtime=runtime)

    run(end)
    if as_json:
        print_json([])
    else:
        say(stdout(), "Nobody is named any more: one user decides everything.")


async def who_decides(approval: Approval, runtime: Runtime) -> str:
    """Why the runtime's user cannot approve a request, and who can, in sentences; '' when they can."""
    from agent.approval.people import people
    from agent.approval.rules import Standing, why_not

    why = why_not(approval, "approve", await people.standing(runtime=runtime))
    if not why:
        return ""
    able = [
        one.name
        for one in await people.list_people(runtime=runtime)
        if not why_not(approval, "approve", Standing(name=one.name, several=True, person=one))
        and one.name not in approval.approved_by
    ]
    if not able:
        return f"{why} Nobody else who is named can: an admin names somebody with `agent people add NAME`."
    return f"{why} {' or '.join(able)} can."


def _what_naming_means(first: Person, user: str) -> str:
    """What changes for everybody when the first person is named."""
    from agent.approval.rules import same_name

    others = "" if same_name(first.name, user) else f", also not {user!r}"
    return (
        f"Only {first.name} is named: from now on nobody else decides{others}, and {first.name} cannot approve what "
        f"{first.name} asked for. Name more people as AGENT_USER={first.name}; `agent people remove --everybody`, also as "
        f"{first.name}, goes back to one user who decides everything."
    )


def _show(person: Person, *, as_json: bool) -> None:
    from agent.cli.render import print_json, say, stdout

    if as_json:
        print_json(person)
    elif person.active:
        say(stdout(), f"{person.name}: {', '.join(person.roles)}.")
    else:
        say(stdout(), f"{person.name} decides nothing any more.")
