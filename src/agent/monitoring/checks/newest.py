"""Reads the newest rows of tables without a scan, and takes tables in turn, so that a run costs little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from agent.learning.discovery.structure import Relation
from agent.monitoring.watch import Watch

_SMALL = 2_000
_MOST_DIRTY = 1_000


def next_tables(watch: Watch, tables: Sequence[Relation], count: int, *, always: Sequence[str] = ()) -> list[Relation]:
    """Return the tables whose turn it is: those that somebody wrote to since their last turn come first.

    Tables that are looked at `always` (something was found there) come on top of them, as many at most.
    """
    written = watch.written
    dirty = {*watch.state.get("dirty", []), *written}
    fresh = [one for one in tables if one["qualified"] in dirty]
    start = int(watch.state.get("next", 0)) % max(len(tables), 1)
    turn = [*tables[start:], *tables[:start]]
    chosen = {one["qualified"]: one for one in [*fresh[: count - 1], *turn[:count]][:count]}
    watch.state["next"] = (start + max(count - len(fresh), 1)) % max(len(tables), 1)
    watch.state["dirty"] = sorted(dirty - set(chosen))[:_MOST_DIRTY]
    again = [one for one in tables if one["qualified"] in always and one["qualified"] not in chosen]
    return [*chosen.values(), *again[:count]]


async def newest_rows(watch: Watch, table: Relation, columns: sql.Composable, limit: int) -> list[dict[str, Any]]:
    """Return columns of the newest rows, by the primary key's index; of a table without such a key, rows of its last pages."""
    name = sql.Identifier(table["schema"], table["name"])
    limited = sql.Literal(limit)
    if len(table["primary_key"]) == 1 and table["kind"] == "TABLE":
        key = sql.Identifier(table["primary_key"][0])
        query = sql.SQL("SELECT {} FROM (SELECT * FROM {} ORDER BY {} DESC LIMIT {}) newest").format(
            columns, name, key, limited
        )
    elif (table["rows"] or 0) <= _SMALL and table["bytes"] < 10_000_000:
        query = sql.SQL("SELECT {} FROM {} LIMIT {}").format(columns, name, limited)
    else:
        return []
    return await watch.read(query)
