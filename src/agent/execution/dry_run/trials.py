"""Runs a statement and notes all that it did; tries it until two runs did the same but for what always differs.

A trial is one run in a transaction that is taken back. What one trial finds (tables that are changed beside the
statement's own, columns that always differ) the next one looks at more closely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.approval.preview import Effect, TableEffect
from agent.db import Connection, load_queries
from agent.db.paths import application_path, rows_as_application
from agent.db.queries import fetch_all
from agent.errors import StatementFailed
from agent.execution.dry_run.side_effects import SideEffects, effect_of, side_effects_of, watch
from agent.execution.dry_run.volatile_values import Sources, clock_columns, may_be_chance
from agent.execution.writes.statement_runner import Outcome, actor_transaction, run_statement
from agent.runtime import Runtime
from agent.statements.dependents import rows_lost, what_goes
from agent.statements.kinds import LOCKS, cascades
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
_MOST_ROWS = 20
_MOST_TRIALS = 8
# How often a run must agree with the one before: once, or more often where chance is at work.
_AGREEING, _AGREEING_BY_CHANCE = 1, 3
_ROWS_FOR_CLOCKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRun:
    """What a statement did: to its own table, in numbers to every table, and by rows to the `others` that were watched.

    `goes` are the objects that a DROP or TRUNCATE takes along.
    """

    outcome: Outcome
    tables: list[TableEffect] = field(default_factory=list)
    others: Mapping[str, SideEffects] = field(default_factory=dict)
    goes: tuple[str, ...] = ()
    lock: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The last trial, and what differs from trial to trial: columns (by table; '' is the statement's own) and tables.

    `mixed` says that the same values come in other rows each time.
    """

    run: StatementRun
    volatile: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()
    steady: bool = True
    mixed: bool = False

    def volatile_of(self, table: str = "") -> list[str]:
        """The columns of a table that are another value at every run."""
        return sorted(self.volatile.get(table, frozenset()))


async def run_and_observe(
    conn: Connection,
    statement: Statement,
    *,
    version: int,
    most_rows: int,
    most_kept: int = 0,
    others: Iterable[str] = (),
    volatile: Sequence[str] = (),
    by_rows: bool = True,
    patience: float | None = None,
) -> StatementRun:
    """Run a statement in the open transaction of `conn`, with its deferred constraints. Driver errors pass."""
    going = await what_goes(statement, conn) if cascades(statement.node) else []
    lost = await rows_lost(statement, conn)
    before = await changed_tables(conn)
    watched = await watch(conn, others)
    outcome = await run_statement(
        conn, statement, version=version, most_rows=most_rows, most_kept=most_kept, volatile=volatile, by_rows=by_rows,
        patience=patience,
    )  # fmt: skip
    # What they do counts too; and at COMMIT no time limit would end them.
    async with application_path(conn):
        await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    tables = changes_since(before, await changed_tables(conn))
    tables += [TableEffect(table=loss.table, inserted=0, updated=0, deleted=loss.rows) for loss in lost if loss.rows]
    return StatementRun(outcome=outcome, tables=tables, others=await side_effects_of(watched), goes=tuple(going))


async def dry_run(statement: Statement, *, version: int, runtime: Runtime) -> DryRun:
    """Try a statement until two trials agree. Raises `StatementFailed` where its rows do not keep still."""
    sources = await _sources(statement, runtime)
    wanted = _AGREEING_BY_CHANCE if may_be_chance(statement, sources) else _AGREEING
    trials = _Trials(statement=statement, sources=sources, wanted=wanted)
    for _ in range(_MOST_TRIALS):
        volatile = trials.volatile.get("", frozenset())
        run, further = await _try(trials, sorted(volatile), version, runtime)
        if trials.add(run, further, volatile):
            break
    return trials.result()


@dataclass(slots=True)
class _Trials:
    """What is known after some trials."""

    statement: Statement
    sources: Sources
    wanted: int
    watched: set[str] = field(default_factory=set)
    volatile: dict[str, frozenset[str]] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()
    steady: bool = True
    agreed: int = 0
    last: StatementRun | None = None
    left_out: frozenset[str] = frozenset()
    settled: bool = False
    mixed: bool = False
    by_rows: bool = True

    def add(self, run: StatementRun, further: set[str], left_out: frozenset[str]) -> bool:
        """Note one more trial, which found `further` tables to watch and left columns out of `whole`; True when it is enough."""
        self.by_rows = run.outcome.detailed
        if further - self.watched:
            self.watched |= further
            self.last, self.agreed = None, 0
            return False
        last, self.last = self.last, run
        before, self.left_out = self.left_out, left_out
        if last is None:
            return False
        if not met_the_same(last.outcome, run.outcome):
            self.agreed, self.settled = 0, False
            return False
        self.settled = True
        self.steady = self.steady and last.tables == run.tables
        self.unsteady = frozenset(name for name in run.others if _unsteady(last.others.get(name), run.others[name]))
        self._differ(last, run)
        self.agreed = 0 if self.unsteady else self.agreed + 1
        return self.agreed >= self.wanted and self._is_bound(last, run, before)

    def _is_bound(self, last: StatementRun, run: StatementRun, before: frozenset[str]) -> bool:
        """Whether two trials that left out the same columns say what whole rows are, where that is needed."""
        if not compares_whole_rows(run.outcome):
            return True
        if not before == self.left_out == self.volatile.get("", frozenset()):
            return False
        self.mixed = _whole(last) != _whole(run)
        return True

    def _differ(self, last: StatementRun, run: StatementRun) -> None:
        """Add the columns that differ between two trials."""
        found = {"": frozenset(differing(last.outcome.effect, run.outcome.effect)) | self._by_the_clock(run)}
        for name, one in run.others.items():
            found[name] = frozenset(differing(effect_of(last.others[name], ()), effect_of(one, ())))
        for name, columns in found.items():
            self.volatile[name] = self.volatile.get(name, frozenset()) | columns

    def _by_the_clock(self, run: StatementRun) -> frozenset[str]:
        rows = [change.after for change in run.outcome.changes[:_ROWS_FOR_CLOCKS] if change.after]
        changed = set((run.outcome.effect or {"cells": {}})["cells"])
        return frozenset(changed & clock_columns(self.statement, self.sources, rows, now=datetime.now(UTC)))

    def result(self) -> DryRun:
        if self.last is None or not self.settled:
            raise StatementFailed(
                "The rows change faster than a human could be shown them. Name fewer rows, or try again later."
            )
        mixed = self.mixed or (self.left_out != self.volatile.get("", frozenset()))
        return DryRun(run=self.last, volatile=self.volatile, unsteady=self.unsteady, steady=self.steady, mixed=mixed)


async def _try(
    trials: _Trials, volatile: Sequence[str], version: int, runtime: Runtime
) -> tuple[StatementRun, set[str]]:
    # Half of the time for looking at each row, so that there is time to only count them.
    patience = runtime.settings.statement_timeout / 2
    async with actor_transaction(runtime, keep=False, steady=bool(trials.watched)) as conn:
        run = await run_and_observe(
            conn, trials.statement, version=version, most_rows=_MOST_ROWS, others=trials.watched, volatile=volatile,
            by_rows=trials.by_rows, patience=patience,
        )  # fmt: skip
        further = await _to_watch(conn, trials.statement, run)
        lock = await _strongest_lock(conn, runtime)
    return replace(run, lock=lock), further


async def _to_watch(conn: Connection, statement: Statement, run: StatementRun) -> set[str]:
    """The tables that were changed beside the rows that the statement itself returned."""
    names = set() if statement.kind in {"DropStmt", "TruncateStmt"} else {table["table"] for table in run.tables}
    if not run.outcome.detailed or not names:
        return names
    relation = statement.node.relation
    place = {"schema": relation.schemaname or None, "name": relation.relname}
    rows = await rows_as_application(conn, _QUERIES["family"], place)
    family = {row["name"] for row in rows}
    own = sum(sum(_numbers(table)) for table in run.tables if table["table"] in family)
    return names - family if own == run.outcome.row_count else names


async def _strongest_lock(conn: Connection, runtime: Runtime) -> str:
    """The strongest lock that the transaction of `conn` holds on what others see too: not on what it made itself."""
    held = await fetch_all(conn, _QUERIES["locks_held"])
    async with runtime.app.connection("agent_assessor") as other:
        relations = {"relations": [row["relation"] for row in held]}
        rows = await fetch_all(other, _QUERIES["application_relations"], relations)
    known = {row["relation"] for row in rows}
    return max((row["mode"] for row in held if row["relation"] in known), key=LOCKS.index, default="")


async def _sources(statement: Statement, runtime: Runtime) -> Sources:
    relation = getattr(statement.node, "relation", None)
    if statement.kind not in {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"} or relation is None:
        return Sources()
    place = {"schema": relation.schemaname or None, "name": relation.relname}
    async with runtime.app.connection("agent_actor") as conn:
        rows = await rows_as_application(conn, _QUERIES["sources"], place)
    return Sources.from_row(rows[0] if rows else None)


def met_the_same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs met the same rows, and the same old values in what they changed."""
    if one.effect is None or other.effect is None:
        return one.row_count == other.row_count
    old = [{name: cells[0] for name, cells in effect["cells"].items()} for effect in (one.effect, other.effect)]
    # Where other cells of the rows keep changing, it is enough that those which change here did not.
    same = one.met == other.met or old[0] == old[1]
    return one.row_count == other.row_count and one.effect["rows"] == other.effect["rows"] and same


def _whole(run: StatementRun) -> str:
    return run.outcome.effect["whole"] if run.outcome.effect else ""


def _unsteady(one: SideEffects | None, other: SideEffects) -> bool:
    """Whether two runs met other rows of a table that they change by the way."""
    effects = effect_of(one or SideEffects(), ()), effect_of(other, ())
    if effects[0] is None or effects[1] is None:
        return (effects[0] is None) != (effects[1] is None)
    return effects[0]["rows"] != effects[1]["rows"]


def differing(one: Effect | None, other: Effect | None) -> set[str]:
    """Columns whose values differ between two runs over the same rows."""
    if one is None or other is None:
        return set()
    return {name for name in {*one["cells"], *other["cells"]} if one["cells"].get(name) != other["cells"].get(name)}


def compares_whole_rows(outcome: Outcome) -> bool:
    """Whether only whole rows say which of the new values belong together."""
    return bool(outcome.effect and outcome.effect["whole"]) and (outcome.row_count or 0) > 1


async def changed_tables(conn: Connection) -> list[TableEffect]:
    """What the session's transactions changed so far; see `changes_since`."""
    rows = await fetch_all(conn, _QUERIES["changed_tables"])
    return [TableEffect(**row) for row in rows]  # type: ignore[typeddict-item]  # the query names the keys


def changes_since(before: Sequence[TableEffect], after: Sequence[TableEffect]) -> list[TableEffect]:
    """What was changed between two readings: the server counts a session's transactions together until it reports them."""
    known = {effect["table"]: _numbers(effect) for effect in before}
    changes = []
    for effect in after:
        earlier = known.get(effect["table"], (0, 0, 0))
        inserted, updated, deleted = (now - was for now, was in zip(_numbers(effect), earlier, strict=True))
        if inserted or updated or deleted:
            changes.append(TableEffect(table=effect["table"], inserted=inserted, updated=updated, deleted=deleted))
    return changes


def _numbers(effect: TableEffect) -> tuple[int, int, int]:
    return effect["inserted"], effect["updated"], effect["deleted"]
