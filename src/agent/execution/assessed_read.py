"""Runs a statement that was assessed as a read, and builds its result: capped, secrets hidden, with the remarks that it needs."""

from __future__ import annotations

from agent.errors import ActionRefused
from agent.execution.hidden_cells import hidden_in, with_sources, without_keys
from agent.execution.reads.reader import read
from agent.execution.reads.remarks import remarks_on
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.statements.secret_use import SecretUse
from agent.types import Assessment, ToolResult


async def run_read(statement: Statement, assessment: Assessment, *, note: str = "", runtime: Runtime) -> ToolResult:
    """Return a read's result, with `note` as its message. Raises `ActionRefused`, `StatementFailed`, `DatabaseUnavailable`."""
    if assessment.verdict == "refuse":
        raise ActionRefused(f"Refused: {assessment.sentence}")
    use = assessment.secrets or SecretUse()
    hidden = hidden_in(use, read_secrets=runtime.settings.read_secrets)
    rows = await read(statement, hide=hidden, runtime=runtime)
    remarks = await remarks_on(rows, statement, assessment.hidden, runtime=runtime)
    # The remarks come first, because a long result loses its end before a model sees it.
    result = ToolResult(
        success=True, status="succeeded", **({"remarks": remarks} if remarks else {}), columns=rows.columns, rows=rows.rows,
        row_count=len(rows.rows), truncated=rows.truncated, sql=statement.sql,
    )  # fmt: skip
    if not runtime.settings.read_secrets:
        result = without_keys(result, statement)
    if rows.cut_cells:
        result["cut_cells"] = rows.cut_cells
    if note:
        result["message"] = note
    # Without sources, a reader judges by columns' names which values are secrets, and AGENT_OPEN_COLUMNS may have opened some.
    known = any(use.sources) or bool(runtime.settings.open_columns)
    return with_sources(result, use, hidden) if known and statement.kind == "SelectStmt" else result
