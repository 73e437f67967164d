"""`agent executions`, `agent undo` and `agent assess`: show actions, take a change back, and assess a statement."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, LimitOption, examples, group
from agent.cli.runner import run
from agent.types import ExecutionStatus

if TYPE_CHECKING:
    from agent.approval.human_approval import Approval
    from agent.execution.log import Execution
    from agent.types import Assessment, ToolResult

app = group("List, show and settle actions; forget kept rows.", "agent executions", "agent executions show 31")
UNDO_EXAMPLES = examples("agent undo 31", "agent undo 31 --json")
ASSESS_EXAMPLES = examples(
    'agent assess "select count(*) from clients"', "agent assess \"update clients set status = 'paused'\" --json"
)


@app.command(
    "list",
    epilog=examples("agent executions", "agent executions list --status failed", "agent executions list --json"),
)
def list_executions(
    *,
    thread: Annotated[
        str | None, typer.Option("--thread", "-t", metavar="ID", help="Show only those of this thread.")
    ] = None,
    status: Annotated[ExecutionStatus | None, typer.Option("--status", "-s", help="Show only this status.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List the newest actions and answers with their results."""
    from agent.cli.terminal.clean_text import ago
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.operations import executions

    recent = run(lambda runtime: executions.recent(limit, thread_id=thread, status=status, runtime=runtime))
    if as_json:
        print_json(recent)
        return
    rows = [
        (
            execution.id, ago(execution.created_at), execution.status, execution.risk_level,
            "" if execution.row_count is None else execution.row_count, _summary(execution),
        )
        for execution in recent
    ]  # fmt: skip
    empty = _empty_message(thread, status)
    listing(stdout(), ("id", "when", "status", "risk", "rows", "what"), rows, empty=empty, limit=limit)


def _empty_message(thread: str | None, status: ExecutionStatus | None) -> str:
    """Say that there is no execution of this thread and status."""
    if thread is None and status is None:
        return "Nothing was done yet."
    which = [f"with the status {status!r}" if status else "", f"in thread {thread!r}" if thread else ""]
    return f"There is no execution {' '.join(filter(None, which))}."


@app.command("show", epilog=examples("agent executions show 31", "agent executions show 31 --json"))
def show_execution(
    execution_id: Annotated[int, typer.Argument(metavar="ID", help="The execution's number.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one action: who, what, which risk, whose approval, and the result."""
    from agent.cli.terminal.clean_text import moment
    from agent.cli.terminal.render import facts, print_json, stdout
    from agent.operations import executions

    view = run(lambda runtime: executions.show(execution_id, runtime=runtime))
    execution, calls = view.execution, view.calls
    if as_json:
        print_json({**asdict(execution), "calls": calls})
        return
    pairs: list[tuple[str, object]] = [
        ("action", execution.action),
        ("by", execution.actor),
        ("at", moment(execution.created_at)),
    ]
    pairs += [(name, value) for name, value in execution.arguments.items()]
    pairs += [
        ("verdict", execution.verdict),
        ("risk", execution.risk_level),
        ("reasons", ", ".join(execution.reasons) or "none"),
    ]
    if execution.approval_id:
        pairs.append(("approval", f"{execution.approval_id}, by {execution.approved_by}"))
    pairs.append(("status", execution.status))
    if execution.settled_by and execution.settled_at:
        pairs.append(("settled", f"by {execution.settled_by}, {moment(execution.settled_at)}"))
    optional = (
        ("rows", execution.row_count), ("error", execution.error), ("thread", execution.thread_id),
        ("took", f"{execution.duration_ms:,.0f} ms" if execution.duration_ms is not None else None),
        ("tokens", f"{execution.input_tokens:,} in, {execution.output_tokens or 0:,} out" if execution.input_tokens else None),
        ("cost", f"{execution.cost_usd:.4f} US dollars" if execution.cost_usd is not None else None),
    )  # fmt: skip
    pairs += [(name, value) for name, value in optional if value is not None]
    facts(stdout(), [*pairs, *(("called", f"{call.action}, {call.status}: execution {call.id}") for call in calls)])


@app.command("forget", epilog=examples("agent executions forget 31", "agent executions forget --all"))
def forget(
    execution_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="The execution's number.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Delete those of every execution.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the rows that `agent undo` would need. They may be personal. The log stays."""
    from agent.cli.terminal.clean_text import count
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.errors import InvalidInput
    from agent.operations import executions

    if (execution_id is None) is not everything:
        raise InvalidInput("Name one execution, or write --all.")

    deleted = run(lambda runtime: executions.forget(execution_id, runtime=runtime))
    if as_json:
        print_json({"forgotten": deleted})
    elif not deleted:
        of = "any execution" if execution_id is None else f"execution {execution_id}"
        say(stdout(), f"No rows of {of} were kept, so nothing is deleted.")
    else:
        say(stdout(), f"The rows of {count(deleted, 'execution')} are deleted.")


@app.command(
    "settle",
    epilog=examples(
        "agent executions settle 31 --happened",
        'agent executions settle 31 --did-not-happen --comment "no mail arrived"',
    ),
)
def settle(
    execution_id: Annotated[int, typer.Argument(metavar="ID", help="The execution's number.")],
    *,
    happened: Annotated[bool, typer.Option("--happened/--did-not-happen", help="What you found.", show_default=False)],
    comment: Annotated[str | None, typer.Option("--comment", "-m", metavar="TEXT", help="How you know.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether an action with status unknown happened. Nothing runs."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.execution.log import executions

    execution = run(
        lambda runtime: executions.settle(execution_id, happened=happened, comment=comment, runtime=runtime)
    )
    if as_json:
        print_json(execution)
        return
    say(stdout(), f"Execution {execution.id} is {execution.status}; the conversation that asked for it is told.")


def undo(
    execution_id: Annotated[int, typer.Argument(metavar="EXECUTION", help="The number in `agent executions`.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Propose to take back an approved change of rows. The proposal waits for approval, like any other change.

    It is refused, with exit code 2, if a row has changed since or the rows are no longer kept (AGENT_UNDO_DAYS).
    """
    from agent.cli.terminal.render import print_json
    from agent.operations import executions

    proposed = run(lambda runtime: executions.undo(execution_id, runtime=runtime))
    result, approval = proposed.result, proposed.approval
    if as_json:
        print_json({"result": result, "approval": approval.as_dict() if approval else None})
    else:
        _show_proposed(result, approval)
    if proposed.why_not:
        raise typer.Exit(2)
    if not result.get("success"):
        raise typer.Exit(1 if result.get("status") == "failed" else 4)


def _show_proposed(result: ToolResult, approval: Approval | None) -> None:
    from agent.cli.terminal.approval_view import show_approval
    from agent.cli.terminal.render import say, stdout
    from agent.cli.terminal.turn_view import show_step

    console = stdout()
    if approval is None or result.get("status") != "waiting":
        show_step(console, "undo", result)
        return
    show_approval(console, approval)
    say(console, f"agent approvals approve {approval.id}   take it back", "dim")
    say(console, f"agent approvals reject {approval.id}    leave it as it is", "dim")


def assess(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement.")], *, as_json: JsonOption = False
) -> None:
    """Show what the agent would do with a statement: run it, ask a human, or refuse. Nothing runs."""
    from agent.cli.terminal.render import facts, print_json, stdout
    from agent.errors import InvalidArguments, InvalidInput
    from agent.operations import executions

    try:
        looked = run(lambda runtime: executions.preflight("execute_sql", {"sql": sql}, runtime=runtime))
    except InvalidArguments as error:  # a user typed the statement, not a model
        raise InvalidInput(str(error)) from error
    assessment = looked.assessment
    if as_json:
        print_json({**asdict(assessment), "held_up_by": looked.held_up_by})
        return
    facts(stdout(), [
        ("verdict", _verdict(assessment)), ("risk", assessment.risk), ("what", assessment.sentence),
        ("objects", ", ".join(assessment.objects) or "none"), ("reasons", ", ".join(assessment.reasons)),
        *([("but now", looked.held_up_by)] if looked.held_up_by else []),
    ])  # fmt: skip


def _verdict(assessment: Assessment) -> str:
    return {"run": "runs at once", "ask": "asks a human first", "refuse": "is refused"}[assessment.verdict]


def _summary(execution: Execution) -> str:
    from agent.cli.terminal.clean_text import cell, one_line

    text = execution.arguments.get("sql") or execution.arguments.get("question")
    if text:
        return one_line(text, 200)
    return one_line(" ".join([execution.action, *(cell(value) for value in execution.arguments.values())]), 200)
