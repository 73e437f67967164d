"""`agent permissions`: what was allowed in advance by `agent approvals approve --always`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.approval.permissions import Permission
    from agent.execution.permissions.matching import Allowance

app = group(
    "List and revoke permissions: what is allowed, until when, and how often it was used.",
    "agent permissions",
    "agent permissions revoke 3",
)


@app.command("list", epilog=examples("agent permissions", "agent permissions list --json"))
def list_permissions(*, limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List permissions, the newest first. `agent approvals list --all` shows each use."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.operations import permissions

    found = run(lambda runtime: permissions.list_permissions(limit, runtime=runtime))
    if as_json:
        print_json(found)
        return
    columns = ("id", "state", "for", "by", "used", "most", "what")
    rows = [(one.id, _state(one), one.granted_to, one.granted_by, one.uses, _most(one), one.sentence) for one in found]
    listing(stdout(), columns, rows, empty="Nothing is always allowed.")


@app.command("revoke", epilog=examples("agent permissions revoke 3"))
def revoke(
    permission_id: Annotated[int, typer.Argument(metavar="ID", help="The permission's number.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Revoke a permission. From now on it allows nothing, in any process."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import permissions

    run(lambda runtime: permissions.revoke(permission_id, runtime=runtime))
    if as_json:
        print_json({"revoked": permission_id})
    else:
        say(stdout(), f"Permission {permission_id} is revoked.")


def permission_message(one: Permission) -> str:
    """A permission as it is told to who has just given it: what it covers, until when, and how it is taken back."""
    from agent.cli.terminal.clean_text import count, left

    most = f"with at most risk {one.risk_ceiling} and {count(one.most_rows, 'row')} each time"
    return (
        f"Permission {one.id} lets {one.granted_to} do this for {left(one.expires_at)} without a question, {most}: "
        f"{one.sentence.rstrip('.')}. `agent permissions revoke {one.id}` ends it."
    )


def allowance_message(one: Allowance) -> str:
    """What would be allowed, to whom and how far, and what else could be freed."""
    from agent.cli.terminal.clean_text import count, duration

    most = f"with at most risk {one['risk_ceiling']} and {count(one['most_rows'], 'row')} each time"
    what = f"This lets {one['who']} do exactly this for {duration(one['seconds'])} without a question, {most}"
    lines = [f"{what}: {one['sentence'].rstrip('.')}."]
    lines += [
        f"  --free {name}   also: {words}" for name, words in one["choices"].items() if words not in one["sentence"]
    ]
    return "\n".join(lines)


def _state(one: Permission) -> str:
    from agent.cli.terminal.clean_text import left

    return f"{left(one.expires_at)} left" if one.state == "open" else one.state


def _most(one: Permission) -> str:
    from agent.cli.terminal.clean_text import count

    return f"{one.risk_ceiling}, {count(one.most_rows, 'row')}"
