"""Makes the preview of a write for its approver: runs the write as agent_actor, notes its effects, and rolls it back.

`trials` runs the write until two runs agree. What differs between them (the present time, random values, numbers of a
sequence) is volatile, and is not compared when the approved statement runs; everything else must be the same then.
The preview also holds the SQL that will run. An approval is bound to a hash of the whole preview.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg

from agent.approval.preview import Effect, OtherTable, RowChange, StatementPreview
from agent.db.json_values import shorten, size_of
from agent.db.statement_failures import failure
from agent.errors import ActionRefused, RowsChanged
from agent.execution.digests import keyed, load_key
from agent.execution.dry_run.missing_rights import DATA_KINDS, what_is_missing, why_it_must_fail
from agent.execution.dry_run.personal_columns import personal_columns
from agent.execution.dry_run.secret_constants import kept_sql_for_everybody, reads_secrets, sql_for_everybody
from agent.execution.dry_run.secret_rows import Hider, keyed_effect
from agent.execution.dry_run.sequences import takes_many_numbers
from agent.execution.dry_run.side_effects import SideEffects, effect_of
from agent.execution.dry_run.trials import DryRun, StatementRun, compares_whole_rows, dry_run
from agent.execution.writes.kept_rows import untried_outlook
from agent.execution.writes.statement_runner import Change, Outcome
from agent.learning.discovery.secret_columns import SecretColumns, secret_columns
from agent.runtime import Runtime
from agent.statements.code_digest import code_reached
from agent.statements.kinds import refuses_transaction
from agent.statements.parser import Statement
from agent.types import Assessment

_MOST_ROWS = 20
_MOST_CELL = 500
_MOST_BYTES = 100_000
_MOST_OTHER_TABLES = 20
_FUNCTIONS = "Functions are not run for a preview: they may act outside."
_NON_TRANSACTIONAL = (
    "It was not tried: it runs outside of any transaction, so there is no taking it back. Should it break off, it may leave "
    "an invalid index behind, which is then named."
)
_UNKNOWN_CODE = (
    "It was not tried: it runs what is not known to be harmless, and what that does outside of the transaction or to a"
    " sequence could not be taken back."
)
_MANY_NUMBERS = "It was not tried: it may make many rows that take numbers from a sequence, which are not given back."
_TABLES_CODE = (
    "Code of the application's own ran in the try (triggers, rules, checks): what it does outside of the transaction or to a"
    " sequence was not taken back."
)
# Reasons for code that the statement itself names. Code of a table (its triggers, checks, ...) runs in the dry run too.
_OWN_CODE = ("function:", "operator:", "cast:", "type:", "domain:", "view:", "relation:", "unresolved:", "depth:")
_CODE_OF_TABLES = ("trigger:", "rule:", "check:", "policy:", "index:", "column:", "statistics:", "partition:")
_DATA_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}


async def preview(
    statement: Statement, assessment: Assessment, *, of_kept_rows: bool = False, runtime: Runtime
) -> StatementPreview:
    """Run a statement, roll it back, and return its preview.

    A statement that is built `of_kept_rows` is built again when it runs; its preview holds it without texts if one of its
    tables has secret columns. Raises `StatementFailed` when the statement fails, which no approval can mend, and
    `ActionRefused` for a change of the schema for which agent_actor has no right.
    """
    trial, limits = await _try_statement(statement, assessment, runtime)
    await load_key(runtime)
    secrets = await secret_columns(runtime)
    result = _statement_preview(
        statement, assessment, trial, limits=limits, secrets=secrets, key=key_of_effects(runtime)
    )
    if trial is None:  # no effect can be compared when it runs, so the approval is bound to the code that it may run
        result = replace(result, code=await code_reached(statement, runtime=runtime))
    if of_kept_rows:
        kept = kept_sql_for_everybody(statement, secrets)
        signature = keyed(statement.sql, purpose="statement", runtime=runtime)
        result = replace(result, sql=kept, shown_sql=kept, signature=signature)
    return result


def key_of_effects(runtime: Runtime) -> Callable[[str], str]:
    """Return the function that puts a digest of an effect under the key, as previews hold it."""
    return partial(keyed, purpose="effect", runtime=runtime)


async def _try_statement(
    statement: Statement, assessment: Assessment, runtime: Runtime
) -> tuple[DryRun | None, list[str]]:
    """Return the dry run, and sentences about what it does not show; None where a dry run could not be rolled back."""
    if statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt", "CallStmt"}:
        return None, [_FUNCTIONS]
    if must_fail := await why_it_must_fail(statement, runtime=runtime):
        raise ActionRefused(f"Not asked about: {must_fail}")
    if refuses_transaction(statement):
        return None, [_NON_TRANSACTIONAL]
    if runs_unknown_code(statement, assessment):
        return None, [_UNKNOWN_CODE]
    version = (await runtime.app.facts("agent_actor")).version
    try:
        if await takes_many_numbers(statement, runtime=runtime):
            return None, [_MANY_NUMBERS]
        trial = await dry_run(statement, version=version, runtime=runtime)
    except psycopg.errors.InsufficientPrivilege as error:
        missing = await what_is_missing(statement, error, runtime=runtime)
        if statement.kind not in DATA_KINDS:
            raise ActionRefused(f"Not asked about: {missing}") from error
        # A human is asked about rows all the same: the approver may also be the person who grants the right.
        return None, [missing]
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    limits = _limits(statement, trial)
    if any(reason.startswith(_CODE_OF_TABLES) for reason in assessment.reasons):
        limits.append(_TABLES_CODE)
    return trial, limits


async def check_code(approved: StatementPreview, statement: Statement, *, runtime: Runtime) -> None:
    """Raise `RowsChanged` if a statement without a dry run would run other code than its `approved` preview says."""
    if approved.tried or approved.code == await code_reached(statement, runtime=runtime):
        return
    raise RowsChanged(
        "Not executed: code that it may run (a function, trigger, view, rule, policy or type) is no longer what was approved."
    )


def runs_unknown_code(statement: Statement, assessment: Assessment) -> bool:
    """Return whether a statement itself runs code that is not known to be harmless, so that a dry run is not harmless either.

    A CREATE TABLE AS always counts: the server does not resolve what it runs before it runs it.
    """
    if statement.kind == "CreateTableAsStmt":
        return True
    return any(reason.startswith(_OWN_CODE) for reason in assessment.reasons)


def difference(approved: StatementPreview, run: StatementRun, key: Callable[[str], str]) -> str:
    """Return how a run differs from the `approved` preview, as a clause; '' if it does not. `key` is that of `key_of_effects`."""
    outcome = run.outcome
    expected, effect = approved.effect, keyed_effect(outcome.effect, key)
    if approved.row_count is not None and outcome.row_count != approved.row_count:
        return f"it would now affect {outcome.row_count} rows, and {approved.row_count} were approved"
    if (expected is None) != (effect is None):
        return "its rows could be compared when it was approved, and now they cannot"
    return _effect_difference(expected, effect, approved.volatile) or _side_effect_difference(approved, run, key)


def _side_effect_difference(approved: StatementPreview, run: StatementRun, key: Callable[[str], str]) -> str:
    for table in approved.others:
        effect = keyed_effect(effect_of(run.others.get(table["table"], SideEffects()), table["volatile"]), key)
        if table["effect"] is not None and (change := _effect_difference(table["effect"], effect, table["volatile"])):
            return f"in {table['table']}, which it changes too, {change}"
    if approved.goes != run.goes:
        return "something else would go with it than was approved"
    if approved.steady and list(approved.tables) != run.tables:
        return "it would now change other tables, or other numbers of their rows, than were approved"
    return ""


def _effect_difference(expected: Effect | None, effect: Effect | None, volatile: Sequence[str]) -> str:
    if expected is None:
        return ""
    if effect is None or effect["rows"] != expected["rows"]:
        return "it would now affect other rows than were approved"
    fixed = {*expected["cells"], *effect["cells"]} - set(volatile)
    changed = sorted(name for name in fixed if expected["cells"].get(name) != effect["cells"].get(name))
    if changed:
        return f"the values of {', '.join(changed)} are no longer those that were approved"
    if expected["whole"] and expected["whole"] != effect["whole"]:
        return "the values of its rows no longer belong together as they were approved"
    return ""


def _other_tables(trial: DryRun, hider: Hider, key: Callable[[str], str]) -> list[OtherTable]:
    left = _MOST_BYTES
    others: list[OtherTable] = []
    for name, side_effects in sorted(trial.run.others.items()):
        if not side_effects.changes and not side_effects.whole:
            continue
        rows = _preview_rows(side_effects.changes, left // 2)
        left -= size_of(rows)
        volatile = trial.volatile_of(name)
        effect = (
            None if name in trial.unsteady or len(others) >= _MOST_OTHER_TABLES else effect_of(side_effects, volatile)
        )
        cells = [row["after"] or row["before"] or {} for row in rows]
        others.append(
            OtherTable(
                table=name, rows=hider.rows(name, rows), effect=keyed_effect(effect, key),
                more=len(rows) < len(side_effects.changes) or not side_effects.whole,
                personal=personal_columns(name, cells), secret=hider.columns(name, rows), volatile=volatile,
            )
        )  # fmt: skip
    return others


def _limits(statement: Statement, trial: DryRun) -> list[str]:
    limits: list[str] = []
    outcome = trial.run.outcome
    only_counted = [name for name, table in trial.run.others.items() if not table.whole or name in trial.unsteady]
    if not trial.steady:
        limits.append("How many rows its triggers change differs from run to run.")
    if statement.kind not in _DATA_KINDS:
        limits.append("It was tried and taken back; what it means for later statements is not shown.")
    elif not outcome.detailed and not trial.run.others:
        limits.append("The rows themselves cannot be shown for this form of statement, only their number.")
    if trial.mixed and compares_whole_rows(outcome):
        limits.append("Which of its values come together in one row differs from run to run, and is not compared.")
    if only_counted:
        limits.append(
            f"Of {', '.join(sorted(only_counted))} only the number of rows is known and compared, not which rows: they may not be read, or are too many."
        )
    if any(change.before is None for change in outcome.changes):
        limits.append("Numbers taken from a sequence are not given back, so identifiers of new rows will differ.")
    return limits


def _statement_preview(
    statement: Statement, assessment: Assessment, trial: DryRun | None, *, limits: list[str], secrets: SecretColumns,
    key: Callable[[str], str],
) -> StatementPreview:  # fmt: skip
    is_tried = trial is not None
    trial = trial or DryRun(run=StatementRun(outcome=Outcome(row_count=None), undo=untried_outlook(statement)))
    hider = Hider.of(_changes_by_table(trial, statement), secrets, reads=reads_secrets(statement, secrets))
    outcome, others = trial.run.outcome, _other_tables(trial, hider, key)
    target_tables = [other for other in others if other["table"].rpartition(".")[2] == _table_name(statement)] or others
    if not outcome.detailed and len(target_tables) == 1:  # the statement itself returns no rows
        rows, table = target_tables[0]["rows"], target_tables[0]["table"]
    else:
        rows, table = _preview_rows(outcome.changes, _MOST_BYTES), _qualified_name(statement)
    cells = [row["after"] or row["before"] or {} for row in rows]
    secret = hider.columns(table, rows)
    return StatementPreview(
        sql=statement.sql,
        shown_sql=sql_for_everybody(statement, secrets),
        sentence=sentence_of(assessment.sentence, outcome.row_count),
        row_count=outcome.row_count,
        columns=tuple(cells[0] if cells else outcome.columns),
        rows=tuple(hider.rows(table, rows)),
        more=(outcome.row_count or 0) > len(rows),
        tables=tuple(trial.run.tables),
        others=tuple(others),
        goes=trial.run.goes,
        tried=is_tried,
        lock=trial.run.lock,
        effect=keyed_effect(_compared_effect(trial), key),
        volatile=tuple(
            trial.volatile_of() if outcome.detailed or len(target_tables) != 1 else target_tables[0]["volatile"]
        ),
        steady=trial.steady,
        personal=tuple(personal_columns(table, cells)),
        secret=tuple(secret),
        notices=tuple(
            hider.notices(outcome.notices, any_secret=bool(secret) or any(other["secret"] for other in others))
        ),
        not_previewed=tuple(limits),
        undo=trial.run.undo,
    )


def _table_name(statement: Statement) -> str:
    relation = getattr(statement.node, "relation", None)
    return str(getattr(relation, "relname", ""))


def _qualified_name(statement: Statement) -> str:
    schema = str(getattr(getattr(statement.node, "relation", None), "schemaname", ""))
    return f"{schema}.{_table_name(statement)}" if schema else _table_name(statement)


def _changes_by_table(trial: DryRun, statement: Statement) -> dict[str, Sequence[Change]]:
    return {
        **{name: table.changes for name, table in trial.run.others.items()},
        _qualified_name(statement): trial.run.outcome.changes,
    }


def _compared_effect(trial: DryRun) -> Effect | None:
    """Return the effect that must be the same when the statement runs. The cells of a single row say all: it needs no other digest."""
    outcome = trial.run.outcome
    if outcome.effect is None or (compares_whole_rows(outcome) and not trial.mixed):
        return outcome.effect
    return Effect(rows=outcome.effect["rows"], cells=outcome.effect["cells"], whole="")


def _preview_rows(changes: Sequence[Change], most_bytes: int) -> list[RowChange]:
    """Return the first rows: no more than an approver reads, and no more bytes than `most_bytes`."""
    rows: list[RowChange] = []
    left = most_bytes
    for change in changes[:_MOST_ROWS]:
        row = row_change(change)
        if size_of(row) > _MOST_BYTES // _MOST_ROWS:
            row = _narrowed_row(row)
        left -= size_of(row)
        if left < 0:
            break
        rows.append(row)
    return rows


def _narrowed_row(row: RowChange) -> RowChange:
    """Return a very wide row with only its first columns, which tell people what row it is, and the first that change."""
    before, after = row["before"] or {}, row["after"] or {}
    kept = {*list(before or after)[:3], *row["changed"][:20]}
    return RowChange(
        before={name: value for name, value in before.items() if name in kept} or None,
        after={name: value for name, value in after.items() if name in kept} or None,
        changed=row["changed"],
    )


def sentence_of(sentence: str, row_count: int | None) -> str:
    """Return the sentence of an assessment with the number of rows."""
    if row_count is None:
        return sentence
    return f"{sentence} {row_count} row{'' if row_count == 1 else 's'} affected."


def row_change(change: Change) -> RowChange:
    """Return a row as the approver sees it: long cells are cut, and the columns that change are named."""
    before, after = _cut(change.before), _cut(change.after)
    changed = [
        name
        for name in dict.fromkeys([*(change.before or {}), *(change.after or {})])
        if (change.before or {}).get(name) != (change.after or {}).get(name)
    ]
    return RowChange(before=before, after=after, changed=changed)


def _cut(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: shorten(value, _MOST_CELL)[0] for name, value in row.items()}
