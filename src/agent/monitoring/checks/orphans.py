"""Rows that refer to nothing: samples of foreign keys, also of those that the server does not check. Some keys in each run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from agent.learning.discovery.structure import Relation
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.text.words import stems

_KEYS, _ROWS, _LEAST_SOUND = 3, 200, 20
_MOST_DIRTY = 1_000
_MOST_WITHOUT_CONSTRAINT = 0.5  # a larger share says that the columns only look like a key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """Columns that refer to those of another table; `declared` if a constraint says so."""

    table: Relation
    columns: tuple[str, ...]
    target: Relation
    target_columns: tuple[str, ...]
    declared: bool

    @property
    def name(self) -> str:
        return f"{self.table['qualified']}({', '.join(self.columns)})"


async def look(watch: Watch) -> list[Finding]:
    """Look for the targets of the newest rows of some keys, and again of those that were found wrong."""
    keys = list(_keys(watch, await watch.tables()))
    start = int(watch.state.get("next", 0)) % max(len(keys), 1)
    again = set(watch.state.get("found", []))
    # A key goes wrong when somebody writes to one of its two tables.
    dirty = {
        *watch.state.get("dirty", []),
        *(one.name for one in keys if {one.table["qualified"], one.target["qualified"]} & watch.written),
    }
    fresh = [one for one in keys if one.name in dirty][: _KEYS - 1]
    turn = [*fresh, *keys[start : start + _KEYS - len(fresh)], *(one for one in keys if one.name in again)]
    watch.state["dirty"] = sorted(dirty - {one.name for one in turn})[:_MOST_DIRTY]
    watch.state["next"] = start + _KEYS - len(fresh)
    findings, found = [], []
    sound = set(watch.state.get("sound", []))  # columns that have proved to be a key
    for key in {one.name: one for one in turn}.values():
        read, lost = await _lost(watch, key)
        if read >= _LEAST_SOUND and not lost:
            sound.add(key.name)
        if lost and (key.declared or key.name in sound or lost <= read * _MOST_WITHOUT_CONSTRAINT):
            found.append(key.name)
            findings.append(
                Finding(
                    subject=key.name, severity="MEDIUM",
                    message=f"{lost} of the {read} newest rows of {key.name} refer to rows of {key.target['qualified']} that do not exist.",
                    action="Find who deleted the rows or wrote the keys; then a foreign key (or VALIDATE CONSTRAINT) keeps it so.",
                    evidence={"lost": lost, "read": read, "constraint": key.declared},
                )
            )  # fmt: skip
    watch.state["found"] = found
    watch.state["sound"] = sorted(sound)[:_MOST_DIRTY]
    return findings


def _keys(watch: Watch, tables: list[Relation]) -> Iterator[_Key]:
    """Yield the declared keys and the columns that are named like one: order_id beside a table orders with the key id."""
    # Where policies hide rows from agent_reader, a row that is not seen may be there.
    tables = [one for one in tables if one["row_security"] != "some"]
    by_name = {one["qualified"]: one for one in tables}
    for table in tables:
        declared: set[str] = set()
        for one in table["foreign_keys"]:
            declared |= set(one["columns"])
            target = by_name.get(one["target"])
            if target:
                yield _Key(
                    table=table,
                    columns=tuple(one["columns"]),
                    target=target,
                    target_columns=tuple(one["target_columns"]),
                    declared=True,
                )
        types = {one["name"]: one["type"] for one in table["columns"]}
        for column in watch.open_columns(table):
            if column in declared or column in table["primary_key"] or not column.endswith("_id"):
                continue
            for target in tables:
                if _is_meant(table, column, target, types[column]):
                    yield _Key(
                        table=table,
                        columns=(column,),
                        target=target,
                        target_columns=(target["primary_key"][0],),
                        declared=False,
                    )


def _is_meant(table: Relation, column: str, target: Relation, type_name: str) -> bool:
    if target["schema"] != table["schema"] or len(target["primary_key"]) != 1:
        return False
    key_type = next((one["type"] for one in target["columns"] if one["name"] == target["primary_key"][0]), "")
    return key_type == type_name and stems(target["name"].replace("_", " ")) == stems(
        column.removesuffix("_id").replace("_", " ")
    )


async def _lost(watch: Watch, key: _Key) -> tuple[int, int]:
    """Return how many of the newest rows were read, and how many of them refer to nothing."""
    names = [sql.Identifier(one) for one in key.columns]
    theirs = [sql.Identifier("t", one) for one in key.target_columns]
    order: sql.Composable = sql.SQL("")
    if len(key.table["primary_key"]) == 1 and key.table["kind"] == "TABLE":
        order = sql.SQL(" ORDER BY {} DESC").format(sql.Identifier(key.table["primary_key"][0]))
    query = sql.SQL(
        "SELECT count(*)::int AS read, (count(*) FILTER (WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same})))::int AS lost"
        " FROM (SELECT {columns} FROM {table}{order} LIMIT {limit}) s WHERE {filled}"
    ).format(
        target=sql.Identifier(key.target["schema"], key.target["name"]),
        same=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(other, sql.Identifier("s", one)) for other, one in zip(theirs, key.columns, strict=True)
        ),
        columns=sql.SQL(", ").join(names), table=sql.Identifier(key.table["schema"], key.table["name"]), order=order,
        limit=sql.Literal(_ROWS),
        filled=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", one)) for one in key.columns),
    )  # fmt: skip
    try:
        rows: list[dict[str, Any]] = await watch.read(query)
    except psycopg.Error:  # a table that disappeared or is locked is read another time
        return 0, 0
    return rows[0]["read"], rows[0]["lost"]


CHECK = Check(name="orphans", about="Rows that refer to nothing", look=look, samples=True)
