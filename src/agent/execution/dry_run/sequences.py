"""Finds statements that take many numbers from a sequence: a rollback does not give those back, so they are not tried.

The number of rows is the estimate of EXPLAIN, which does not run the statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.db import load_queries
from agent.db.paths import application_path, rows_as_application
from agent.execution.writes.statement_runner import actor_transaction
from agent.runtime import Runtime
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
# More than the server's estimate for a small table that was never analysed.
MOST_NUMBERS = 3_000
# Less than the server's estimate for the rows of an unknown function, which is 1,000.
_MOST_OF_FUNCTION = 500
_WRITES = {"InsertStmt", "UpdateStmt", "MergeStmt"}


async def takes_many_numbers(statement: Statement, *, runtime: Runtime) -> bool:
    """Return whether a statement may take more than MOST_NUMBERS numbers from a sequence. Driver errors pass.

    It must call only known functions, because planning may run them.
    """
    kinds = {kind for kind, _ in statement.parts}
    if statement.kind not in {*_WRITES, "DeleteStmt"} or not kinds & {"InsertStmt", "MergeStmt", "SetToDefault"}:
        return False
    targets = [part.relation for kind, part in statement.parts if kind in _WRITES]
    names = {"schemas": [target.schemaname for target in targets], "names": [target.relname for target in targets]}
    async with actor_transaction(runtime, keep=False) as conn:
        (row,) = await rows_as_application(conn, _QUERIES["takes_numbers"], names)
        if not row["takes"]:
            return False
        # The extended protocol (`binary`) takes one statement only.
        explain = f"EXPLAIN (FORMAT JSON) {statement.sql}"
        async with application_path(conn):
            cursor = await conn.execute(explain.encode(), binary=True)
            plan = await cursor.fetchone()
    return plan is None or any(_are_many(plan["QUERY PLAN"][0]["Plan"]))


def _are_many(plan: Mapping[str, Any]) -> Iterator[bool]:
    """Yield for each step of a plan whether its estimated rows are too many; the step that writes has none."""
    yield plan["Plan Rows"] > (_MOST_OF_FUNCTION if plan["Node Type"] == "Function Scan" else MOST_NUMBERS)
    for step in plan.get("Plans", ()):
        yield from _are_many(step)
