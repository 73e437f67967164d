"""`agent permissions`: list and revoke what `agent approvals approve --always` has allowed in advance."""

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

    granted = run(lambda runtime: permissions.list_permissions(limit, runtime=runtime))
    if as_json:
        print_json(granted)
        return
    columns = ("id", "state", "for", "by", "used", "most", "what")
    rows = [
        (
            permission.id, _state(permission), permission.granted_to, permission.granted_by, permission.uses,
            _limits(permission), permission.sentence,
        )
        for permission in granted
    ]  # fmt: skip
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


def permission_message(permission: Permission) -> str:
    """Tell the person who has given a permission what it covers, until when, and how to revoke it."""
    from agent.cli.terminal.clean_text import count, left

    limits = f"with at most risk {permission.risk_ceiling} and {count(permission.most_rows, 'row')} each time"
    return (
        f"Permission {permission.id} lets {permission.granted_to} do this for {left(permission.expires_at)} without a "
        f"question, {limits}: {permission.sentence.rstrip('.')}. `agent permissions revoke {permission.id}` ends it."
    )


def allowance_message(allowance: Allowance) -> str:
    """Say what would be allowed, to whom and within which limits, and which other values could be let differ."""
    from agent.cli.terminal.clean_text import count, duration

    sentence, time = allowance["sentence"], duration(allowance["seconds"])
    limits = f"with at most risk {allowance['risk_ceiling']} and {count(allowance['most_rows'], 'row')} each time"
    what = f"This lets {allowance['who']} do exactly this for {time} without a question, {limits}"
    choices = [(name, words) for name, words in allowance["choices"].items() if words not in sentence]
    return "\n".join(
        [f"{what}: {sentence.rstrip('.')}.", *(f"  --free {name}   also: {words}" for name, words in choices)]
    )


def _state(permission: Permission) -> str:
    from agent.cli.terminal.clean_text import left

    return f"{left(permission.expires_at)} left" if permission.state == "open" else permission.state


def _limits(permission: Permission) -> str:
    from agent.cli.terminal.clean_text import count

    return f"{permission.risk_ceiling}, {count(permission.most_rows, 'row')}"
