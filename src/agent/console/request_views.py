"""Turns a request for approval into what a page shows: its statement, its rows as differences, and what warns of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.approval.effect_messages import undo_sentences
from agent.approval.preview import RowChange, StatementPreview, as_statement
from agent.approval.row_changes import changed_columns, columns_to_show, effect
from agent.execution.log import Execution
from agent.messaging.rendering import outcome
from agent.operations.approvals import ApprovalView
from agent.operations.edits import arguments_of, by_sql, present

_ENVIRONMENT = "Environment: "
_FEW_ROWS, _ALL_ROWS, _MOST_COLUMNS = 8, 200, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a difference: its value now and then. `kind` says which of them there are."""

    kind: Literal["same", "changed", "new", "gone"]
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Rows of one table as differences. `more` counts those that are not shown."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A request as a page shows it. `text` is the statement, mail or code; `arguments` what it was called with, if that is more.

    `ended` says how it was decided and what came of it ('' while it waits).
    """

    view: ApprovalView
    text: str
    arguments: str
    editable: str
    by_sql: bool
    rows: Differences | None
    others: tuple[Differences, ...]
    effects: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    ended: str
    execution: Execution | None


def request_view(view: ApprovalView, execution: Execution | None = None, *, whole: bool = False) -> RequestView:
    """Return what a page shows of a request; with `whole` all rows of its preview."""
    approval, most = view.approval, _ALL_ROWS if whole else _FEW_ROWS
    preview = approval.preview
    statement = as_statement(preview)
    text = statement.sql if isinstance(preview, StatementPreview) else (preview.text or "") if preview else ""
    hidden = max((statement.row_count or 0) - len(statement.rows), 0)
    tables = [effect(table) for table in statement.tables]
    shown = by_sql(approval) and bool(text)
    return RequestView(
        view=view,
        text=text,
        arguments="" if shown else arguments_of(approval, indent=2),
        editable=present(approval, indent=2),
        by_sql=by_sql(approval),
        rows=_differences("", statement.rows, most, hidden) if statement.rows else None,
        others=tuple(
            _differences(other["table"], other["rows"], most, 0)
            for other in statement.others
            if other["rows"] and other["rows"] != list(statement.rows)
        ),
        effects=tuple(tables if len(tables) > 1 else []),
        notes=(*undo_sentences(statement), *(f"{remark}." for remark in statement.remarks)),
        warnings=tuple(_warnings(view)),
        ended="" if approval.status == "pending" else outcome(view, execution),
        execution=execution,
    )


def _warnings(view: ApprovalView) -> list[str]:
    preview = view.approval.preview
    statement = as_statement(preview)
    unchanged = (
        bool(statement.rows)
        and all(row["before"] and row["after"] for row in statement.rows)
        and not changed_columns(statement.rows)
    )
    # The environment stands in the summary and at the top of every page.
    conditions = [
        text for text in (preview.conditions if preview else ()) or view.conditions if not text.startswith(_ENVIRONMENT)
    ]
    return list(dict.fromkeys([
        *(preview.origins if preview else ()),
        *conditions,
        *statement.notices,
        *((preview.not_previewed or ()) if preview else ()),
        *(f"This removes {name} too." for name in statement.goes),
        *(["No value changes: the rows have these values already."] if unchanged else []),
        *(["Some values are hidden from you."] if preview and preview.masked else []),
    ]))  # fmt: skip


def _differences(table: str, rows: Sequence[RowChange], most: int, hidden: int) -> Differences:
    columns = columns_to_show(rows, without=set())[:_MOST_COLUMNS]
    return Differences(
        table=table,
        columns=tuple(columns),
        rows=tuple(tuple(_cell(row, name) for name in columns) for row in rows[:most]),
        more=len(rows[most:]) + hidden,
    )


def _cell(row: RowChange, name: str) -> Cell:
    before, after = row["before"], row["after"]
    if before is None:
        return Cell(kind="new", new=(after or {}).get(name))
    if after is None:
        return Cell(kind="gone", old=before.get(name))
    kind: Literal["same", "changed"] = "changed" if name in row["changed"] else "same"
    return Cell(kind=kind, old=before.get(name), new=after.get(name))
