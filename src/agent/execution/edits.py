"""Takes decisions that need a new preview: an edit of a request, and the reopening of one that expired."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.approval.decisions import DecisionRequest
from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import Grant
from agent.approval.preview import StatementPreview, as_statement, signed
from agent.approval.requests import NewRequest, json_copy
from agent.errors import DecisionRefused, InvalidInput, ModelError
from agent.execution.action import new_request_for
from agent.execution.permissions.matching import Allowance, allowance_of, grant_for
from agent.execution.permissions.scope import Always, changed_in, rows_of, tables_of
from agent.privacy.masking import MASK
from agent.provenance.conversation_context import call_key_of
from agent.runtime import Runtime
from agent.statements.parser import parse
from agent.types import RISK_LEVELS

_EDIT_REFUSED = (
    "The edit is not taken, and the reason may hold values that you may not see: check the arguments, or leave it to somebody"
    " with the role `personal` (`agent people list`)."
)


async def edit(
    approval_id: int, request: DecisionRequest, arguments: Mapping[str, Any] | None, *, runtime: Runtime
) -> Approval:
    """Replace a request by the same call with other `arguments`, and return the new request.

    It is approved, unless it goes beyond what the editor saw (see `beyond`): then it waits for a decision of its own.
    """
    if arguments is None:
        raise InvalidInput("An edit needs the arguments that the tool is to be called with.")
    arguments = json_copy(arguments, "arguments")
    if MASK in json.dumps(arguments, ensure_ascii=False):
        raise InvalidInput(f"Write values out: {MASK!r} only stands for what you may not see.")
    original = await human_approval_queue.check_may_decide(approval_id, request, runtime=runtime)
    _check_executable_here(original, runtime)
    try:
        again = await new_request_for(
            original.action, arguments, call_key_of(original), by_model=False, runtime=runtime
        )
    except ModelError as error:
        if (await people.membership(request.by, runtime=runtime)).sees_personal:
            raise
        raise InvalidInput(_EDIT_REFUSED) from error  # the error may name rows that these arguments match
    new = _with_warnings(original, again)
    further = beyond(original, new)
    if further:
        new = replace(new, summary=f"Edited, and {'; '.join(further)}. {new.summary}")
    return await human_approval_queue.edit(approval_id, request, new, confirmed=not further, runtime=runtime)


async def reopen(approval_id: int, reopened_by: str | None, *, runtime: Runtime) -> Approval:
    """Ask again about a request that expired, with a new preview. Raises `InvalidInput` or `DecisionRefused`."""
    expired = await human_approval_queue.unmasked(approval_id, runtime=runtime)
    if expired.status != "expired":
        raise InvalidInput(f"Approval {expired.id} is {expired.status}: only an expired request can be opened again.")
    _check_executable_here(expired, runtime)
    who = await people.membership(reopened_by, runtime=runtime)
    if who.several and (who.person is None or not who.person.active):
        raise DecisionRefused(f"{who.name!r} is not one of the people who are known here (`agent people list`).")
    new = await new_request_for(expired.action, expired.arguments, call_key_of(expired), by_model=True, runtime=runtime)
    return await human_approval_queue.reopen(expired, new, runtime=runtime)


async def allowance(approval_id: int, always: Always, viewer: str | None, *, runtime: Runtime) -> Allowance:
    """Return what approving a request with `always` would allow, in words that `viewer` may see."""
    approval = await human_approval_queue.unmasked(approval_id, runtime=runtime)
    return await allowance_of(approval, always, await people.membership(viewer, runtime=runtime), runtime=runtime)


async def grant(approval_id: int, always: Always, *, runtime: Runtime) -> Grant:
    """Return the permission that approving a request with `always` would grant."""
    return await grant_for(await human_approval_queue.unmasked(approval_id, runtime=runtime), always, runtime=runtime)


def beyond(original: Approval, new: NewRequest) -> tuple[str, ...]:
    """Return, in words, what an edited action does beyond the request that its editor saw; () where the edit approves it."""
    differences = []
    if RISK_LEVELS.index(new.risk_level) > RISK_LEVELS.index(original.risk_level):
        differences.append(f"its risk is {new.risk_level}, and was {original.risk_level}")
    after, before = new.preview, original.preview
    if rows_of(after) is None or rows_of(before) is None:
        differences.append("its rows are not counted")
    else:
        differences += _more_rows(as_statement(after), as_statement(before))
    if other := sorted(set(tables_of(after)) - set(tables_of(before))):
        differences.append(f"it also changes {', '.join(other)}")
    return tuple(differences)


def _more_rows(after: StatementPreview, before: StatementPreview) -> Iterator[str]:
    """Yield, in words, where more rows change than before: of the statement itself, then in each table that it also changes."""
    rows, rows_before = after.row_count or 0, before.row_count or 0
    if rows > rows_before:
        yield f"it changes {rows} row{'' if rows == 1 else 's'}, and {_were(rows_before)} shown"
    earlier = {table["table"]: changed_in(table) for table in before.tables}
    for table in after.tables:
        name, now = table["table"], changed_in(table)
        if now > earlier.get(name, now) and not (now == rows and _is_target(name, after)):
            yield f"{now} rows of {name} change with it, and {_were(earlier[name])} shown"


def _is_target(table: str, preview: StatementPreview) -> bool:
    """Return whether it is the table that the previewed statement itself names as what it changes."""
    relation = getattr(parse(preview.sql, most_characters=None).node, "relation", None)
    return table.rpartition(".")[2] == getattr(relation, "relname", "")


def _were(count: int) -> str:
    return f"{count} {'was' if count == 1 else 'were'}"


def _with_warnings(original: Approval, new: NewRequest) -> NewRequest:
    """Return an edited request with the warnings of the original: who changed one value need not know the others."""
    if not original.preview or not original.preview.origins or not new.preview:
        return new
    return replace(
        new,
        risk_level=max(new.risk_level, "HIGH", key=RISK_LEVELS.index),
        reasons=(*new.reasons, *(reason for reason in original.reasons if reason.startswith(("origin:", "secret")))),
        preview=signed(replace(new.preview, origins=original.preview.origins)),
    )


def _check_executable_here(approval: Approval, runtime: Runtime) -> None:
    if not approval.executable:
        raise InvalidInput(f"Approval {approval.id} is only a question: the agent executes nothing for it.")
    if approval.database_id != runtime.database_id:
        raise InvalidInput(f"Approval {approval.id} is about another database ({approval.database_id}).")
