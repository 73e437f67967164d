"""What an approver is shown: a write is carried out as agent_actor and taken back, and its effects are noted.

It is tried until two trials agree (`trying`): what differs between them (the present time, random values, numbers of a
sequence) is volatile, and is not compared when the approved statement runs; everything else must be the same then.
The preview also holds the SQL that will run; a hash of all of it is part of what the approval is bound to.
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
from agent.errors import RowsChanged
from agent.execution.digests import keyed, load_key
from agent.execution.dry_run.missing_rights import what_is_missing
from agent.execution.dry_run.personal_columns import personal_columns
from agent.execution.dry_run.secret_constants import kept_sql_for_everybody, reads_secrets, sql_for_everybody
from agent.execution.dry_run.secret_rows import Hider, keyed_effect
from agent.execution.dry_run.sequences import takes_many_numbers
from agent.execution.dry_run.side_effects import SideEffects, effect_of
from agent.execution.dry_run.trials import DryRun, StatementRun, compares_whole_rows, dry_run
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
_MOST_OTHERS = 20
_FUNCTIONS = "Functions are not run for a preview: they may act outside."
_UNTRIED = (
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
# Reasons for what the statement itself runs. What comes with a table's rows (its triggers, checks, ...) is run in a try.
_OWN_CODE = ("function:", "operator:", "cast:", "type:", "domain:", "view:", "relation:", "unresolved:", "depth:")
_CODE_OF_TABLES = ("trigger:", "rule:", "check:", "policy:", "index:", "column:", "statistics:", "partition:")
_DATA_KINDS = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}


async def preview(
    statement: Statement, assessment: Assessment, *, of_kept_rows: bool = False, runtime: Runtime
) -> StatementPreview:
    """Try a statement and take it back. Raises `StatementFailed` when it would fail, which no approval can mend.

    One that is made `of_kept_rows` is made again when it runs: of a table with secrets the preview does not hold it.
    """
    found, missing = await _looked_at(statement, assessment, runtime)
    await load_key(runtime)
    secrets = await secret_columns(runtime)
    shown = _preview(statement, assessment, found, missing=missing, secrets=secrets, key=key_of_effects(runtime))
    if (
        found is None
    ):  # nothing of it can be compared when it runs, so it is bound to the code that it was approved with
        shown = replace(shown, code=await code_reached(statement, runtime=runtime))
    if of_kept_rows:
        kept = kept_sql_for_everybody(statement, secrets)
        signature = keyed(statement.sql, purpose="statement", runtime=runtime)
        shown = replace(shown, sql=kept, shown_sql=kept, signature=signature)
    return shown


def key_of_effects(runtime: Runtime) -> Callable[[str], str]:
    """How the digests of effects are kept in previews."""
    return partial(keyed, purpose="effect", runtime=runtime)


async def _looked_at(statement: Statement, assessment: Assessment, runtime: Runtime) -> tuple[DryRun | None, list[str]]:
    """What a trial found, and what it does not show; no trial where none can be taken back."""
    if statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt", "CallStmt"}:
        return None, [_FUNCTIONS]
    if refuses_transaction(statement):
        return None, [_UNTRIED]
    if runs_unknown_code(statement, assessment):
        return None, [_UNKNOWN_CODE]
    version = (await runtime.app.facts("agent_actor")).version
    try:
        if await takes_many_numbers(statement, runtime=runtime):
            return None, [_MANY_NUMBERS]
        found = await dry_run(statement, version=version, runtime=runtime)
    except psycopg.errors.InsufficientPrivilege as error:
        # Asked all the same: whoever approves may also be who grants the right.
        return None, [await what_is_missing(statement, error, runtime=runtime)]
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    missing = _missing(statement, found)
    if any(reason.startswith(_CODE_OF_TABLES) for reason in assessment.reasons):
        missing.append(_TABLES_CODE)
    return found, missing


async def check_code(shown: StatementPreview, statement: Statement, *, runtime: Runtime) -> None:
    """Raise `RowsChanged` where a statement that was not tried would run other code than when it was `shown`."""
    if shown.tried or shown.code == await code_reached(statement, runtime=runtime):
        return
    raise RowsChanged(
        "Not executed: code that it may run (a function, trigger, view, rule, policy or type) is no longer what was approved."
    )


def runs_unknown_code(statement: Statement, assessment: Assessment) -> bool:
    """Whether a statement itself runs what is not known to be harmless, so that no trial of it is harmless either.

    The server does not resolve what a CREATE TABLE AS runs before it does.
    """
    if statement.kind == "CreateTableAsStmt":
        return True
    return any(reason.startswith(_OWN_CODE) for reason in assessment.reasons)


def difference(shown: StatementPreview, run: StatementRun, key: Callable[[str], str]) -> str:
    """What an approved statement did otherwise than was `shown`, as a sentence; '' when it did the same. See `key_of_effects`."""
    outcome = run.outcome
    expected, effect = shown.effect, keyed_effect(outcome.effect, key)
    if shown.row_count is not None and outcome.row_count != shown.row_count:
        return f"it would now affect {outcome.row_count} rows, and {shown.row_count} were approved"
    if (expected is None) != (effect is None):
        return "its rows could be compared when it was approved, and now they cannot"
    other = _other_effect(expected, effect, shown.volatile)
    if other:
        return other
    return _other_by_the_way(shown, run, key)


def _other_by_the_way(shown: StatementPreview, run: StatementRun, key: Callable[[str], str]) -> str:
    for table in shown.others:
        effect = keyed_effect(effect_of(run.others.get(table["table"], SideEffects()), table["volatile"]), key)
        if table["effect"] is not None and (other := _other_effect(table["effect"], effect, table["volatile"])):
            return f"in {table['table']}, which it changes too, {other}"
    if shown.goes != run.goes:
        return "something else would go with it than was approved"
    if shown.steady and list(shown.tables) != run.tables:
        return "it would now change other tables, or other numbers of their rows, than were approved"
    return ""


def _other_effect(expected: Effect | None, effect: Effect | None, volatile: Sequence[str]) -> str:
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


def _others(found: DryRun, hider: Hider, key: Callable[[str], str]) -> list[OtherTable]:
    left = _MOST_BYTES
    others: list[OtherTable] = []
    for name, one in sorted(found.run.others.items()):
        if not one.changes and not one.whole:
            continue
        rows = _shown_rows(one.changes, left // 2)
        left -= size_of(rows)
        volatile = found.volatile_of(name)
        effect = None if name in found.unsteady or len(others) >= _MOST_OTHERS else effect_of(one, volatile)
        cells = [row["after"] or row["before"] or {} for row in rows]
        others.append(
            OtherTable(
                table=name, rows=hider.rows(name, rows), more=len(rows) < len(one.changes) or not one.whole, effect=keyed_effect(effect, key),
                personal=personal_columns(name, cells), secret=hider.columns(name, rows), volatile=volatile,
            )
        )  # fmt: skip
    return others


def _missing(statement: Statement, found: DryRun) -> list[str]:
    missing: list[str] = []
    outcome = found.run.outcome
    unseen = [name for name, one in found.run.others.items() if not one.whole or name in found.unsteady]
    if not found.steady:
        missing.append("How many rows its triggers change differs from run to run.")
    if statement.kind not in _DATA_KINDS:
        missing.append("It was tried and taken back; what it means for later statements is not shown.")
    elif not outcome.detailed and not found.run.others:
        missing.append("The rows themselves cannot be shown for this form of statement, only their number.")
    if found.mixed and compares_whole_rows(outcome):
        missing.append("Which of its values come together in one row differs from run to run, and is not compared.")
    if unseen:
        missing.append(
            f"Of {', '.join(sorted(unseen))} only the number of rows is known and compared, not which ones: they may not be read, or are too much to."
        )
    if any(change.before is None for change in outcome.changes):
        missing.append("Numbers taken from a sequence are not given back, so identifiers of new rows will differ.")
    return missing


def _preview(
    statement: Statement, assessment: Assessment, found: DryRun | None, *, missing: list[str], secrets: SecretColumns,
    key: Callable[[str], str],
) -> StatementPreview:  # fmt: skip
    tried_at_all = found is not None
    found = found or DryRun(run=StatementRun(outcome=Outcome(row_count=None)))
    hider = Hider.of(_changes_by_table(found, statement), secrets, reads=reads_secrets(statement, secrets))
    outcome, others = found.run.outcome, _others(found, hider, key)
    own = [other for other in others if other["table"].rpartition(".")[2] == _target(statement)] or others
    if not outcome.detailed and len(own) == 1:  # the rows of a form that returns none of its own
        rows, table = own[0]["rows"], own[0]["table"]
    else:
        rows, table = _shown_rows(outcome.changes, _MOST_BYTES), _place(statement)
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
        tables=tuple(found.run.tables),
        others=tuple(others),
        goes=found.run.goes,
        tried=tried_at_all,
        lock=found.run.lock,
        effect=keyed_effect(_compared(found), key),
        volatile=tuple(found.volatile_of() if outcome.detailed or len(own) != 1 else own[0]["volatile"]),
        steady=found.steady,
        personal=tuple(personal_columns(table, cells)),
        secret=tuple(secret),
        notices=tuple(
            hider.notices(outcome.notices, any_secret=bool(secret) or any(other["secret"] for other in others))
        ),
        not_previewed=tuple(missing),
    )


def _target(statement: Statement) -> str:
    relation = getattr(statement.node, "relation", None)
    return str(getattr(relation, "relname", ""))


def _place(statement: Statement) -> str:
    schema = str(getattr(getattr(statement.node, "relation", None), "schemaname", ""))
    return f"{schema}.{_target(statement)}" if schema else _target(statement)


def _changes_by_table(found: DryRun, statement: Statement) -> dict[str, Sequence[Change]]:
    return {
        **{name: one.changes for name, one in found.run.others.items()},
        _place(statement): found.run.outcome.changes,
    }


def _compared(found: DryRun) -> Effect | None:
    """The effect that must be the same; of one row its cells say all, so that it needs no digest as a whole."""
    outcome = found.run.outcome
    if outcome.effect is None or (compares_whole_rows(outcome) and not found.mixed):
        return outcome.effect
    return Effect(rows=outcome.effect["rows"], cells=outcome.effect["cells"], whole="")


def _shown_rows(changes: Sequence[Change], most_bytes: int) -> list[RowChange]:
    """As many rows as an approver reads and a row of the queue holds."""
    rows: list[RowChange] = []
    left = most_bytes
    for change in changes[:_MOST_ROWS]:
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
