"""Says in words what a statement does to which tables, and whether that can be taken back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.approval.preview import StatementPreview, TableEffect
from agent.text.visible import one_line

_Kind = Literal["inserted", "updated", "deleted"]
_KINDS: tuple[_Kind, ...] = ("inserted", "updated", "deleted")
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_MOST_TABLES, _MOST_NAME = 40, 130


def effects_by_kind(tables: Sequence[TableEffect]) -> str:
    """Return the changed rows by kind and table: `customer 1, invoice 7 deleted; orders 3 updated`; '' for none.

    The kind of change of the first table stands first.
    """

    def first_of(kind: _Kind) -> int:
        return next((place for place, table in enumerate(tables) if table[kind]), 0)

    parts = []
    for kind in sorted(_KINDS, key=first_of):
        counted = [f"{_name(table['table'])} {table[kind]}" for table in tables if table[kind]]
        more = [f"{len(counted) - _MOST_TABLES} more tables"] if len(counted) > _MOST_TABLES else []
        if counted:
            parts.append(f"{', '.join([*counted[:_MOST_TABLES], *more])} {kind}")
    return "; ".join(parts)


def done_message(kind: str, count: int | None, tables: Sequence[TableEffect]) -> str:
    """Return what a statement of a kind of Postgres's grammar has done, as a sentence; `count` are the rows that it counted."""
    effects = effects_by_kind(tables)
    if effects:
        return f"Done: {effects}."
    if count is None:
        return "Done."
    if kind not in _CHANGES:
        return f"Done: {_rows(count)} returned; no row of a table was changed."
    return f"Done: {_rows(count)} affected." if count else "Done: no row matched, so nothing was changed."


def undone_message(execution_id: object, tables: Sequence[TableEffect], not_restored: Sequence[TableEffect]) -> str:
    """Return what an undo has restored, what else it changed, and what of the change it left as it is."""
    own, beside = tables[:1], tables[1:]
    restored = f": {_name(own[0]['table'])} {_restored(own[0])}" if own else ""
    sentences = [f"Done: execution {execution_id} is undone{restored}."]
    if beside:
        sentences.append(f"Triggers or cascades of the undo also did this: {effects_by_kind(beside)}.")
    return " ".join([*sentences, *_not_restored(not_restored)])


def undo_sentences(preview: StatementPreview) -> list[str]:
    """Return whether a request can be undone; if it is an undo itself, also what that leaves as it is."""
    return [*_not_restored(preview.not_restored), *([preview.undo] if preview.undo else [])]


def undo_message(why_not: str, others: Sequence[TableEffect]) -> str:
    """Return whether a change can be undone; `others` are the changes beside its own rows, which no undo takes back."""
    if why_not:
        return f"Cannot be undone: {why_not}."
    if others:
        return f"Can be undone, but not what triggers or cascades do: {effects_by_kind(others)}."
    return "Can be undone."


def _not_restored(effects: Sequence[TableEffect]) -> list[str]:
    if not effects:
        return []
    return [f"Not restored: {effects_by_kind(effects)}; triggers or cascades of the change did that."]


def _restored(effect: TableEffect) -> str:
    verbs = {"inserted": "restored", "updated": "set back", "deleted": "removed again"}
    return ", ".join(f"{effect[kind]} {verbs[kind]}" for kind in _KINDS if effect[kind])


def _name(table: str) -> str:
    return one_line(table.removeprefix("public."), _MOST_NAME)


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
