"""Makes the remarks that a result needs where row-level security hides rows: what it covers, and what contradicts it."""

from __future__ import annotations

from agent.execution.reads.reader import Rows
from agent.remarks import hidden_rows_remark
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.statements.row_security import contradictions
from agent.types import HiddenRows


async def remarks_on(
    rows: Rows, statement: Statement, hidden: tuple[HiddenRows, ...], *, runtime: Runtime
) -> list[str]:
    """Return the remarks on a result; none where row-level security hides nothing.

    Raises psycopg's errors and `DatabaseUnavailable`.
    """
    if not hidden:
        return []
    remarks = [hidden_rows_remark(hidden, writes=False)]
    counted = _counted(rows, statement)
    if counted is not None:
        async with runtime.app.connection("agent_assessor") as conn:
            remarks += await contradictions(hidden, counted=counted, conn=conn)
    return remarks


def _counted(rows: Rows, statement: Statement) -> int | None:
    """Return how many rows a result says that its tables have; None where it does not say that."""
    cells = rows.rows[0] if rows.rows else []
    if len(rows.rows) > 1 or rows.truncated:
        return None
    if not any(cells):
        return 0
    counts = [cell for cell in cells if isinstance(cell, int)]
    counting = any(name.name == "count" for name in statement.names.functions)
    return max(counts) if counting and len(counts) == len(cells) else None
