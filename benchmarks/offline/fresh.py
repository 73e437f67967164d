"""Questions as newcomers type them, over four schemas that resemble well-known samples; whoever answers has not seen them.

`fresh_first.json` is to learn from, `fresh_second.json` to judge with. A question's `sql` gives the values that each row
of a right answer holds; `also` holds other readings that a person accepts. Without `sql`, a right answer refuses, asks
back, or remembers what it was told.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

FOLDER = Path(__file__).parent
SCHEMAS = ("music", "rental", "trading", "staff")
MOST_ROWS = 20  # so that a listing shows them all

Half = Literal["first", "second"]
Kind = Literal[
    "list", "count", "filter", "not", "group", "top", "sum", "average", "latest", "join", "dates", "change", "remember", "impossible",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """One question. A `change` has the one cell that it changes in `check`; a `remember` has what is to be known later."""

    schema: str
    question: str
    kind: Kind
    sql: str | None
    also: tuple[str, ...] = ()
    either: bool = False  # a refusal is as good as the answer
    ordered: bool = False
    check: dict[str, Any] | None = None


def questions(half: Half) -> list[Question]:
    """Return the 90 questions of one half."""
    cases = json.loads((FOLDER / f"fresh_{half}.json").read_text(encoding="utf-8"))
    return [Question(**{**case, "also": tuple(case.get("also", ()))}) for case in cases]


def schema_of(name: str) -> str:
    """Return the statements that make one schema and fill it."""
    return (FOLDER / "schemas" / f"{name}.sql").read_text(encoding="utf-8")


def faults(conn: psycopg.Connection, question: Question) -> list[str]:
    """Return what is wrong with a question in the database of its schema, which stays as it is."""
    if question.sql is None:
        return []
    found = _change_faults(conn, question) if question.kind == "change" else _answer_faults(conn, question)
    conn.rollback()
    return [f"{question.schema}, {question.question!r}: {fault}" for fault in found]


def _answer_faults(conn: psycopg.Connection, question: Question) -> list[str]:
    found = []
    for statement in (question.sql or "", *question.also):
        rows = conn.execute(statement.encode()).fetchall()
        if not 1 <= len(rows) <= MOST_ROWS:
            found.append(f"it has {len(rows)} rows")
        if rows in ([(0,)], [(None,)]):
            found.append("it finds nothing")
        if any(None in row for row in rows) and statement == question.sql and question.kind != "list":
            found.append("a value is missing")
        tied = re.sub(r"limit (\d+)$", r"fetch first \1 rows with ties", statement)
        if len(conn.execute(tied.encode()).fetchall()) > len(rows):
            found.append("which row comes last is chance")
    return found


def _change_faults(conn: psycopg.Connection, question: Question) -> list[str]:
    check = question.check or {}
    (key,) = check["key"]
    table, column = sql.Identifier(check["table"]), sql.Identifier(check["column"])
    everything = sql.SQL("select to_jsonb(t) from {} t order by {}").format(table, sql.Identifier(key))
    before = [row[0] for row in conn.execute(everything)]
    conn.execute((question.sql or "").encode())
    after = [row[0] for row in conn.execute(everything)]
    changed = [
        (old[key], name) for old, new in zip(before, after, strict=True) for name in old if old[name] != new[name]
    ]
    is_value = sql.SQL("select {column} = %s from {table} where {key} = %s").format(
        column=column, table=table, key=sql.Identifier(key)
    )
    row = conn.execute(is_value, (check["value"], check["key"][key])).fetchone()
    found = [] if row == (True,) else ["it does not set that value"]
    return found if changed == [(check["key"][key], check["column"])] else [*found, f"it changes {changed}"]
