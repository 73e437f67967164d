"""Builds the result of an approved effect for its caller and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.approval.effect_messages import done_message, effects_by_kind, undone_message
from agent.approval.human_approval import Approval
from agent.approval.preview import as_statement
from agent.approval.row_changes import NAMING
from agent.db.json_values import fit_cells, is_cut
from agent.execution.dry_run.trials import StatementRun
from agent.execution.hidden_cells import ApprovedSecrets, without_hidden, without_keys
from agent.execution.undo.undo import UNDO
from agent.execution.writes.statement_runner import Change, Outcome
from agent.privacy.sensitive import HIDDEN, DenyList
from agent.provenance.conversation_context import secret_in
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.types import ToolResult

_MOST_CELL, _LEAST_CELL = 2_000, 20
# Of changed rows that the statement does not ask back: enough to see that it did what was meant.
_MOST_CHANGED = 5


def outcome_of(row: Mapping[str, Any]) -> ToolResult:
    """Return a row of the log as a tool's result."""
    result = ToolResult(
        success=row["status"] == "succeeded",
        status=row["status"],
        execution_id=row["id"],
        approval_id=row["approval_id"],
    )
    kept: ToolResult = row["result"] or ToolResult()
    result.update(kept)
    if row["error"]:
        result["error"] = row["error"]
    return result


def sql_for_model(approval: Approval) -> str:
    """Return the approved statement without secrets; '' for an undo, whose statement holds rows that are not for the model."""
    return "" if approval.action == UNDO else as_statement(approval.preview).sql_for_everybody


def result_of(
    approval: Approval, statement: Statement, run: StatementRun, secrets: ApprovedSecrets, *, runtime: Runtime
) -> ToolResult:
    """Return the outcome for the model: without denied columns, secrets hidden, capped in bytes."""
    outcome = run.outcome
    result = ToolResult(
        success=True, status="succeeded", sql=sql_for_model(approval), row_count=outcome.row_count or 0, approval_id=approval.id,
        message=_message(approval, statement, run),
    )  # fmt: skip
    if remarks := as_statement(approval.preview).remarks:
        result["remarks"] = list(remarks)
        if not outcome.row_count:
            result["message"] += " Rows that row-level security hides were not looked at."
    columns, rows = _read_back(statement, outcome, secrets, runtime.settings.deny)
    if columns:
        kept, _, _ = fit_cells(rows, runtime.settings.max_result_bytes // 4, most=_MOST_CELL, least=_LEAST_CELL)
        result |= ToolResult(columns=columns, rows=kept, truncated=len(kept) < (outcome.row_count or 0))
        if cut := sum(is_cut(cell) for row in kept for cell in row):
            result["cut_cells"] = cut
    if not secrets.opened:
        result = without_keys(result, statement)
    return result if outcome.detailed else without_hidden(result, statement, secrets)


def recovered_result(approval: Approval, *, done: bool) -> ToolResult:
    """Return the outcome of an effect whose process died: where it was `done`, it did what its preview says."""
    result, preview = ToolResult(sql=sql_for_model(approval)), as_statement(approval.preview)
    if done and (effects := effects_by_kind(preview.tables)):
        result["message"] = f"Done: {effects}. {preview.undo}".strip()
    return result


def _message(approval: Approval, statement: Statement, run: StatementRun) -> str:
    if approval.action == UNDO:
        not_restored = as_statement(approval.preview).not_restored
        return f"{undone_message(approval.arguments['execution_id'], run.net, not_restored)} {run.undo}".strip()
    return f"{done_message(statement.kind, run.outcome.row_count, run.net)} {run.undo}".strip()


def _read_back(
    statement: Statement, outcome: Outcome, secrets: ApprovedSecrets, deny: str
) -> tuple[list[str], list[list[Any]]]:
    if not outcome.detailed:
        return outcome.columns, outcome.rows
    if secrets.use.copied:  # any cell may hold a secret now
        return [], []
    relation = statement.node.relation
    denied, place = DenyList.parse(deny), (relation.schemaname, relation.relname)
    shown = _asked_back(statement, outcome) or changed_columns(outcome.changes[:_MOST_CHANGED], outcome.key)
    changes = outcome.changes if statement.node.returning_clause.exprs else outcome.changes[:_MOST_CHANGED]
    values = [change.after or change.before or {} for change in changes]
    secret = [name for name in (values[0] if values else ()) if secrets.columns.column(*place, name)]
    columns = [name for name in shown if name not in secret and not denied.column(*place, name)]
    repeated = {str(value[name]): name for value in values for name in secret if value.get(name)}
    return columns, [[_without_secret(value.get(column), repeated) for column in columns] for value in values]


def _asked_back(statement: Statement, outcome: Outcome) -> list[str]:
    """Return the columns that the statement's own RETURNING names; all of them for `*`, none where it has no RETURNING."""
    names = list((outcome.changes[0].after or outcome.changes[0].before or {}) if outcome.changes else ())
    asked: list[str] = []
    for expr in statement.node.returning_clause.exprs:
        *_, last = expr.res_target.val.column_ref.fields
        asked += [name for name in names if name == last.string.sval] if last.HasField("string") else names
    return list(dict.fromkeys(asked))


def changed_columns(changes: Sequence[Change], key: Sequence[str]) -> list[str]:
    """Return what says which rows were changed and how: the key, and the columns that differ; of deleted rows also a name."""
    names = list(
        dict.fromkeys(name for change in changes for name in {**(change.before or {}), **(change.after or {})})
    )
    telling = [name for name in NAMING if name in names][:1] if key else names
    kept = {*key}
    for change in changes:
        before, after = change.before or {}, change.after or {}
        kept |= {*telling} if not after else {name for name in after if after[name] != before.get(name)}
    return [*key, *(name for name in names if name in kept and name not in key)]


def _without_secret(cell: Any, secrets: Mapping[str, str]) -> Any:
    """Return a cell, hidden where it repeats the value of a secret column."""
    return HIDDEN if secret_in(cell, secrets) else cell
