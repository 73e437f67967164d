"""Runs a statement and observes all that it does; a dry run repeats this until two trials agree.

A trial is one run in a transaction that is rolled back. The next trial takes a closer look at what one finds: it watches
the tables that change beside the statement's own, and leaves columns out that differ every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from agent.approval.preview import Effect, TableEffect
from agent.db import Connection, load_queries
from agent.db.paths import application_path, rows_as_application
from agent.db.queries import fetch_all
from agent.errors import StatementFailed
from agent.execution.dry_run.side_effects import SideEffects, effect_of, net_effects, side_effects_of, watch
from agent.execution.dry_run.volatile_values import Sources, clock_columns, may_be_chance
from agent.execution.writes.kept_rows import most_kept, row_images, undo_outlook
from agent.execution.writes.statement_runner import Outcome, actor_transaction, run_statement
from agent.runtime import Runtime
from agent.statements.dependents import dependents, rows_lost
from agent.statements.kinds import LOCKS, cascades
from agent.statements.parser import Statement

_QUERIES = load_queries(__package__)
_MOST_ROWS = 20
_MOST_TRIALS = 8
# How often a run must agree with the one before: once, or more often where values may be random.
_AGREEING, _AGREEING_BY_CHANCE = 1, 3
_ROWS_FOR_CLOCKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRun:
    """What a statement did: to its own table, in numbers to all `tables`, and by rows to the `others` that were watched.

    `net` is what is left of the changes of `tables` (see `net_effects`). `goes` are the objects that a DROP or TRUNCATE removes
    too; `lock` is the strongest lock that it holds. `images` are the rows to keep for undo, or why there are none (see
    `row_images`), and `undo` says that in words.
    """

    outcome: Outcome
    tables: list[TableEffect] = field(default_factory=list)
    net: list[TableEffect] = field(default_factory=list)
    others: Mapping[str, SideEffects] = field(default_factory=dict)
    goes: tuple[str, ...] = ()
    lock: str = ""
    images: dict[str, Any] | None = None
    undo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The last trial, and what differs from trial to trial.

    `volatile` are columns with another value each time, by table ('' is the statement's own); `unsteady` are the other
    tables with other rows each time; `steady` says that the numbers of rows agreed. `mixed` says that the same values come
    in other rows each time.
    """

    run: StatementRun
    volatile: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()
    steady: bool = True
    mixed: bool = False

    def volatile_of(self, table: str = "") -> list[str]:
        """Return the columns of a table that have another value at every run."""
        return sorted(self.volatile.get(table, frozenset()))


async def run_and_observe(
    conn: Connection,
    statement: Statement,
    *,
    version: int,
    most_rows: int,
    others: Iterable[str] = (),
    volatile: Sequence[str] = (),
    by_rows: bool = True,
    patience: float | None = None,
    runtime: Runtime,
) -> StatementRun:
    """Run a statement and its deferred constraints in the open transaction of `conn`, and return what it did.

    Driver errors pass. The parameters are those of `run_statement`; `others` are tables to watch.
    """
    going = await dependents(statement, conn) if cascades(statement.node) else []
    lost = await rows_lost(statement, conn)
    before = await changed_tables(conn)
    watched = await watch(conn, others)
    outcome = await run_statement(
        conn, statement, version=version, most_rows=most_rows, most_kept=most_kept(statement, runtime), volatile=volatile,
        by_rows=by_rows, patience=patience,
    )  # fmt: skip
    # What deferred constraints do counts too, and at COMMIT no time limit would end them.
    async with application_path(conn):
        await conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    tables = changes_since(before, await changed_tables(conn))
    tables += [TableEffect(table=loss.table, inserted=0, updated=0, deleted=loss.rows) for loss in lost if loss.rows]
    found = await side_effects_of(watched)
    family = await _family(conn, statement) if tables else ()
    net = net_effects(tables, found, family)
    images = await row_images(conn, statement, outcome, net, runtime=runtime)
    if images is not None and "why_not" not in images and _changed_again(outcome, tables, found, family):
        images = {"why_not": "triggers change its rows again after it"}
    return StatementRun(
        outcome=outcome, tables=tables, net=net, others=found, goes=tuple(going), images=images,
        undo=undo_outlook(statement, outcome, images, runtime=runtime),
    )  # fmt: skip


async def dry_run(statement: Statement, *, version: int, runtime: Runtime) -> DryRun:
    """Try a statement until two trials agree. Raises `StatementFailed` where its rows keep changing."""
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
    """What is known of a statement after some trials."""

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
        """Add a trial, and return whether no further one is needed.

        `further` are tables to watch that the trial found; `left_out` are the columns that its `whole` left out.
        """
        self.by_rows = run.outcome.detailed
        if further - self.watched:
            self.watched |= further
            self.last, self.agreed = None, 0
            return False
        last, self.last = self.last, run
        before, self.left_out = self.left_out, left_out
        if last is None:
            return False
        if not changed_same_rows(last.outcome, run.outcome):
            self.agreed, self.settled = 0, False
            return False
        self.settled = True
        self.steady = self.steady and last.tables == run.tables
        self.unsteady = frozenset(name for name in run.others if _is_unsteady(last.others.get(name), run.others[name]))
        self._differ(last, run)
        self.agreed = 0 if self.unsteady else self.agreed + 1
        return self.agreed >= self.wanted and self._compares_rows(last, run, before)

    def _compares_rows(self, last: StatementRun, run: StatementRun, before: frozenset[str]) -> bool:
        """Return whether two trials left the same columns out of `whole`, so that their rows compare; True if not needed."""
        if not compares_whole_rows(run.outcome):
            return True
        if not before == self.left_out == self.volatile.get("", frozenset()):
            return False
        self.mixed = _whole_digest(last) != _whole_digest(run)
        return True

    def _differ(self, last: StatementRun, run: StatementRun) -> None:
        """Add the columns that differ between two trials, or are made from the clock."""
        volatile = {"": frozenset(differing(last.outcome.effect, run.outcome.effect)) | self._clock_columns(run)}
        for name, effects in run.others.items():
            volatile[name] = frozenset(differing(effect_of(last.others[name], ()), effect_of(effects, ())))
        for name, columns in volatile.items():
            self.volatile[name] = self.volatile.get(name, frozenset()) | columns

    def _clock_columns(self, run: StatementRun) -> frozenset[str]:
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
    # Returning each row may take half of the time, so that there is time left to only count the rows.
    patience = runtime.settings.statement_timeout / 2
    async with actor_transaction(runtime, keep=False, steady=bool(trials.watched)) as conn:
        run = await run_and_observe(
            conn, trials.statement, version=version, most_rows=_MOST_ROWS, others=trials.watched, volatile=volatile,
            by_rows=trials.by_rows, patience=patience, runtime=runtime,
        )  # fmt: skip
        further = await _to_watch(conn, trials.statement, run)
        lock = await _strongest_lock(conn, runtime)
    return replace(run, lock=lock), further


async def _to_watch(conn: Connection, statement: Statement, run: StatementRun) -> set[str]:
    """Return the tables that were changed beside the rows that the statement itself returned."""
    names = set() if statement.kind in {"DropStmt", "TruncateStmt"} else {table["table"] for table in run.tables}
    if not run.outcome.detailed or not names:
        return names
    family = set(await _family(conn, statement))
    own = sum(sum(_numbers(table)) for table in run.tables if table["table"] in family)
    return names - family if own == run.outcome.row_count else names


def _changed_again(
    outcome: Outcome, tables: Sequence[TableEffect], others: Mapping[str, SideEffects], family: Sequence[str]
) -> bool:
    """Return whether triggers changed the rows that a statement wrote after it: then no row is as its image says.

    Where such rows cannot be looked at, they count as changed.
    """
    own = [table for table in tables if table["table"] in family]
    written = [change.after for change in outcome.changes if change.after is not None]
    if not written or sum(table["inserted"] + table["updated"] for table in own) <= (outcome.row_count or 0):
        return False
    seen = [others.get(table["table"], SideEffects()) for table in own]
    left = [change.after for effects in seen for change in effects.changes]
    return not all(effects.whole for effects in seen) or any(row not in left for row in written)


async def _family(conn: Connection, statement: Statement) -> tuple[str, ...]:
    """Return the names of the table that a statement changes rows of, and of its partitions and children; () for none."""
    if statement.kind not in {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}:
        return ()
    relation = statement.node.relation
    place = {"schema": relation.schemaname or None, "name": relation.relname}
    rows = await rows_as_application(conn, _QUERIES["family"], place)
    return tuple(row["name"] for row in rows)


async def _strongest_lock(conn: Connection, runtime: Runtime) -> str:
    """Return the strongest lock that the transaction of `conn` holds on relations that others see; '' for none."""
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


def changed_same_rows(first: Outcome, second: Outcome) -> bool:
    """Return whether two runs changed the same rows, with the same old values in the changed columns."""
    if first.effect is None or second.effect is None:
        return first.row_count == second.row_count
    old = [{name: cells[0] for name, cells in effect["cells"].items()} for effect in (first.effect, second.effect)]
    # Others may keep changing other columns of the rows: it is enough that the old values of these columns agree.
    same = first.old_rows == second.old_rows or old[0] == old[1]
    return first.row_count == second.row_count and first.effect["rows"] == second.effect["rows"] and same


def _whole_digest(run: StatementRun) -> str:
    return run.outcome.effect["whole"] if run.outcome.effect else ""


def _is_unsteady(first: SideEffects | None, second: SideEffects) -> bool:
    """Return whether two runs changed different rows of a table that they change as a side effect."""
    effects = effect_of(first or SideEffects(), ()), effect_of(second, ())
    if effects[0] is None or effects[1] is None:
        return (effects[0] is None) != (effects[1] is None)
    return effects[0]["rows"] != effects[1]["rows"]


def differing(first: Effect | None, second: Effect | None) -> set[str]:
    """Return the columns whose values differ between two runs over the same rows."""
    if first is None or second is None:
        return set()
    old, new = first["cells"], second["cells"]
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def compares_whole_rows(outcome: Outcome) -> bool:
    """Return whether only whole rows say which of the new values belong together."""
    return bool(outcome.effect and outcome.effect["whole"]) and (outcome.row_count or 0) > 1


async def changed_tables(conn: Connection) -> list[TableEffect]:
    """Return how many rows the session's transactions changed in each table so far; see `changes_since`."""
    rows = await fetch_all(conn, _QUERIES["changed_tables"])
    return [TableEffect(**row) for row in rows]  # type: ignore[typeddict-item]  # the query names the keys


def changes_since(before: Sequence[TableEffect], after: Sequence[TableEffect]) -> list[TableEffect]:
    """Return the changes between two readings: the server adds up a session's transactions until it reports them."""
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
