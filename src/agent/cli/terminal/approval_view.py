"""Shows a request for approval on a terminal: its risk, one sentence, the statement, and the rows as a diff."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from agent.approval.effect_messages import undo_sentences
from agent.approval.human_approval import Approval
from agent.approval.preview import Preview, RowChange, StatementPreview, as_statement
from agent.approval.row_changes import changed_columns, columns_to_show, effect
from agent.cli.terminal.clean_text import ago, cell, clean, count, fit_columns, left, moment, one_line
from agent.cli.terminal.render import GAP, INDENT, facts, say, show, small_table
from agent.operations.edits import arguments_of

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
    """Show one request. `exact` adds its number and time left, `whole` all its rows and details, and the `decisions`."""
    _show_headline(console, approval, indent, exact=exact)
    say(console, approval.summary, indent=indent)
    preview = approval.preview
    if preview is None:
        facts(console, list(approval.arguments.items()), indent=indent + INDENT)
    else:
        console.print()
        statement = as_statement(preview)
        if text := statement.sql if isinstance(preview, StatementPreview) else preview.text:
            say(console, text, "cyan", indent=indent + INDENT)
        _show_changes(console, approval, statement, indent + INDENT, whole=whole)
        _show_other_tables(console, statement, indent + INDENT, whole=whole)
        _show_effects(console, preview, indent + INDENT)
    if whole:
        console.print()
        facts(
            console,
            [*_details(approval), *((decision.decided_by, _decision_text(decision)) for decision in decisions)],
            indent=indent,
        )


def _show_headline(console: Console, approval: Approval, indent: str, *, exact: bool) -> None:
    state = approval.status if approval.status != "pending" else f"{left(approval.expires_at)} left to decide"
    parts = [
        Text(f"Approval {approval.id}" if exact else "Approval", style="bold"),
        Text(f"risk {approval.risk_level}", style=_RISK_STYLES[approval.risk_level]),
        *([Text(state, style="dim")] if exact else []),
    ]
    console.print(Text.assemble(indent, Text(" · ").join(parts)), soft_wrap=True)


def _show_changes(console: Console, approval: Approval, preview: StatementPreview, indent: str, *, whole: bool) -> None:
    if not preview.rows:
        return
    rows = preview.rows[: _ALL_ROWS if whole else _FEW_ROWS]
    set_to_now = {
        name
        for name in changed_columns(rows)
        if all(_is_about(row["after"] or {}, name, approval.created_at) for row in rows)
    }
    columns = columns_to_show(rows, without=set_to_now)
    console.print()
    _show_rows(console, rows, columns, indent)
    hidden = (preview.row_count or len(rows)) - len(rows)
    if hidden > 0:
        say(console, f"and {count(hidden, 'more row')}", "dim", indent=indent)
    if not changed_columns(rows) - set_to_now and all(row["before"] and row["after"] for row in rows):
        say(console, "no value changes: the rows have these values already", "yellow", indent=indent)
    if set_to_now:
        say(console, f"set to the present time: {', '.join(sorted(set_to_now))}", "dim", indent=indent)
    if volatile := sorted(set(preview.volatile) - set_to_now):
        say(console, f"gets another value when it runs: {', '.join(volatile)}", "dim", indent=indent)


def _show_other_tables(console: Console, preview: StatementPreview, indent: str, *, whole: bool) -> None:
    """Show the rows of other tables that the statement changes too."""
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


def _is_about(after: Mapping[str, Any], name: str, requested_at: datetime) -> bool:
    try:
        value = datetime.fromisoformat(str(after.get(name)))
    except ValueError:
        return False
    return value.tzinfo is not None and abs(value - requested_at) < _JUST_NOW


def _difference(row: Mapping[str, Any], name: str) -> Text:
    before, after = row["before"], row["after"]
    if before is None:
        return Text(_cell_text(after.get(name)), style="green")
    if after is None:
        return Text(_cell_text(before.get(name)), style="red")
    if name not in row["changed"]:
        return Text(_cell_text(after.get(name)))
    return Text.assemble((_cell_text(before.get(name)), "red"), (" → ", "dim"), (_cell_text(after.get(name)), "green"))


def _width(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    from rich.cells import cell_len

    return max(cell_len(cell(name, _MOST_CELL)), *(_difference(row, name).cell_len for row in rows))


def _cell_text(value: object) -> str:
    return "null" if value is None else cell(value, _MOST_CELL)


def _show_effects(console: Console, preview: Preview, indent: str) -> None:
    statement = as_statement(preview)
    notes = [effect(table) for table in statement.tables]
    if len(notes) > 1:  # the sentence names a single table already
        console.print()
        say(console, f"in all: {'; '.join(notes)}", "dim", indent=indent)
    for text in undo_sentences(statement):
        say(console, text, "dim", indent=indent)
    for text in statement.remarks:
        say(console, f"{text}.", "yellow", indent=indent)
    for text in preview.conditions:
        say(console, text, "yellow", indent=indent)
    for text in preview.origins:
        say(console, f"! {text}", "red", indent=indent)
    for text in (*statement.notices, *(preview.not_previewed or ())):
        say(console, f"! {text}", "yellow", indent=indent)


def waits_for(approval: Approval) -> str:
    """Return whom a pending request waits for, as text that follows its status; '' if it is not pending."""
    if approval.status != "pending":
        return ""
    if approval.approved_by:
        return f", approved by {', '.join(approval.approved_by)}; {approval.votes_needed} people must"
    return f", for {approval.delegated_to} to decide" if approval.delegated_to else ""


def how_to_decide(approval: Approval) -> str:
    """Return the commands that decide a request."""
    return f"agent approvals approve {approval.id}, or agent approvals reject {approval.id}"


def who_decides(view: ApprovalView) -> str:
    """Return why the viewer cannot approve a request, and who can, as sentences; '' if the viewer can."""
    if not view.why_not:
        return ""
    if not view.deciders:
        return f"{view.why_not} Nobody else who is named can: an admin names somebody with `agent people add NAME`."
    return f"{view.why_not} {' or '.join(view.deciders)} can."


def new_conditions(view: ApprovalView) -> list[str]:
    """Return the conditions in force now that the preview does not show, because it is older."""
    shown = view.approval.preview.conditions if view.approval.preview else ()
    return [text for text in view.conditions if text not in shown]


def how_to_edit(approval: Approval) -> str:
    """Return the command that edits a request, with its present statement or arguments."""
    present = shlex.quote(arguments_of(approval))
    if set(approval.arguments) == {"sql"}:
        present = shlex.quote(str(approval.arguments["sql"]))
        return f"As it is now: agent approvals edit {approval.id} --sql {present}"
    return f"It calls {approval.action}; as it is now: agent approvals edit {approval.id} --arguments {present}"


def decided_message(approval: Approval) -> str:
    """Say how a request was decided, and by whom."""
    if approval.decided_by is None:
        return f"Approval {approval.id} is {approval.status}: nobody decided in time."
    comment = f" ({one_line(approval.comment)})" if approval.comment else ""
    return f"Approval {approval.id} is {approval.status} by {approval.decided_by}, via {approval.decided_via}{comment}."


def _decision_text(decision: TakenDecision) -> str:
    words = {"approve": "approved", "reject": "rejected", "edit": "edited", "respond": "answered"}
    verb = words.get(decision.decision, f"delegated it to {decision.detail}")
    comment = f": {decision.comment}" if decision.comment else ""
    return f"{verb}, via {decision.via}, {moment(decision.created_at)}{comment}"


def _call_details(approval: Approval) -> list[tuple[str, object]]:
    """Return the tool, and its arguments unless they are shown above the details."""
    is_shown = not approval.preview or set(approval.arguments) == {"sql"}
    return [("tool", approval.action), *([] if is_shown else [("arguments", arguments_of(approval))])]


def _details(approval: Approval) -> list[tuple[str, object]]:
    pairs = [*_call_details(approval), ("asked by", f"{approval.requested_by}, {ago(approval.created_at)}")]
    if approval.status == "pending":
        pairs.append(("expires", moment(approval.expires_at)))
    elif approval.decided_at:
        pairs.append(
            (approval.status, f"by {approval.decided_by}, via {approval.decided_via}, {moment(approval.decided_at)}")
        )
    if approval.comment:
        pairs.append(("comment", approval.comment))
    if approval.response and approval.response != approval.comment:
        pairs.append(("answer", approval.response))
    if waits_for(approval):
        pairs.append(("waits", waits_for(approval).strip(", ")))
    notified = [("reminded", approval.reminded_at), ("escalated", approval.escalated_at)]
    pairs += [(label, moment(at)) for label, at in notified if at]
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
