"""List and show executions, propose to undo a change, and delete the rows that are kept for an undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.people import people
from agent.approval.views import result_for_viewer
from agent.errors import ActionRefused
from agent.execution import available_tools
from agent.execution.guards.conditions import changes_something, held_up_by
from agent.execution.log import Execution, executions
from agent.execution.safe_executor import safe_executor
from agent.execution.tools.arguments import UndoChange
from agent.execution.undo import undo as undoing
from agent.runtime import Runtime, current_runtime
from agent.threads import threads
from agent.types import Assessment, ExecutionStatus, ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionView:
    """One execution as its viewer may see it, and the calls that a created tool's code made in it."""

    execution: Execution
    calls: tuple[Execution, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedUndo:
    """The result of proposing an undo. `approval` waits for a decision; `why_not` says why the change cannot be undone."""

    result: ToolResult
    approval: Approval | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What an action would do, and the condition for which it would not be asked about or done now ('' for none)."""

    assessment: Assessment
    held_up_by: str


async def preflight(action: str, arguments: Mapping[str, Any], *, runtime: Runtime | None = None) -> Preflight:
    """Assess an action without doing it or asking anybody. Raises what `safe_executor.assess` raises."""
    runtime = runtime or await current_runtime()
    assessment = await safe_executor.assess(action, arguments, runtime=runtime)
    is_statement = (await available_tools.find(action, runtime=runtime)).outside is None
    held_up = await held_up_by(assessment, statement=is_statement, runtime=runtime)
    return Preflight(assessment=assessment, held_up_by=held_up)


async def recent(
    limit: int = 50,
    *,
    thread_id: str | None = None,
    status: ExecutionStatus | None = None,
    before: int | None = None,
    viewer: str | None = None,
    runtime: Runtime | None = None,
) -> list[Execution]:
    """Return the newest executions, the highest number first, or those below the number `before`.

    Raises `NotFound` if there is no thread `thread_id`.
    """
    newest = await executions.recent(
        limit, thread_id=thread_id, status=status, before=before, viewer=viewer, runtime=runtime
    )
    if thread_id is not None and not newest and not await executions.recent(1, thread_id=thread_id, runtime=runtime):
        await threads.turns(thread_id, runtime=runtime)
    return newest


async def show(execution_id: int, *, viewer: str | None = None, runtime: Runtime | None = None) -> ExecutionView:
    """Return one execution as `viewer` may see it (default: the runtime's user). Raises `NotFound`."""
    execution, calls = await executions.with_calls(execution_id, viewer=viewer, runtime=runtime)
    return ExecutionView(execution=execution, calls=tuple(calls))


async def of_request(
    approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
) -> Execution | None:
    """Return the execution of a request as `viewer` may see it, or None while there is none."""
    return await executions.of_request(approval_id, viewer=viewer, runtime=runtime)


async def why_not_undo(execution_id: int, *, runtime: Runtime | None = None) -> str:
    """Return a sentence that says why a change cannot be undone now, or '' if it can. Raises `NotFound`."""
    try:
        await undoing.statement(UndoChange(execution_id=execution_id), runtime or await current_runtime())
    except ActionRefused as error:
        return str(error)
    return ""


async def undo(execution_id: int, *, runtime: Runtime | None = None) -> ProposedUndo:
    """Ask for approval to take an approved change back. Raises `NotFound`."""
    await executions.get(execution_id, runtime=runtime)
    result = await safe_executor.undo(execution_id, wait=False, runtime=runtime)
    if approval_id := result.get("approval_id"):
        return ProposedUndo(result=result, approval=await human_approval_queue.get(approval_id, runtime=runtime))
    if result.get("status") != "refused":
        return ProposedUndo(result=result)
    # A rule can refuse a change that could be undone; then `why_not` is ''.
    return ProposedUndo(result=result, why_not=await why_not_undo(execution_id, runtime=runtime))


async def forget(execution_id: int | None = None, *, runtime: Runtime | None = None) -> int:
    """Delete the rows kept for an undo, of one execution or of all. Return the number of executions. Raises `NotFound`."""
    if execution_id is not None:
        await executions.get(execution_id, runtime=runtime)
    return await undoing.forget(execution_id, runtime=runtime)


async def read(sql: str, *, runtime: Runtime | None = None) -> ToolResult:
    """Run a statement that only reads and needs no human, and return its result as the user may see it.

    Raises `ActionRefused` for one that could change something or must be asked about.
    """
    runtime = runtime or await current_runtime()
    assessment = await safe_executor.assess("execute_sql", {"sql": sql}, runtime=runtime)
    if assessment.verdict != "run" or changes_something(assessment):
        raise ActionRefused(f"Only a read runs here. {assessment.sentence} Ask for it in the chat.")
    result = await safe_executor.execute(
        "execute_sql", {"sql": sql}, require_approval=False, wait=False, runtime=runtime
    )
    return result_for_viewer(await people.membership(None, runtime=runtime), result)
