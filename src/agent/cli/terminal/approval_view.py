"""A request for approval as the approver sees it: the risk, one sentence, the statement, and the rows as a diff."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from agent.approval.human_approval import Approval
from agent.approval.preview import Preview, RowChange, StatementPreview, as_statement
from agent.approval.row_changes import changed_columns, columns_to_show, effect
from agent.cli.terminal.clean_text import ago, cell, clean, count, fit_columns, left, moment
from agent.cli.terminal.render import GAP, INDENT, facts, say, show, small_table

if TYPE_CHECKING:
    from agent.operations.approvals import ApprovalView, TakenDecision
    from agent.types import RiskLevel

_RISK_STYLES: dict[RiskLevel, str] = {"LOW": "green", "MEDIUM": "yellow", "HIGH": "red", "CRITICAL": "bold red"}
_FEW_ROWS, _ALL_ROWS = 8, 100
_MOST_CELL = 40
_JUST_NOW = timedelta(minutes=1)


def show_approval(
    console: Console,
    approval: Approval,
    *,
    indent: str = "",
    whole: bool = False,
    exact: bool = True,
    decisions: Sequence[TakenDecision] = (),
) -> None:
    """Show one request. `exact` also shows its number and times; `whole` everything known, and the `decisions`."""
    _headline(console, approval, indent, exact=exact)
    say(console, approval.summary, indent=indent)
    preview = approval.preview
    if preview is None:
        facts(console, list(approval.arguments.items()), indent=indent + INDENT)
    else:
        console.print()
        statement = as_statement(preview)
        if text := statement.sql if isinstance(preview, StatementPreview) else preview.text:
            say(console, text, "cyan", indent=indent + INDENT)
        _changes(console, approval, statement, indent + INDENT, whole=whole)
        _others(console, statement, indent + INDENT, whole=whole)
        _effects(console, preview, indent + INDENT)
    if whole:
        console.print()
        facts(console, [*_details(approval), *((one.decided_by, _said(one)) for one in decisions)], indent=indent)


def _headline(console: Console, approval: Approval, indent: str, *, exact: bool) -> None:
    state = approval.status if approval.status != "pending" else f"{left(approval.expires_at)} left to decide"
    parts = [
        Text(f"Approval {approval.id}" if exact else "Approval", style="bold"),
        Text(f"risk {approval.risk_level}", style=_RISK_STYLES[approval.risk_level]),
        *([Text(state, style="dim")] if exact else []),
    ]
    console.print(Text.assemble(indent, Text(" · ").join(parts)), soft_wrap=True)


def _changes(console: Console, approval: Approval, preview: StatementPreview, indent: str, *, whole: bool) -> None:
    if not preview.rows:
        return
    rows = preview.rows[: _ALL_ROWS if whole else _FEW_ROWS]
    now = {
        name
        for name in changed_columns(rows)
        if all(_is_now(row["after"] or {}, name, approval.created_at) for row in rows)
    }
    columns = columns_to_show(rows, without=now)
    console.print()
    _show_rows(console, rows, columns, indent)
    hidden = (preview.row_count or len(rows)) - len(rows)
    if hidden > 0:
        say(console, f"and {count(hidden, 'more row')}", "dim", indent=indent)
    if not changed_columns(rows) - now and all(row["before"] and row["after"] for row in rows):
        say(console, "no value changes: the rows have these values already", "yellow", indent=indent)
    if now:
        say(console, f"set to the present time: {', '.join(sorted(now))}", "dim", indent=indent)
    if others := sorted(set(preview.volatile) - now):
        say(console, f"gets another value when it runs: {', '.join(others)}", "dim", indent=indent)


def _others(console: Console, preview: StatementPreview, indent: str, *, whole: bool) -> None:
    """Rows of other tables that go or change with these."""
    for other in preview.others:
        rows = other["rows"][: _ALL_ROWS if whole else _FEW_ROWS]
        if not rows or other["rows"] == list(preview.rows):
            continue
        columns = [name for name in columns_to_show(rows, without=set()) if name not in other["volatile"]]
        console.print()
        say(console, f"this also changes {cell(other['table'], _MOST_CELL)}:", indent=indent)
        _show_rows(console, rows, columns, indent)


def _show_rows(console: Console, rows: Sequence[RowChange], columns: Sequence[str], indent: str) -> None:
    """Show rows as a table of differences, with as many of the columns as fit."""
    from rich.padding import Padding

    room = console.width - len(indent)
    columns = columns[: fit_columns([_width(name, rows) for name in columns], room=room, gap=GAP)]
    table = small_table()
    for name in columns:
        table.add_column(Text(cell(name, _MOST_CELL)), no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(_difference(row, name) for name in columns))
    show(console, Padding(table, (0, 0, 0, len(indent)), expand=False))


def _is_now(after: Mapping[str, Any], name: str, asked: datetime) -> bool:
    try:
        value = datetime.fromisoformat(str(after.get(name)))
    except ValueError:
        return False
    return value.tzinfo is not None and abs(value - asked) < _JUST_NOW


def _difference(row: Mapping[str, Any], name: str) -> Text:
    before, after = row["before"], row["after"]
    if before is None:
        return Text(_shown(after.get(name)), style="green")
    if after is None:
        return Text(_shown(before.get(name)), style="red")
    if name not in row["changed"]:
        return Text(_shown(after.get(name)))
    return Text.assemble((_shown(before.get(name)), "red"), (" → ", "dim"), (_shown(after.get(name)), "green"))


def _width(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    from rich.cells import cell_len

    return max(cell_len(cell(name, _MOST_CELL)), *(_difference(row, name).cell_len for row in rows))


def _shown(value: object) -> str:
    return "null" if value is None else cell(value, _MOST_CELL)


def _effects(console: Console, preview: Preview, indent: str) -> None:
    statement = as_statement(preview)
    notes = [effect(table) for table in statement.tables]
    if len(notes) > 1:  # one table is what the sentence says already
        console.print()
        say(console, f"in all: {'; '.join(notes)}", "dim", indent=indent)
    for text in statement.remarks:
        say(console, f"{text}.", "yellow", indent=indent)
    for text in preview.origins:
        say(console, f"! {text}", "red", indent=indent)
    for text in (*statement.notices, *(preview.not_previewed or ())):
        say(console, f"! {text}", "yellow", indent=indent)


def waits_for(approval: Approval) -> str:
    """Whom a request still waits for, after the word "pending"; '' when it does not wait."""
    if approval.status != "pending":
        return ""
    if approval.approved_by:
        return f", approved by {', '.join(approval.approved_by)}; {approval.votes_needed} people must"
    return f", for {approval.delegated_to} to decide" if approval.delegated_to else ""


def how_to_decide(approval: Approval) -> str:
    """The commands that decide a request."""
    return f"agent approvals approve {approval.id}, or agent approvals reject {approval.id}"


def who_decides(view: ApprovalView) -> str:
    """Why the viewer cannot approve a request, and who can, in sentences; '' when they can."""
    if not view.why_not:
        return ""
    if not view.deciders:
        return f"{view.why_not} Nobody else who is named can: an admin names somebody with `agent people add NAME`."
    return f"{view.why_not} {' or '.join(view.deciders)} can."


def how_to_edit(approval: Approval) -> str:
    """What a request is called with now, as the command that would change it."""
    now = shlex.quote(arguments_of(approval))
    if set(approval.arguments) == {"sql"}:
        now = shlex.quote(str(approval.arguments["sql"]))
        return f"As it is now: agent approvals edit {approval.id} --sql {now}"
    return f"It calls {approval.action}; as it is now: agent approvals edit {approval.id} --arguments {now}"


def arguments_of(approval: Approval) -> str:
    """The arguments of the tool as JSON, as they are typed for an edit."""
    return json.dumps(dict(approval.arguments), ensure_ascii=False, default=str)


def _said(one: TakenDecision) -> str:
    words = {"approve": "approved", "reject": "rejected", "edit": "edited", "respond": "answered"}
    done = words.get(one.decision, f"delegated it to {one.detail}")
    return f"{done}, via {one.via}, {moment(one.created_at)}{': ' + one.comment if one.comment else ''}"


def _call(approval: Approval) -> list[tuple[str, object]]:
    """The tool, and its arguments where they are not shown above already."""
    shown = not approval.preview or set(approval.arguments) == {"sql"}
    return [("tool", approval.action), *([] if shown else [("arguments", arguments_of(approval))])]


def _details(approval: Approval) -> list[tuple[str, object]]:
    pairs = [*_call(approval), ("asked by", f"{approval.requested_by}, {ago(approval.created_at)}")]
    if approval.status == "pending":
        pairs.append(("expires", moment(approval.expires_at)))
    elif approval.decided_at:
        pairs.append(
            (approval.status, f"by {approval.decided_by}, via {approval.decided_via}, {moment(approval.decided_at)}")
        )
    if approval.comment:
        pairs.append(("comment", approval.comment))
    if approval.response:
        pairs.append(("answer", approval.response))
    if waits_for(approval):
        pairs.append(("waits", waits_for(approval).strip(", ")))
    told = [("reminded", approval.reminded_at), ("escalated", approval.escalated_at)]
    pairs += [(what, moment(at)) for what, at in told if at]
    if approval.replaces:
        pairs.append(("in the place of", approval.replaces))
    if approval.permission_id:
        pairs.append(("permission", approval.permission_id))
    pairs.append(("binding", approval.binding))
    if lock := as_statement(approval.preview).lock:
        pairs.append(("strongest lock", lock))
    if approval.thread_id:
        pairs.append(("thread", approval.thread_id))
    pairs.append(("reasons", ", ".join(map(clean, approval.reasons)) or "none"))
    return pairs
