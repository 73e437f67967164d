"""`agent approvals`: what waits for a human, and the decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.commands import JsonOption, LimitOption, examples, group
from agent.cli.running import run

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval, Decision
    from agent.runtime import Runtime
    from agent.types import ToolResult

app = group("Actions that wait for a human: list, show, approve, reject.")
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="The approval's number.")]
CommentOption = Annotated[str | None, typer.Option("--comment", "-m", metavar="TEXT", help="Why; the asker reads it.")]


@app.command("list", epilog=examples("agent approvals", "agent approvals list --all", "agent approvals list --json"))
def list_approvals(
    *,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also those that are decided or expired.")] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """What waits for a decision, the oldest first."""
    from agent.cli.render import listing, print_json, say, stdout
    from agent.cli.text import ago, count, left, one_line

    found, unknown = run(lambda runtime: _listed(runtime, limit, everything=everything))
    if as_json:
        print_json([approval.as_dict() for approval in found])
        return
    rows = [
        (
            one.id, one.risk_level, one.status if one.status != "pending" else f"{left(one.expires_at)} left",
            one.requested_by, ago(one.created_at), one_line((one.preview or {}).get("sql") or one.summary, 200),
        )
        for one in found
    ]  # fmt: skip
    listing(stdout(), ("id", "risk", "state", "asked by", "asked", "what"), rows, empty="Nothing waits for a decision.")
    if unknown:
        told = f"{count(unknown, 'execution')} whose outcome is not known: agent executions list --status unknown"
        say(stdout(), told, "yellow")


@app.command("show", epilog=examples("agent approvals show 7", "agent approvals show 7 --json"))
def show_one(approval_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """One request: what would happen, and to which rows."""
    from agent.approval.human_approval import human_approval_queue
    from agent.cli.approval_view import show_approval
    from agent.cli.render import print_json, stdout

    found = run(lambda runtime: human_approval_queue.get(approval_id, runtime=runtime))
    if as_json:
        print_json(found.as_dict())
    else:
        show_approval(stdout(), found, whole=True)


@app.command(
    "approve", epilog=examples("agent approvals approve 7", 'agent approvals approve 7 --comment "checked with Ana"')
)
def approve(approval_id: IdArgument, *, comment: CommentOption = None, as_json: JsonOption = False) -> None:
    """Say yes: the action is executed now, once."""
    _decide(approval_id, "approve", comment, as_json=as_json)


@app.command("reject", epilog=examples('agent approvals reject 7 --comment "not this client"'))
def reject(approval_id: IdArgument, *, comment: CommentOption = None, as_json: JsonOption = False) -> None:
    """Say no, for good: the action is never executed."""
    _decide(approval_id, "reject", comment, as_json=as_json)


def _decide(approval_id: int, decision: Decision, comment: str | None, *, as_json: bool) -> None:
    from agent.cli.render import print_json

    approval, result = run(lambda runtime: _decided(runtime, approval_id, decision, comment))
    if as_json:
        print_json({"approval": approval.as_dict(), "result": result})
    else:
        _show_outcome(approval, result)
    if approval.status == "approved" and approval.executable and not (result or {}).get("success"):
        raise typer.Exit(1)


async def _listed(runtime: Runtime, limit: int, *, everything: bool) -> tuple[list[Approval], int]:
    """The requests, and how many executions wait for a human too."""
    from agent.approval.human_approval import human_approval_queue
    from agent.execution.log import executions

    unknown = await executions.unknown(runtime=runtime)
    if everything:
        return await human_approval_queue.history(limit, runtime=runtime), unknown
    pending = await human_approval_queue.get_pending_approvals(runtime=runtime)
    return [await human_approval_queue.get(one["id"], runtime=runtime) for one in pending[:limit]], unknown


async def _decided(
    runtime: Runtime, approval_id: int, decision: Decision, comment: str | None
) -> tuple[Approval, ToolResult | None]:
    """Take the decision and, where the row is to be executed, execute it as its winner."""
    from agent.approval.human_approval import human_approval_queue
    from agent.execution.safe_executor import safe_executor

    approval = await human_approval_queue.decide(approval_id, decision, via="cli", comment=comment, runtime=runtime)
    if approval.status != "approved" or not approval.executable:
        return approval, None
    return approval, await safe_executor.run_approved(approval_id, runtime=runtime)


def _show_outcome(approval: Approval, result: ToolResult | None) -> None:
    from agent.cli.conversation import show_step
    from agent.cli.render import say, stdout

    console = stdout()
    say(console, f"Approval {approval.id} is {approval.status}.")
    if result is not None:
        show_step(console, result.get("sql") or approval.action, result)
    if approval.thread_id:
        say(console, f"agent chat --thread {approval.thread_id}   goes on with the conversation", "dim")
