"""Finds the rows that a statement changes beside those that it returns: by cascades, triggers and rules, or without RETURNING.

Cursors that are opened before the statement still see each table as it was. Fetched after it, they return the rows that
the transaction has replaced or deleted; a new query returns what it has written. The transaction sees no commits of others
(`actor_transaction(steady=True)`), so every difference is the statement's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg import sql

from agent.approval.preview import Effect, TableEffect
from agent.db import Connection, load_queries
from agent.db.encodings import stored_encoding
from agent.db.paths import application_path, rows_as_application
from agent.db.queries import fetch_all, fetch_one
from agent.execution.writes.rows_as_json import cells_of, readable_json, short_cells
from agent.execution.writes.statement_runner import Change, limit_statement

_QUERIES = load_queries(__package__)
# The largest table that is watched, and the most rows and bytes that are kept of one.
_MOST_TABLE_BYTES = 256 * 2**20
_MOST_ROWS = 1_000
_MOST_BYTES = 4 * 2**20
_BATCH = 100
_MOST_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffects:
    """What happened in one table; `whole` is False where not all changes are known: it was not watched, or they are too many."""

    changes: tuple[Change, ...] = ()
    key: tuple[str, ...] = ()
    whole: bool = False


@dataclass(slots=True)
class Watch:
    """The cursors on the watched tables of one transaction; `closed` are the tables that could not be watched."""

    conn: Connection
    number: str
    encoding: str
    tables: list[dict[str, Any]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


async def watch(conn: Connection, names: Iterable[str]) -> Watch:
    """Open the cursors on tables, before the statement runs; `names` are schema.table."""
    wanted = sorted(names)
    row = await fetch_one(conn, _QUERIES["own_number"]) if wanted else None
    watched = Watch(conn=conn, number=row["number"] if row else "", encoding=stored_encoding(conn))
    watchable = await fetch_all(conn, _QUERIES["watchable"], {"names": wanted}) if wanted else []
    for table in watchable:
        if table["bytes"] <= _MOST_TABLE_BYTES and await _open(watched, table, len(watched.tables)):
            watched.tables.append(table)
    opened = {table["name"] for table in watched.tables}
    watched.closed = [name for name in wanted if name not in opened]
    return watched


async def _open(watched: Watch, table: dict[str, Any], place: int) -> bool:
    query = sql.SQL(
        "DECLARE {} NO SCROLL CURSOR FOR SELECT t.ctid::pg_catalog.text AS place, {} AS cells FROM ONLY {} AS t"
        " CROSS JOIN LATERAL (SELECT {} AS json FROM (SELECT pg_catalog.to_json(t.*) AS json OFFSET 0) AS whole OFFSET 0) AS image"
        " WHERE pg_catalog.age(t.xmax) OPERATOR(pg_catalog.<=) pg_catalog.age({}::pg_catalog.xid)"
    ).format(
        _cursor(place),
        short_cells("image.json", watched.encoding),
        _name(table),
        readable_json("whole.json", watched.encoding),
        watched.number,
    )
    try:
        async with watched.conn.transaction():
            await watched.conn.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


async def side_effects_of(watched: Watch) -> dict[str, SideEffects]:
    """Return what the statement did to each watched table, by the table's name."""
    effects = {name: SideEffects() for name in watched.closed}
    for place, table in enumerate(watched.tables):
        try:
            async with watched.conn.transaction():
                await limit_statement(watched.conn, _MOST_SECONDS)
                effects[table["name"]] = await _side_effects_in(watched, table, place)
        except psycopg.errors.QueryCanceled:
            effects[table["name"]] = SideEffects()
    return effects


async def _side_effects_in(watched: Watch, table: dict[str, Any], place: int) -> SideEffects:
    old, all_old = await _fetch(watched.conn, _cursor(place), watched.encoding)
    still = sql.SQL(
        "SELECT t.ctid::pg_catalog.text AS place FROM ONLY {} AS t WHERE t.ctid = ANY ({}::pg_catalog.tid[])"
    )
    places = [place for place, _ in old]
    rows = await rows_as_application(watched.conn, still.format(_name(table), places))
    unchanged = {row["place"] for row in rows}  # these rows were only locked
    await watched.conn.execute(
        sql.SQL(
            "DECLARE agent_written NO SCROLL CURSOR FOR SELECT t.ctid::pg_catalog.text AS place, {} AS cells FROM ONLY {} AS t"
            " CROSS JOIN LATERAL (SELECT {} AS json FROM (SELECT pg_catalog.to_json(t.*) AS json OFFSET 0) AS whole OFFSET 0) AS image"
            " WHERE pg_catalog.age(t.xmin) OPERATOR(pg_catalog.<=) pg_catalog.age({}::pg_catalog.xid)"
        ).format(
            short_cells("image.json", watched.encoding),
            _name(table),
            readable_json("whole.json", watched.encoding),
            watched.number,
        )
    )
    new, all_new = await _fetch(watched.conn, sql.Identifier("agent_written"), watched.encoding)
    await watched.conn.execute("CLOSE agent_written")
    key = tuple(table["key"] or ())
    changes = _paired([cells for place, cells in old if place not in unchanged], [cells for _, cells in new], key)
    return SideEffects(changes=tuple(changes), key=key, whole=all_old and all_new)


async def _fetch(
    conn: Connection, cursor: sql.Identifier, encoding: str
) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """Return the first rows of a cursor, and whether these are all."""
    rows: list[tuple[str, dict[str, Any]]] = []
    left = _MOST_BYTES
    while len(rows) < _MOST_ROWS and left > 0:
        fetch = sql.SQL("FETCH FORWARD {} FROM {}").format(sql.Literal(_BATCH), cursor)
        async with conn.pipeline(), application_path(conn):  # a row's policies and types may be the application's code
            fetched = await conn.execute(fetch)
        batch = await fetched.fetchall()
        left -= sum(len(row["cells"] or "") for row in batch)
        rows += [(row["place"], cells_of(row["cells"], encoding) or {}) for row in batch]
        if len(batch) < _BATCH:
            return rows, True
    return rows, False


def _paired(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], key: tuple[str, ...]) -> list[Change]:
    """Pair the rows before and after that have the same key; without a key no row has a partner."""
    if not key:
        return [*(Change(row, None) for row in old), *(Change(None, row) for row in new)]
    before = {_key_of(row, key): row for row in old}
    pairs = [Change(before.pop(_key_of(row, key), None), row) for row in new]
    return [*pairs, *(Change(row, None) for row in before.values())]


def _key_of(row: dict[str, Any] | None, key: Sequence[str]) -> str:
    return repr([(row or {}).get(column) for column in key])


def effect_of(side_effects: SideEffects, volatile: Iterable[str]) -> Effect | None:
    """Return the digests that must be the same at another run (see `Effect`); None where not all changes are known."""
    if not side_effects.whole:
        return None
    rows: list[str] = []
    whole: list[str] = []
    cells: dict[str, tuple[list[str], list[str]]] = {}
    left_out = set(volatile)
    for change in side_effects.changes:
        before, after = change.before or {}, change.after or {}
        known = _key_of(change.before, side_effects.key or tuple(before)) if change.before else ""
        rows.append(known)
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                pair = cells.setdefault(name, ([], []))
                pair[0].append(repr((known, before.get(name))))
                pair[1].append(repr((known, after.get(name))))
        if change.before is None:
            whole.append(repr(sorted((name, repr(value)) for name, value in after.items() if name not in left_out)))
    digests = {name: [_digest(pair[0]), _digest(pair[1])] for name, pair in cells.items()}
    return Effect(rows=_digest(rows), cells=digests, whole=_digest(whole) if whole else "")


def net_effects(
    tables: Sequence[TableEffect], others: Mapping[str, SideEffects], family: Sequence[str] = ()
) -> list[TableEffect]:
    """Return what is left of the changes of a statement, its own table first.

    The server counts a row again each time that a trigger touches it; where the rows were watched, each counts once. `family`
    is the statement's own table, then its partitions: they count as one table, and a row that moved between them as updated.
    """
    net = [_net_effect(table, others.get(table["table"])) for table in tables]
    own = [table for table in net if table["table"] in family]
    rest = [table for table in net if table["table"] not in family]
    return [*([_together(family[0], own)] if own else []), *rest]


def _net_effect(table: TableEffect, watched: SideEffects | None) -> TableEffect:
    if watched is None or not watched.whole or not watched.key:
        return table
    changes = watched.changes
    counted = table["inserted"] + table["updated"] + table["deleted"]
    if counted <= len(changes):  # a row that got a new key is two changes
        return table
    new = sum(change.before is None for change in changes)
    gone = sum(change.after is None for change in changes)
    return TableEffect(table=table["table"], inserted=new, updated=len(changes) - new - gone, deleted=gone)


def _together(name: str, tables: Sequence[TableEffect]) -> TableEffect:
    inserted, updated, deleted = (sum(table[kind] for table in tables) for kind in ("inserted", "updated", "deleted"))
    moved = min(inserted, deleted) if len(tables) > 1 else 0
    return TableEffect(table=name, inserted=inserted - moved, updated=updated + moved, deleted=deleted - moved)


def _digest(values: list[str]) -> str:
    return blake2b("\n".join(sorted(values)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _cursor(place: int) -> sql.Identifier:
    return sql.Identifier(f"agent_watch_{place}")


def _name(table: dict[str, Any]) -> sql.Identifier:
    return sql.Identifier(table["schema"], table["relation"])
