"""`agent approvals`: list and show the requests that wait for a human, and decide them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.commands import approval_watch
from agent.cli.commands.permissions import permission_message
from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.execution.permissions.scope import Always
    from agent.operations.approvals import DecisionOutcome, HumanDecision
    from agent.runtime import Runtime

app = group(
    "List and show requests that wait for a human, and decide them.",
    "agent approvals",
    "agent approvals show 7",
    "agent approvals approve 7",
    'agent approvals reject 7 --comment "not this client"',
)
app.command("watch", epilog=approval_watch.EXAMPLES)(approval_watch.watch)
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The approval's number.")]
BindingOption = Annotated[
    str | None,
    typer.Option("--binding", metavar="HASH", help="Decide about the binding that `show` prints, or nothing."),
]
CommentOption = Annotated[str | None, typer.Option("--comment", "-m", metavar="TEXT", help="The reason for the asker.")]


@app.command("list", epilog=examples("agent approvals", "agent approvals list --all", "agent approvals list --json"))
def list_approvals(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also show decided and expired requests.")] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List the requests that wait for a decision, the oldest first."""
    from agent.cli.terminal.clean_text import ago, count, one_line
    from agent.cli.terminal.render import listing, print_json, say, stdout
    from agent.operations import approvals

    listed = run(lambda runtime: approvals.list_requests(limit, everything=everything, runtime=runtime))
    requests, unknown = [view.approval for view in listed.approvals], listed.unknown
    if as_json:
        print_json([request.as_dict() for request in requests])
        return
    rows = [
        (
            request.id, request.risk_level, _state(request), request.requested_by, ago(request.created_at),
            one_line(request.title, 200),
        )
        for request in requests
    ]  # fmt: skip
    listing(
        stdout(),
        ("id", "risk", "state", "asked by", "asked", "what"),
        rows,
        empty="Nothing was asked yet." if everything else "Nothing waits for a decision.",
        limit=limit,
    )
    if unknown:
        hint = f"{count(unknown, 'execution')} whose outcome is not known: agent executions list --status unknown"
        say(stdout(), hint, "yellow")


@app.command("show", epilog=examples("agent approvals show 7", "agent approvals show 7 --json"))
def show_request(approval_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Show one request: what would happen, and to which rows."""
    from agent.cli.terminal.approval_view import new_conditions, show_approval
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.operations import approvals

    view = run(lambda runtime: approvals.view(approval_id, runtime=runtime))
    if as_json:
        print_json({**view.approval.as_dict(), "decisions": view.decisions, "conditions": view.conditions})
    else:
        show_approval(stdout(), view.approval, whole=True, decisions=view.decisions)
        for text in new_conditions(view):
            say(stdout(), text, "bold yellow")


@app.command(
    "approve",
    epilog=examples(
        "agent approvals approve 7", 'agent approvals approve 7 --comment "checked with Ana"',
        "agent approvals approve 7 --always 8h --look", "agent approvals approve 7 --always 8h --free 2 --most-rows 10",
    ),
)  # fmt: skip
def approve(
    approval_id: IdArgument,
    *,
    comment: CommentOption = None,
    always: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Also allow exactly this again for this time (30m, 8h, 7d), with at most as many rows as shown.",
        ),
    ] = None,
    free: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|NAME", help="With --always: let the n-th constant of the statement, or this argument, differ."
        ),
    ] = None,
    most_rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --always: allow up to this many rows each time.")
    ] = None,
    look: Annotated[
        bool, typer.Option("--look", help="With --always: only show what would be allowed, and decide nothing.")
    ] = False,
    binding: BindingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say yes: the action runs now, once. If several people must approve, it runs with the last yes.

    While the agent is stopped or read-only, the action waits for `agent resume`, and the exit code is 4.
    """
    from agent.cli.terminal.clean_text import seconds_in
    from agent.errors import InvalidInput
    from agent.execution.permissions.scope import Always

    if always is None:
        if free or look or most_rows is not None:
            raise InvalidInput(
                "--free, --most-rows and --look are about what is allowed later: give --always with a time too."
            )
        _decide(approval_id, decision="approve", as_json=as_json, comment=comment, binding=binding)
        return
    scope = Always(seconds=seconds_in(always), free=tuple(free or ()), most_rows=most_rows)
    if _confirm_allowance(approval_id, scope, look=look, as_json=as_json):
        _decide(approval_id, decision="approve", as_json=as_json, comment=comment, binding=binding, always=scope)


@app.command(
    "reject",
    epilog=examples(
        "agent approvals reject 7", 'agent approvals reject 7 --comment "only the TV shows"',
        'agent approvals reject 7 --comment "not this client" --final',
    ),
)  # fmt: skip
def reject(
    approval_id: IdArgument,
    *,
    comment: Annotated[
        str | None,
        typer.Option(
            "--comment", "-m", metavar="TEXT", help="What to do instead: the model may propose that, and you are asked."
        ),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="With --comment: only a reason, and nothing else may be proposed.")
    ] = False,
    binding: BindingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say no: the action never runs. Without a comment that is final; with one, the model may propose something else."""
    _decide(approval_id, decision="reject", as_json=as_json, comment=comment, binding=binding, final=final)


@app.command(
    "edit",
    epilog=examples(
        """agent approvals edit 7 --sql "UPDATE clients SET status = 'paused' WHERE id = 5\"""",
        """agent approvals edit 7 --arguments '{"client_id": 5, "status": "paused"}'""",
    ),
)
def edit(
    approval_id: IdArgument,
    *,
    sql: Annotated[str | None, typer.Option(metavar="SQL", help="The statement, for execute_sql.")] = None,
    arguments: Annotated[
        str | None, typer.Option(metavar="JSON", help="All arguments of the tool, as a JSON object.")
    ] = None,
    comment: CommentOption = None,
    binding: BindingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve other arguments for the same tool. If they do more than was shown, they wait for a second look.

    Without --sql and --arguments, your editor (VISUAL or EDITOR) opens on the present ones.
    """
    from agent.cli.terminal.editor import editor
    from agent.errors import InvalidInput
    from agent.operations.edits import json_object

    if sql is None and arguments is None and not as_json and sys.stdin.isatty() and editor():
        edited, binding = _edited_in_editor(approval_id, binding)
    elif (sql is None) == (arguments is None):
        raise InvalidInput("Give either --sql or --arguments; on a terminal, set EDITOR to edit the present ones.")
    else:
        edited = {"sql": sql} if arguments is None else json_object(arguments)
    _decide(approval_id, decision="edit", as_json=as_json, comment=comment, binding=binding, arguments=edited)


def _edited_in_editor(approval_id: int, binding: str | None) -> tuple[dict[str, Any], str]:
    """Return what the user makes of a request's arguments, and the binding of what they saw. Raises `InvalidInput`."""
    from agent.cli.terminal.approval_view import decided_message
    from agent.cli.terminal.editor import edited_in_editor
    from agent.errors import AlreadyDecided, InvalidInput
    from agent.operations import approvals

    request = run(lambda runtime: approvals.view(approval_id, runtime=runtime)).approval
    if request.status != "pending":
        raise AlreadyDecided(decided_message(request))
    arguments = edited_in_editor(request)
    if not arguments:
        raise InvalidInput(f"Nothing was changed: approval {approval_id} waits as it is.")
    return arguments, binding or request.binding


@app.command("answer", epilog=examples('agent approvals answer 7 "Ana has done it by hand."'))
def answer(
    approval_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text that the model gets as a human's answer.")],
    *,
    comment: CommentOption = None,
    binding: BindingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer in place of the tool: nothing runs, and the model continues with your text."""
    _decide(approval_id, decision="respond", as_json=as_json, comment=comment, binding=binding, response=text)


@app.command("delegate", epilog=examples("agent approvals delegate 7 ana"))
def delegate(
    approval_id: IdArgument,
    to: Annotated[str, typer.Argument(metavar="NAME", help="The person who decides; see `agent people list`.")],
    *,
    comment: CommentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave the decision to somebody else. An admin may still decide."""
    _decide(approval_id, decision="delegate", as_json=as_json, comment=comment, delegate_to=to)


@app.command("reopen", epilog=examples("agent approvals reopen 7"))
def reopen(approval_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Repeat an expired request as a new request with a fresh preview."""
    from agent.cli.terminal.approval_view import show_approval
    from agent.cli.terminal.render import print_json, stdout
    from agent.execution.safe_executor import safe_executor

    request = run(lambda runtime: safe_executor.reopen(approval_id, runtime=runtime))
    if as_json:
        print_json(request.as_dict())
    else:
        show_approval(stdout(), request)


def _confirm_allowance(approval_id: int, always: Always, *, look: bool, as_json: bool) -> bool:
    """Show what would be allowed, and return whether to approve it. On a terminal the user is asked."""
    from agent.cli.commands.permissions import allowance_message
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.execution.safe_executor import safe_executor

    allowance = run(lambda runtime: safe_executor.would_allow(approval_id, always, runtime=runtime))
    if as_json:
        if look:
            print_json(allowance)
        return not look
    say(stdout(), allowance_message(allowance))
    if look:
        return False
    return not sys.stdin.isatty() or typer.confirm("Approve it, and allow this?")


def _decide(approval_id: int, *, as_json: bool, **values: Any) -> None:
    from agent.cli.terminal.render import print_json
    from agent.operations.approvals import HumanDecision, decide_and_run

    human = HumanDecision(**values)

    async def decide(runtime: Runtime) -> DecisionOutcome:
        if human.decision == "edit":
            return await _edit(approval_id, human, runtime)
        return await decide_and_run(approval_id, human, via="cli", runtime=runtime)

    outcome = run(decide)
    approval, result = outcome.approval, outcome.result
    if as_json:
        print_json(
            {
                "approval": approval.as_dict(),
                "result": result,
                "held_back": outcome.waits_for_resume,
                "permission": outcome.permission,
            }
        )
    else:
        _show_outcome(outcome)
    if outcome.waits_for_resume:
        raise typer.Exit(4)
    if approval.status == "approved" and approval.executable and not (result or {}).get("success"):
        raise typer.Exit(1)


def _state(approval: Approval) -> str:
    from agent.cli.terminal.clean_text import left

    if approval.status != "pending":
        return approval.status
    votes = f", {len(approval.approved_by)} of {approval.votes_needed}" if approval.approved_by else ""
    return f"{left(approval.expires_at)} left{votes}{f', {approval.delegated_to}' if approval.delegated_to else ''}"


async def _edit(approval_id: int, human: HumanDecision, runtime: Runtime) -> DecisionOutcome:
    """Record an edit. Raises `InvalidInput` that names the tool's arguments, if it does not have those that are given."""
    from agent.approval.human_approval import human_approval_queue
    from agent.cli.terminal.approval_view import how_to_edit
    from agent.errors import InvalidArguments, InvalidInput
    from agent.operations.approvals import decide_and_run

    request = await human_approval_queue.get(approval_id, runtime=runtime)
    if set(human.arguments or ()) == {"sql"} and "sql" not in request.arguments:
        raise InvalidInput(f"Approval {request.id} is no statement. {how_to_edit(request)}")
    try:
        return await decide_and_run(approval_id, human, via="cli", runtime=runtime)
    except InvalidArguments as error:
        raise InvalidInput(f"{error} {how_to_edit(request)}") from error


def _show_outcome(outcome: DecisionOutcome) -> None:
    from agent.cli.commands.control import waits_message
    from agent.cli.terminal.approval_view import how_to_decide, show_approval, waits_for
    from agent.cli.terminal.render import say, stdout
    from agent.cli.terminal.turn_view import show_step

    console, approval = stdout(), outcome.approval
    if approval.status == "pending" and approval.replaces is not None and not approval.approved_by:
        show_approval(console, approval)
        say(console, f"agent approvals approve {approval.id}   approve it as it is shown now", "dim")
        say(console, f"agent approvals reject {approval.id}    say no, for good", "dim")
        return
    if outcome.waits_for_resume:
        say(console, waits_message(approval), "yellow")
    else:
        say(console, f"Approval {approval.id} is {approval.status}{waits_for(approval)}.")
        if outcome.result is not None:
            show_step(console, outcome.result.get("sql") or approval.action, outcome.result)
    if approval.status == "pending" and approval.delegated_to:
        say(console, f"{approval.delegated_to} decides: {how_to_decide(approval)}", "dim")
    if outcome.permission is not None:
        say(console, permission_message(outcome.permission))
    if approval.thread_id:
        say(console, f"agent chat --thread {approval.thread_id}   continue the conversation{_when(outcome)}", "dim")


def _when(outcome: DecisionOutcome) -> str:
    if outcome.waits_for_resume:
        return ", after `agent resume`"
    if outcome.approval.status != "pending":
        return ""
    decider = outcome.approval.delegated_to
    return f", when {decider} has decided" if decider else ", when it is decided"
