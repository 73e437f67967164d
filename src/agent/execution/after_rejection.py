"""Keeps a human's no: what was rejected in a turn is not asked about again in that turn, in whatever words it comes.

A rejection with words is a correction: the model may propose something else, which a human is asked about. A rejection
without words, and a request that nobody answered, are final: then also a part of it is refused. After any of them a change of
the same tables is asked about even where the policy or a permission would let it run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.approval.human_approval import Approval, human_approval_queue
from agent.approval.preview import Effect, Preview, StatementPreview, as_statement, digest
from agent.errors import ActionRefused, InvalidArguments
from agent.runtime import Runtime
from agent.statements.parser import parse, same
from agent.types import CallKey


async def check_not_rejected(
    action: str, arguments: Mapping[str, Any], preview: Preview, call: CallKey | None, *, runtime: Runtime
) -> bool:
    """Return whether a human must be asked about an action, because they rejected another one about the same in this turn.

    Raises `ActionRefused` if this is what they rejected.
    """
    if call is None:
        return False
    requests = await human_approval_queue.unmasked_for_turn(call.thread_id, call.turn, runtime=runtime)
    rejected = [one for one in requests if one.status in {"rejected", "expired"} and one.call != call]
    for earlier in rejected:
        if is_repeated(earlier, action, arguments, preview):
            raise ActionRefused(_why(earlier))
    return any(_is_about_the_same(earlier, action, preview) for earlier in rejected)


def is_repeated(earlier: Approval, action: str, arguments: Mapping[str, Any], preview: Preview) -> bool:
    """Return whether an action would do what `earlier` asked for, or, where that no is final, a part of it."""
    if not isinstance(earlier.preview, StatementPreview) or not isinstance(preview, StatementPreview):
        return earlier.action == action and digest(_folded(earlier.arguments)) == digest(_folded(arguments))
    before, now = earlier.preview, preview
    if _same_statement(before.sql, now.sql):
        return True
    if not (before.tried and now.tried and now.tables and _tables(before) == _tables(now)):
        return False
    return _same_effect(before, now) or (earlier.correction is None and _is_part(now, before))


def _why(earlier: Approval) -> str:
    number = f"approval {earlier.id}"
    if earlier.status == "expired":
        return (
            f"Refused: nobody answered this in time ({number}). That is final in this turn: say that nothing was done."
        )
    if earlier.correction is None:
        return f"Refused: {earlier.decided_by} rejected this ({number}). That is final in this turn: say that nothing was done."
    return (
        f"Refused: this does what {earlier.decided_by} rejected ({number}). They said there what they want instead: propose "
        "that, or answer."
    )


def _is_about_the_same(earlier: Approval, action: str, preview: Preview) -> bool:
    before, now = _tables(as_statement(earlier.preview)), _tables(as_statement(preview))
    return bool(before & now) if before and now else earlier.action == action


def _tables(preview: StatementPreview) -> set[str]:
    return {table["table"] for table in preview.tables}


def _folded(value: Any) -> Any:
    """Return arguments without what does not change their meaning: runs of white space, and null."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return {name: _folded(item) for name, item in value.items() if item is not None}
    return [_folded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _same_statement(first: str, second: str) -> bool:
    try:
        one, other = parse(first, most_characters=None), parse(second, most_characters=None)
    except InvalidArguments:
        return False
    return one.kind == other.kind and same(one.node, other.node)


def _same_effect(first: StatementPreview, second: StatementPreview) -> bool:
    if first.row_count == 0 or first.row_count != second.row_count or first.goes != second.goes:
        return False
    if first.effect is None and second.effect is None and not first.others:
        return False  # only numbers of rows are known, and they may be others
    volatile = {*first.volatile, *second.volatile}
    if not _equal(first.effect, second.effect, volatile):
        return False
    others, now = ({other["table"]: other for other in preview.others} for preview in (first, second))
    return others.keys() == now.keys() and all(
        _equal(others[name]["effect"], now[name]["effect"], {*others[name]["volatile"], *now[name]["volatile"]})
        for name in others
    )


def _equal(first: Effect | None, second: Effect | None, volatile: set[str]) -> bool:
    if first is None or second is None:
        return first is second
    cells = [
        {name: pair for name, pair in effect["cells"].items() if name not in volatile} for effect in (first, second)
    ]
    whole = volatile or first["whole"] == second["whole"]
    return first["rows"] == second["rows"] and cells[0] == cells[1] and bool(whole)


def _is_part(now: StatementPreview, before: StatementPreview) -> bool:
    """Return whether every row of a change was among the rows that were shown of another one, with the same values."""
    volatile = {*now.volatile, *before.volatile}
    rows, known = (_comparable(preview, volatile) for preview in (now, before))
    return bool(rows) and not now.more and all(row in known for row in rows)


def _comparable(preview: StatementPreview, volatile: set[str]) -> Sequence[Any]:
    return [
        [
            {name: cell for name, cell in (row[side] or {}).items() if name not in volatile}
            for side in ("before", "after")
        ]
        for row in preview.rows
    ]
