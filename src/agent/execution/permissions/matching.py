"""Works out what an approval would always allow, and finds the permission that an action may use.

Names of relations are looked up as agent_actor, which will use them: if a name means another table by then, because of the
search_path or a new table, the permission does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

from agent.approval.eligibility import Membership
from agent.approval.permissions import Grant, Permission, check_life, masked_sentence, permissions, sentence_of_call
from agent.approval.preview import Preview, as_statement
from agent.approval.records import Approval
from agent.approval.views import arguments_for_everybody
from agent.db import load_queries
from agent.db.paths import rows_as_application
from agent.errors import DecisionRefused, InvalidInput
from agent.execution.digests import keyed, load_key
from agent.execution.permissions.scope import (
    Always,
    Key,
    bounds_of,
    constants_of,
    fits_arguments,
    fits_statement,
    pattern_of_arguments,
    pattern_of_statement,
    rows_of,
    sentence_of_statement,
    tables_of,
    within,
)
from agent.execution.undo.undo import UNDO
from agent.runtime import Runtime
from agent.statements.code_digest import code_reached
from agent.statements.parser import Statement, parse
from agent.types import RiskLevel

_QUERIES = load_queries(__package__)
_BY_STATEMENT = "execute_sql"
# Prefixes of reasons that name code which the statement calls: what it does depends on the values that it is given.
_CODE = ("function:", "operator:", "type:", "cast:")


class Allowance(TypedDict):
    """What "always" would allow to `who`, in words and up to which limits; `choices` maps what may be freed to its meaning."""

    sentence: str
    who: str
    seconds: float
    most_rows: int
    tables: list[str]
    risk_ceiling: RiskLevel
    choices: dict[str, str]


async def grant_for(approval: Approval, always: Always, *, runtime: Runtime) -> Grant:
    """Return the permission that approving this request would grant. Raises `DecisionRefused` or `InvalidInput`."""
    check_life(always.seconds)
    preview, rows = as_statement(approval.preview), rows_of(approval.preview)
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
    if approval.action == UNDO:
        raise DecisionRefused(f"Approval {approval.id} undoes one change, which is asked every time.")
    if always.most_rows is not None and not rows <= always.most_rows < 2**31:
        raise InvalidInput(f"{always.most_rows} rows do not even cover what was shown, which is {rows}.")
    pattern, sentence = await _pattern(approval, always, runtime)
    pattern |= {"reasons": sorted(approval.reasons), "rows": bounds_of(preview, always.most_rows)}
    if preview.sql:  # of any tool that makes a statement
        pattern["code"] = await code_reached(parse(preview.sql, most_characters=None), runtime=runtime)
    return Grant(
        pattern=pattern, sentence=sentence, tables=tables_of(preview), most_rows=always.most_rows or rows,
        seconds=always.seconds,
    )  # fmt: skip


async def allowance_of(approval: Approval, always: Always, who: Membership, *, runtime: Runtime) -> Allowance:
    """Return what approving this request would always allow, in words that `who` may see. Raises as `grant_for`."""
    grant = await grant_for(approval, always, runtime=runtime)
    sentence = grant.sentence
    if not who.sees_personal:
        sentence = masked_sentence(approval.action, grant.pattern, sentence)
    if approval.action == _BY_STATEMENT:
        constants = constants_of(parse(as_statement(approval.preview).sql))
        choices = {str(constant.number): constant.words for constant in constants if constant.how}
    else:
        choices = {name: f"any {name}" for name in approval.arguments}
    return Allowance(
        sentence=sentence, who=approval.requested_by, seconds=always.seconds, most_rows=grant.most_rows,
        tables=list(grant.tables), risk_ceiling=approval.risk_level, choices=choices,
    )  # fmt: skip


async def _pattern(approval: Approval, always: Always, runtime: Runtime) -> tuple[dict[str, Any], str]:
    """Return what is allowed as a pattern and in words."""
    key, preview, policy = await _key(runtime), as_statement(approval.preview), approval.policy_version
    if approval.action != _BY_STATEMENT:
        pattern = pattern_of_arguments(approval.arguments, policy=policy, always=always, key=key)
        arguments = arguments_for_everybody(approval.arguments, approval.preview)
        return pattern, sentence_of_call(approval.action, pattern, arguments)
    statement = parse(preview.sql)
    objects = await _objects(statement, runtime)
    pattern = pattern_of_statement(statement, objects, policy=policy, always=always, key=key)
    pattern["sql"] = preview.sql_for_everybody
    return pattern, sentence_of_statement(pattern["sql"], pattern)


async def _key(runtime: Runtime) -> Key:
    await load_key(runtime)
    return partial(keyed, purpose="permission", runtime=runtime)


async def permission_for(
    action: str,
    arguments: Mapping[str, Any],
    *,
    statement: Statement | None,
    preview: Preview,
    risk: RiskLevel,
    reasons: Sequence[str],
    policy: str,
    user: str,
    runtime: Runtime,
) -> Permission | None:
    """Return a permission of `user` that covers the action with this preview; None where a human must be asked."""
    candidates = [
        permission
        for permission in await permissions.open_for(action, user=user, runtime=runtime)
        if within(permission, risk=risk, reasons=reasons, preview=preview)
    ]
    code = await code_reached(statement, runtime=runtime) if candidates and statement else ""
    candidates = [permission for permission in candidates if permission.pattern.get("code", "") == code]
    if not candidates:
        return None
    key = await _key(runtime)
    if action != _BY_STATEMENT:
        fitting = (each for each in candidates if fits_arguments(each.pattern, arguments, policy=policy, key=key))
        return next(fitting, None)
    if statement is None:
        return None
    objects = await _objects(statement, runtime)
    fitting = (each for each in candidates if fits_statement(each.pattern, statement, objects, policy=policy, key=key))
    return next(fitting, None)


async def _objects(statement: Statement, runtime: Runtime) -> list[str]:
    """Return the qualified names of the relations that a statement names; an unknown name stays as it is written."""
    names = sorted(statement.names.relations)
    values = {"schemas": [name.schema for name in names], "names": [name.name for name in names]}
    async with runtime.app.connection("agent_actor") as conn:
        rows = await rows_as_application(conn, _QUERIES["relations_of_names"], values)
    return [row["relation"] for row in rows]
