"""Permissions at work: what an approval allows beyond itself, and which permission an action may use.

Names of relations are looked up as agent_actor, which will use them: another search_path, another table of that name, and
the permission does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.approval.permissions import Grant, Permission, check_life, permissions, sentence_of_call
from agent.approval.records import Approval
from agent.db import load_queries
from agent.db.paths import rows_as_application
from agent.errors import DecisionRefused, InvalidInput
from agent.execution.assessing import code_reached
from agent.execution.patterns import (
    Always,
    fits_arguments,
    fits_statement,
    pattern_of_arguments,
    pattern_of_statement,
    rows_of,
    tables_of,
    within,
)
from agent.execution.statements.sql_parsing import Statement, parse
from agent.runtime import Runtime
from agent.types import RiskLevel

_QUERIES = load_queries(__package__)
_BY_STATEMENT = "execute_sql"
# Reasons that name code which the statement itself calls: what it does depends on the values that it is given.
_CODE = ("function:", "operator:", "type:", "cast:")


async def grant_for(approval: Approval, always: Always, *, runtime: Runtime) -> Grant:
    """What approving this request would always allow. Raises `DecisionRefused` or `InvalidInput`."""
    check_life(always.seconds)
    shown = approval.preview or {}
    rows = rows_of(shown)
    if approval.risk_level == "CRITICAL":
        raise DecisionRefused(f"Approval {approval.id} is of risk CRITICAL, which is asked every time.")
    if code := next((reason for reason in approval.reasons if reason.startswith(_CODE)), None):
        raise DecisionRefused(
            f"Approval {approval.id} runs code that may be another one later ({code}), so it is asked every time."
        )
    if not approval.executable or rows is None:
        raise DecisionRefused(
            f"Approval {approval.id} cannot be always allowed: what it changes is not known by number."
        )
    if approval.database_id != runtime.database_id:
        raise InvalidInput(f"Approval {approval.id} is about another database ({approval.database_id}).")
    policy = approval.policy_version
    if approval.action == _BY_STATEMENT:
        statement = parse(shown["sql"])
        objects = await _objects(statement, runtime)
        pattern = pattern_of_statement(statement, objects, policy=policy, always=always)
        sentence = str(pattern["statement"])
    else:
        pattern = pattern_of_arguments(approval.arguments, policy=policy, always=always)
        sentence = sentence_of_call(approval.action, pattern)
    pattern["reasons"] = sorted(approval.reasons)
    if shown.get("sql"):  # of any tool that makes a statement
        pattern["code"] = await code_reached(parse(shown["sql"], most_characters=None), runtime=runtime)
    return Grant(
        pattern=pattern, sentence=sentence, tables=tables_of(shown), most_rows=rows, seconds=always.seconds
    )  # fmt: skip


async def permission_for(
    action: str,
    arguments: Mapping[str, Any],
    *,
    statement: Statement | None,
    shown: Mapping[str, Any],
    risk: RiskLevel,
    reasons: Sequence[str],
    policy: str,
    user: str,
    runtime: Runtime,
) -> Permission | None:
    """The permission by which `user` need not ask about what was just tried, if there is one."""
    candidates = [
        one
        for one in await permissions.open_for(action, user=user, runtime=runtime)
        if within(one, risk=risk, reasons=reasons, shown=shown)
    ]
    code = await code_reached(statement, runtime=runtime) if candidates and statement else ""
    candidates = [one for one in candidates if one.pattern.get("code", "") == code]
    if not candidates:
        return None
    if action != _BY_STATEMENT:
        return next((one for one in candidates if fits_arguments(one.pattern, arguments, policy=policy)), None)
    if statement is None:
        return None
    objects = await _objects(statement, runtime)
    return next((one for one in candidates if fits_statement(one.pattern, statement, objects, policy=policy)), None)


async def _objects(statement: Statement, runtime: Runtime) -> list[str]:
    """What the relations that a statement names are, with their schemas; a name that is nothing stays bare."""
    names = sorted(statement.names.relations)
    values = {"schemas": [name.schema for name in names], "names": [name.name for name in names]}
    async with runtime.app.connection("agent_actor") as conn:
        rows = await rows_as_application(conn, _QUERIES["stands_for"], values)
    return [row["relation"] for row in rows]
