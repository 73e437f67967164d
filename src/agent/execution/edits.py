"""Decisions that need more than the queue: an edit is tried before it counts, an expired request is tried again."""

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

_NOT_TOLD = (
    "The edit is not taken, and the reason may hold values that you may not see: check the arguments, or leave it to somebody"
    " with the role `personal` (`agent people list`)."
)


async def edit(
    approval_id: int, said: DecisionRequest, arguments: Mapping[str, Any] | None, *, runtime: Runtime
) -> Approval:
    """Put the same call with other arguments in the place of a request; approved, or waiting to be looked at once more."""
    if arguments is None:
        raise InvalidInput("An edit needs the arguments that the tool is to be called with.")
    arguments = json_copy(arguments, "arguments")
    if MASK in json.dumps(arguments, ensure_ascii=False):
        raise InvalidInput(f"Write values out: {MASK!r} only stands for what you may not see.")
    seen = await human_approval_queue.check_may_decide(approval_id, said, runtime=runtime)
    _check_ours(seen, runtime)
    try:
        again = await new_request_for(seen.action, arguments, call_key_of(seen), by_model=False, runtime=runtime)
    except ModelError as error:
        if (await people.membership(said.by, runtime=runtime)).sees_personal:
            raise
        raise InvalidInput(_NOT_TOLD) from error  # it may name rows that were found with these arguments
    new = _warned(seen, again)
    further = beyond(seen, new)
    if further:
        new = replace(new, summary=f"Edited, and {'; '.join(further)}. {new.summary}")
    return await human_approval_queue.edit(approval_id, said, new, confirmed=not further, runtime=runtime)


async def reopen(approval_id: int, reopened_by: str | None, *, runtime: Runtime) -> Approval:
    """Ask again what nobody answered in time."""
    expired = await human_approval_queue.unmasked(approval_id, runtime=runtime)
    if expired.status != "expired":
        raise InvalidInput(f"Approval {expired.id} is {expired.status}: only what expired can be opened again.")
    _check_ours(expired, runtime)
    who = await people.membership(reopened_by, runtime=runtime)
    if who.several and (who.person is None or not who.person.active):
        raise DecisionRefused(f"{who.name!r} is not one of the people who are known here (`agent people list`).")
    new = await new_request_for(expired.action, expired.arguments, call_key_of(expired), by_model=True, runtime=runtime)
    return await human_approval_queue.reopen(expired, new, runtime=runtime)


async def allowance(approval_id: int, always: Always, viewer: str | None, *, runtime: Runtime) -> Allowance:
    """What approving a request would always allow, as `viewer` may see it."""
    approval = await human_approval_queue.unmasked(approval_id, runtime=runtime)
    return await allowance_of(approval, always, await people.membership(viewer, runtime=runtime), runtime=runtime)


async def grant(approval_id: int, always: Always, *, runtime: Runtime) -> Grant:
    """What approving a request would always allow."""
    return await grant_for(await human_approval_queue.unmasked(approval_id, runtime=runtime), always, runtime=runtime)


def beyond(seen: Approval, new: NewRequest) -> tuple[str, ...]:
    """What an edited action, tried again, does beyond what its editor had seen; nothing: the edit was the approval."""
    found = []
    if RISK_LEVELS.index(new.risk_level) > RISK_LEVELS.index(seen.risk_level):
        found.append(f"its risk is {new.risk_level}, and was {seen.risk_level}")
    shown, before = new.preview, seen.preview
    if rows_of(shown) is None or rows_of(before) is None:
        found.append("its rows are not counted")
    else:
        found += _more_rows(as_statement(shown), as_statement(before))
    if other := sorted(set(tables_of(shown)) - set(tables_of(before))):
        found.append(f"it also changes {', '.join(other)}")
    return tuple(found)


def _more_rows(shown: StatementPreview, before: StatementPreview) -> Iterator[str]:
    """Where more rows change than were shown: those that the statement counts, then table by table what comes with them."""
    rows, rows_before = shown.row_count or 0, before.row_count or 0
    if rows > rows_before:
        yield f"it changes {rows} row{'' if rows == 1 else 's'}, and {_were(rows_before)} shown"
    earlier = {table["table"]: changed_in(table) for table in before.tables}
    for table in shown.tables:
        name, now = table["table"], changed_in(table)
        if now > earlier.get(name, now) and not (now == rows and _is_own(name, shown)):
            yield f"{now} rows of {name} change with it, and {_were(earlier[name])} shown"


def _is_own(table: str, shown: StatementPreview) -> bool:
    """Whether it is the table that the statement itself names as what it changes."""
    relation = getattr(parse(shown.sql, most_characters=None).node, "relation", None)
    return table.rpartition(".")[2] == getattr(relation, "relname", "")


def _were(count: int) -> str:
    return f"{count} {'was' if count == 1 else 'were'}"


def _warned(seen: Approval, new: NewRequest) -> NewRequest:
    """An edited request with the warnings of the one that it replaces: who changed one value need not know the others."""
    if not seen.preview or not seen.preview.origins or not new.preview:
        return new
    return replace(
        new,
        risk_level=max(new.risk_level, "HIGH", key=RISK_LEVELS.index),
        reasons=(*new.reasons, *(reason for reason in seen.reasons if reason.startswith(("origin:", "secret")))),
        preview=signed(replace(new.preview, origins=seen.preview.origins)),
    )


def _check_ours(approval: Approval, runtime: Runtime) -> None:
    if not approval.executable:
        raise InvalidInput(f"Approval {approval.id} is only a question: whoever asked it acts by themselves.")
    if approval.database_id != runtime.database_id:
        raise InvalidInput(f"Approval {approval.id} is about another database ({approval.database_id}).")
