"""What an approver is shown: a write is carried out as agent_actor and taken back, and its effects are noted.

The preview also holds the SQL that will run; a hash of all of it is part of what the approval is bound to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import psycopg

from agent.approval.records import digest
from agent.db import Connection, load_queries
from agent.execution.acting import Change, Outcome, actor_transaction, run_statement
from agent.execution.json_values import shorten, size_of
from agent.execution.sessions import failure
from agent.execution.sql_parsing import Statement
from agent.runtime import Runtime
from agent.types import Assessment

_QUERIES = load_queries(__package__)
_MOST_ROWS = 20
_MOST_CELL = 500
_MOST_BYTES = 100_000
_DATA_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}


class RowChange(TypedDict):
    """One affected row; `changed` names the columns that differ. `before` is None for a new row, `after` for a deleted one."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    changed: list[str]


class TableEffect(TypedDict):
    """Rows that a statement changed in one table, its triggers and cascades included."""

    table: str
    inserted: int
    updated: int
    deleted: int


class Preview(TypedDict):
    """What would happen. `row_count` is None where nothing was counted; `more` says that not all rows are shown.

    `sql` is the statement that will run; `not_previewed` are sentences; `fingerprint` is a hash of all the rest.
    """

    sql: str
    sentence: str
    row_count: int | None
    columns: list[str]
    rows: list[RowChange]
    more: bool
    tables: list[TableEffect]
    notices: list[str]
    not_previewed: list[str]
    fingerprint: str


async def preview(statement: Statement, assessment: Assessment, *, runtime: Runtime) -> Preview:
    """Try a statement and take it back. Raises `StatementFailed` when it would fail, which no approval can mend."""
    if statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt", "CallStmt"}:
        return _preview(statement, assessment, missing=["Functions are not run for a preview: they may act outside."])
    version = (await runtime.app.facts("agent_actor")).version
    try:
        async with actor_transaction(runtime, keep=False) as conn:
            before = await _changed_tables(conn)
            outcome = await run_statement(conn, statement, version=version, most_rows=_MOST_ROWS)
            await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
            tables = changes_since(before, await _changed_tables(conn))
    except psycopg.errors.InsufficientPrivilege as error:
        # Asked all the same: whoever approves may also be who grants the right.
        reason = error.diag.message_primary or "a right is missing"
        return _preview(statement, assessment, missing=[f"It would fail as things are: {reason}."])
    except psycopg.Error as error:
        raise failure(error, runtime.settings.statement_timeout) from error
    return _preview(statement, assessment, outcome=outcome, tables=tables, missing=_missing(statement, outcome))


async def _changed_tables(conn: Connection) -> list[TableEffect]:
    rows = await (await conn.execute(_QUERIES["changed_tables"])).fetchall()
    return [TableEffect(**row) for row in rows]  # type: ignore[typeddict-item]  # the query names the keys


def changes_since(before: Sequence[TableEffect], after: Sequence[TableEffect]) -> list[TableEffect]:
    """What was changed between two readings: the server counts a session's transactions together until it reports them."""
    known = {effect["table"]: effect for effect in before}
    none = TableEffect(table="", inserted=0, updated=0, deleted=0)
    changes = []
    for effect in after:
        earlier = known.get(effect["table"], none)
        change = TableEffect(
            table=effect["table"],
            inserted=effect["inserted"] - earlier["inserted"],
            updated=effect["updated"] - earlier["updated"],
            deleted=effect["deleted"] - earlier["deleted"],
        )
        if change["inserted"] or change["updated"] or change["deleted"]:
            changes.append(change)
    return changes


def _missing(statement: Statement, outcome: Outcome) -> list[str]:
    missing: list[str] = []
    if statement.kind not in _DATA_KINDS:
        missing.append("It was tried and taken back; what it means for later statements is not shown.")
    elif not outcome.detailed:
        missing.append("The rows themselves cannot be shown for this form of statement, only their number.")
    if any(change.before is None for change in outcome.changes):
        missing.append("Numbers taken from a sequence are not given back, so identifiers of new rows will differ.")
    return missing


def _preview(
    statement: Statement,
    assessment: Assessment,
    *,
    outcome: Outcome | None = None,
    tables: list[TableEffect] | None = None,
    missing: list[str],
) -> Preview:
    outcome = outcome or Outcome(row_count=None)
    rows = _shown_rows(outcome)
    shown = Preview(
        sql=statement.sql,
        sentence=sentence_of(assessment.sentence, outcome.row_count),
        row_count=outcome.row_count,
        columns=list(
            (outcome.changes[0].after or outcome.changes[0].before or {}) if outcome.changes else outcome.columns
        ),
        rows=rows,
        more=(outcome.row_count or 0) > len(rows),
        tables=tables or [],
        notices=outcome.notices,
        not_previewed=missing,
        fingerprint="",
    )
    shown["fingerprint"] = fingerprint(shown)
    return shown


def _shown_rows(outcome: Outcome) -> list[RowChange]:
    """As many rows as an approver reads and a row of the queue holds."""
    rows: list[RowChange] = []
    left = _MOST_BYTES
    for change in outcome.changes[:_MOST_ROWS]:
        row = row_change(change)
        if size_of(row) > _MOST_BYTES // _MOST_ROWS:
            row = _narrowed(row)
        left -= size_of(row)
        if left < 0:
            break
        rows.append(row)
    return rows


def _narrowed(row: RowChange) -> RowChange:
    """A very wide row: its first columns, by which people know it, and what changes."""
    before, after = row["before"] or {}, row["after"] or {}
    kept = {*list(before or after)[:3], *row["changed"][:20]}
    return RowChange(
        before={name: value for name, value in before.items() if name in kept} or None,
        after={name: value for name, value in after.items() if name in kept} or None,
        changed=row["changed"],
    )


def sentence_of(sentence: str, row_count: int | None) -> str:
    """The assessment's sentence with the number of rows."""
    if row_count is None:
        return sentence
    return f"{sentence} {row_count} row{'' if row_count == 1 else 's'} affected."


def row_change(change: Change) -> RowChange:
    """One row for the approver: long cells cut, changed columns named."""
    before, after = _cut(change.before), _cut(change.after)
    changed = [
        name
        for name in dict.fromkeys([*(change.before or {}), *(change.after or {})])
        if (change.before or {}).get(name) != (change.after or {}).get(name)
    ]
    return RowChange(before=before, after=after, changed=changed)


def _cut(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: shorten(value, _MOST_CELL)[0] for name, value in row.items()}


def fingerprint(shown: Mapping[str, Any]) -> str:
    """A hash of what was shown."""
    return digest({name: value for name, value in shown.items() if name != "fingerprint"})


def untouched(shown: Mapping[str, Any]) -> bool:
    """Whether a stored preview is still what was shown."""
    return bool(shown.get("fingerprint") == fingerprint(shown))
