"""Columns that suddenly hold no value: the share of nulls in a table's newest rows against what it was. Some tables in each run."""

from __future__ import annotations

import psycopg
from psycopg import sql

from agent.learning.discovery.structure import Relation
from agent.monitoring.checks.newest import newest_rows, next_tables
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_TABLES, _ROWS, _LEAST_ROWS, _MOST_COLUMNS = 2, 200, 30, 40
_JUMP = 0.3
_KEPT = 0.2  # how much of a new share goes into what is usual


async def look(watch: Watch) -> list[Finding]:
    """Count the nulls of the newest rows of some tables, and again of those in which something was found."""
    usual: dict[str, dict[str, float]] = watch.state.setdefault("usual", {})
    tables = [one for one in await watch.tables() if watch.open_columns(one)]
    findings, found = [], []
    for table in next_tables(watch, tables, _TABLES, always=watch.state.get("found", [])):
        shares = await _shares(watch, table)
        known = usual.setdefault(table["qualified"], {})
        jumps = {name: share for name, share in shares.items() if name in known and share - known[name] >= _JUMP}
        if jumps:
            found.append(table["qualified"])
            findings.append(_finding(table["qualified"], jumps, known))
        for name, share in shares.items():
            if name not in jumps:
                known[name] = share if name not in known else known[name] + _KEPT * (share - known[name])
    watch.state["found"] = found
    return findings


async def _shares(watch: Watch, table: Relation) -> dict[str, float]:
    columns = watch.open_columns(table)[:_MOST_COLUMNS]
    counts = [
        sql.SQL("count({}) AS {}").format(sql.Identifier(one), sql.Identifier(f"c{n}")) for n, one in enumerate(columns)
    ]
    try:
        rows = await newest_rows(watch, table, sql.SQL(", ").join([sql.SQL("count(*) AS n"), *counts]), _ROWS)
    except psycopg.Error:  # a table that disappeared or is locked is read another time
        return {}
    if not rows or rows[0]["n"] < _LEAST_ROWS:
        return {}
    return {one: 1 - rows[0][f"c{n}"] / rows[0]["n"] for n, one in enumerate(columns)}


def _finding(name: str, jumps: dict[str, float], known: dict[str, float]) -> Finding:
    column, share = max(jumps.items(), key=lambda one: one[1] - known[one[0]])
    more = f" and {len(jumps) - 1} more columns" if len(jumps) > 1 else ""
    return Finding(
        subject=name,
        severity="MEDIUM",
        message=f"{share:.0%} of the newest rows of {name} have no {column}{more}; {known[column]:.0%} was usual.",
        action="See what writes these rows since when: a form, an import or a release may leave the column out.",
        evidence={
            "now": {one: round(value, 3) for one, value in jumps.items()},
            "usual": {one: round(known[one], 3) for one in jumps},
        },
    )


CHECK = Check(name="nulls", about="Columns that suddenly hold no value", look=look, samples=True)
