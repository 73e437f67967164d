"""What an approver is shown: a write is carried out as agent_actor and taken back, and its effects are noted.

It is tried twice, in transactions of their own: what differs between the two (the present time, random values, numbers
of a sequence) is volatile, and is not compared when the approved statement runs; everything else must be the same then.
The preview also holds the SQL that will run; a hash of all of it is part of what the approval is bound to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

import psycopg

from agent.approval.records import fingerprint
from agent.db import Connection, load_queries
from agent.errors import StatementFailed
from agent.execution.acting import Change, Effect, Outcome, actor_transaction, run_statement
from agent.execution.json_values import shorten, size_of
from agent.execution.rights import what_is_missing
from agent.execution.sessions import failure
from agent.execution.sql_kinds import LOCKS, refuses_transaction
from agent.execution.sql_parsing import Statement
from agent.runtime import Runtime
from agent.types import Assessment

_QUERIES = load_queries(__package__)
_MOST_ROWS = 20
_MOST_CELL = 500
_MOST_BYTES = 100_000
_MOST_TRIALS = 3
_PRESENT = timedelta(seconds=5)
_DATE_CHARS = len("2026-01-31")
_UNTRIED = (
    "It was not tried: it runs outside of any transaction, so there is no taking it back. Should it break off, it may leave "
    "an invalid index behind, which is then named."
)
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

    `sql` is the statement that will run; `not_previewed` are sentences; `lock` is the strongest lock that it took on a
    relation of the application, or ''. `effect` is what must be the same when it runs, but for the columns in `volatile`;
    None where only the number of rows is known. `steady` says whether `tables` must be the same too. `fingerprint` is a hash
    of all the rest.
    """

    sql: str
    sentence: str
    row_count: int | None
    columns: list[str]
    rows: list[RowChange]
    more: bool
    tables: list[TableEffect]
    lock: str
    effect: Effect | None
    volatile: list[str]
    steady: bool
    notices: list[str]
    not_previewed: list[str]
    fingerprint: str


async def preview(statement: Statement, assessment: Assessment, *, runtime: Runtime) -> Preview:
    """Try a statement and take it back. Raises `StatementFailed` when it would fail, which no approval can mend."""
    if statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt", "CallStmt"}:
        return _preview(statement, assessment, missing=["Functions are not run for a preview: they may act outside."])
    if refuses_transaction(statement):
        return _preview(statement, assessment, missing=[_UNTRIED])
    version = (await runtime.app.facts("agent_actor")).version
    try:
        once, again = await _tried_twice(statement, version, runtime)
    except psycopg.errors.InsufficientPrivilege as error:
        # Asked all the same: whoever approves may also be who grants the right.
        told = await what_is_missing(statement, error, runtime=runtime)
        return _preview(statement, assessment, missing=[told])
    except psycopg.Error as error:
        raise failure(error, runtime.settings.statement_timeout) from error
    volatile, steady = volatile_columns(once, again), once.tables == again.tables
    missing = _missing(statement, again.outcome, steady=steady)
    return _preview(statement, assessment, again, volatile=volatile, steady=steady, missing=missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of a statement that was taken back."""

    outcome: Outcome
    tables: list[TableEffect] = field(default_factory=list)
    lock: str = ""
    at: datetime | None = None


async def _tried_twice(statement: Statement, version: int, runtime: Runtime) -> tuple[Trial, Trial]:
    """Two trials that met the same rows with the same values. Raises `StatementFailed` where the data do not keep still."""
    once = await _try(statement, version, runtime)
    for _ in range(_MOST_TRIALS):
        again = await _try(statement, version, runtime)
        if met_the_same(once.outcome, again.outcome):
            return once, again
        once = again
    raise StatementFailed(
        "The rows change faster than a human could be shown them. Name fewer rows, or try again later."
    )


async def _try(statement: Statement, version: int, runtime: Runtime) -> Trial:
    async with actor_transaction(runtime, keep=False) as conn:
        before = await changed_tables(conn)
        outcome = await run_statement(conn, statement, version=version, most_rows=_MOST_ROWS)
        await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
        tables = changes_since(before, await changed_tables(conn))
        lock = await _strongest_lock(conn, runtime)
        now = await (await conn.execute("SELECT now() AS at")).fetchone()
    return Trial(outcome=outcome, tables=tables, lock=lock, at=now["at"] if now else None)


async def _strongest_lock(conn: Connection, runtime: Runtime) -> str:
    """The strongest lock that the transaction of `conn` holds on what others see too: not on what it made itself."""
    held = await (await conn.execute(_QUERIES["locks_held"])).fetchall()
    async with runtime.app.connection("agent_assessor") as other:
        relations = {"relations": [row["relation"] for row in held]}
        seen = await (await other.execute(_QUERIES["application_relations"], relations)).fetchall()
    known = {row["relation"] for row in seen}
    return max((row["mode"] for row in held if row["relation"] in known), key=LOCKS.index, default="")


def met_the_same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs met the same rows, and the same old values in what they changed."""
    if one.effect is None or other.effect is None:
        return one.row_count == other.row_count
    old = [{name: cells[0] for name, cells in effect["cells"].items()} for effect in (one.effect, other.effect)]
    return one.row_count == other.row_count and one.effect["rows"] == other.effect["rows"] and old[0] == old[1]


def volatile_columns(once: Trial, again: Trial) -> list[str]:
    """Columns whose new values are others at every run: two runs differ, or it is the present time, however rounded."""
    if once.outcome.effect is None or again.outcome.effect is None:
        return []
    one, other = once.outcome.effect["cells"], again.outcome.effect["cells"]
    changes = again.outcome.changes
    return sorted(
        name
        for name in {*one, *other}
        if one.get(name) != other.get(name) or _is_present_time(changes, name, again.at or datetime.now(UTC))
    )


def _is_present_time(changes: Sequence[Change], name: str, now: datetime) -> bool:
    values = [(change.after or {}).get(name) for change in changes]
    return bool(values) and all(_near(value, now) for value in values)


def _near(value: object, now: datetime) -> bool:
    text = str(value)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return False
    if len(text) <= _DATE_CHARS:
        return abs(time.date() - now.date()) <= timedelta(days=1)
    return abs((time if time.tzinfo else time.replace(tzinfo=UTC)) - now) < _PRESENT


def difference(shown: Mapping[str, Any], outcome: Outcome, tables: Sequence[TableEffect]) -> str:
    """What an approved statement did otherwise than was `shown`, as a sentence; '' when it did the same."""
    expected, effect = shown.get("effect"), outcome.effect
    if shown.get("row_count") is not None and outcome.row_count != shown["row_count"]:
        return f"it would now affect {outcome.row_count} rows, and {shown['row_count']} were approved"
    if expected is None or effect is None:
        return (
            "" if expected is effect is None else "its rows could be compared when it was approved, and now they cannot"
        )
    if effect["rows"] != expected["rows"]:
        return "it would now affect other rows than were approved"
    fixed = {*expected["cells"], *effect["cells"]} - set(shown["volatile"])
    changed = sorted(name for name in fixed if expected["cells"].get(name) != effect["cells"].get(name))
    if changed:
        return f"the values of {', '.join(changed)} are no longer those that were approved"
    if shown["steady"] and shown["tables"] != list(tables):
        return "it would now change other tables, or other numbers of their rows, than were approved"
    return ""


async def changed_tables(conn: Connection) -> list[TableEffect]:
    """What the session's transactions changed so far; see `changes_since`."""
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


def _missing(statement: Statement, outcome: Outcome, *, steady: bool) -> list[str]:
    missing: list[str] = []
    if not steady:
        missing.append("How many rows its triggers change differs from run to run.")
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
    trial: Trial | None = None,
    *,
    volatile: Sequence[str] = (),
    steady: bool = True,
    missing: list[str],
) -> Preview:
    trial = trial or Trial(outcome=Outcome(row_count=None))
    outcome = trial.outcome
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
        tables=trial.tables,
        lock=trial.lock,
        effect=outcome.effect,
        volatile=list(volatile),
        steady=steady,
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
