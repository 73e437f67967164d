"""`agent permissions`: what was allowed in advance by `agent approvals approve --always`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, LimitOption, examples, group
from agent.cli.running import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.approval.permissions import Permission
    from agent.execution.always_allowed import Allowance
    from agent.runtime import Runtime

app = group(
    "List and revoke permissions: what is allowed, until when, and how often it was used.",
    "agent permissions",
    "agent permissions revoke 3",
)
_MOST_LOOKED_AT = 10_000


@app.command("list", epilog=examples("agent permissions", "agent permissions list --json"))
def list_permissions(*, limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List permissions, the newest first. `agent approvals list --all` shows each use."""
    from agent.approval.permissions import permissions
    from agent.cli.render import listing, print_json, stdout

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
    from agent.approval.permissions import permissions
    from agent.cli.render import print_json, say, stdout
    from agent.errors import AlreadyDecided

    async def take_back(runtime: Runtime) -> None:
        found = await permissions.list_permissions(_MOST_LOOKED_AT, runtime=runtime)
        for one in found:
            if one.id == permission_id and one.state == "revoked":
                raise AlreadyDecided(f"Permission {one.id} was revoked already, by {one.revoked_by!r}.")
        await permissions.revoke(permission_id, runtime=runtime)

    run(take_back)
    if as_json:
        print_json({"revoked": permission_id})
    else:
        say(stdout(), f"Permission {permission_id} is revoked.")


async def permission_of(approval: Approval, runtime: Runtime) -> Permission | None:
    """What an approval allowed beyond itself."""
    from agent.approval.permissions import permissions

    found = await permissions.list_permissions(_MOST_LOOKED_AT, runtime=runtime)
    return next((one for one in found if one.approval_id == approval.id), None)


def told_permission(one: Permission) -> str:
    """A permission as it is told to who has just given it: what it covers, until when, and how it is taken back."""
    from agent.cli.text import count, left

    most = f"with at most risk {one.risk_ceiling} and {count(one.most_rows, 'row')} each time"
    return (
        f"Permission {one.id} lets {one.granted_to} do this for {left(one.expires_at)} without a question, {most}: "
        f"{one.sentence.rstrip('.')}. `agent permissions revoke {one.id}` ends it."
    )


def told_allowance(one: Allowance) -> str:
    """What would be allowed, to whom and how far, and what else could be freed."""
    from agent.cli.text import count, duration

    most = f"with at most risk {one['risk_ceiling']} and {count(one['most_rows'], 'row')} each time"
    what = f"This lets {one['who']} do exactly this for {duration(one['seconds'])} without a question, {most}"
    lines = [f"{what}: {one['sentence'].rstrip('.')}."]
    lines += [
        f"  --free {name}   also: {words}" for name, words in one["choices"].items() if words not in one["sentence"]
    ]
    return "\n".join(lines)


def _state(one: Permission) -> str:
    from agent.cli.text import left

    return f"{left(one.expires_at)} left" if one.state == "open" else one.state


def _most(one: Permission) -> str:
    from agent.cli.text import count

    return f"{one.risk_ceiling}, {count(one.most_rows, 'row')}"
