"""Checks the answers that a tool's test gives in place of a query against what the server says that the query returns.

A test whose answer no database would give proves nothing: the code fails, or computes something else, on the first real row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from agent.db import Connection, load_queries
from agent.db.paths import LOOK_UP_IN_OURS, path_setting
from agent.db.queries import fetch_one
from agent.db.statement_failures import failure
from agent.errors import InvalidArguments
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.statements.policy import may_be_probed

_QUERIES = load_queries(__package__, "answer_shapes.sql")
_KEYS = ("columns", "rows", "row_count", "truncated", "cut_cells", "sql", "secrets", "message", "remarks")
_WHOLE = frozenset({20, 21, 23, 26})
_REAL = frozenset({700, 701})
_BOOLEAN, _NUMERIC = 16, 1700
# Text, and what comes as text: dates, times, intervals, uuid, addresses, ranges, bytes.
_AS_TEXT = frozenset({
    17, 18, 19, 25, 650, 790, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 3904, 3906, 3908, 3910, 3912, 3926,
})  # fmt: skip
_LISTS = frozenset({1000, 1005, 1007, 1009, 1015, 1016, 1021, 1022, 1115, 1182, 1185, 1231, 2951})
_NUMBER = re.compile(r"-?\d+(\.\d+)?|NaN|-?Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The columns of a statement's result: their names, the numbers of their types, and the types' names."""

    names: tuple[str, ...] = ()
    types: tuple[int, ...] = ()
    words: tuple[str, ...] = ()


async def shape_of(statement: Statement, *, runtime: Runtime) -> Shape | None:
    """Return the columns that the server says a statement returns, without running it; None where it is not asked.

    Raises `StatementFailed` for a statement that the server does not take.
    """
    if not may_be_probed(statement) or statement.kind == "ExplainStmt":
        return None
    path = path_setting((await runtime.app.facts("agent_reader")).search_path)
    try:
        async with runtime.app.connection("agent_assessor") as conn, conn.transaction(force_rollback=True):
            await conn.execute(_QUERIES["as_reader"], {"path": path})
            described = await _described(conn, statement.text)
            await conn.execute(LOOK_UP_IN_OURS)
            types = [(described.ftype(place), described.fmod(place)) for place in range(described.nfields)]
            words = [await fetch_one(conn, _QUERIES["type_name"], {"oid": oid, "mod": mod}) for oid, mod in types]
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    names = [(described.fname(place) or b"").decode() for place in range(described.nfields)]
    return Shape(
        names=tuple(names),
        types=tuple(oid for oid, _ in types),
        words=tuple(row["name"] if row else "?" for row in words),
    )


async def _described(conn: Connection, sql: str) -> PGresult:
    """Return the server's description of a statement, which it parses and does not plan or run."""
    conn.pgconn.send_prepare(b"", sql.encode())
    await _answer(conn)
    conn.pgconn.send_describe_prepared(b"")
    return await _answer(conn)


async def _answer(conn: Connection) -> PGresult:
    results: list[PGresult] = await conn.wait(generators.execute(conn.pgconn))
    (result,) = results
    if result.status == ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result)
    return result


def check_answer(function: str, value: Any, shape: Shape | None) -> None:
    """Raise `InvalidArguments` where a query cannot return `value`. Fields that it leaves out are not checked."""
    if not isinstance(value, Mapping):
        raise InvalidArguments(f"{function} returns an object with columns, rows and row_count, not {value!r:.100}")
    if unknown := [key for key in value if key not in _KEYS]:
        raise InvalidArguments(f"{function} returns no {unknown[0]!r}, only {', '.join(_KEYS[:3])} and the like")
    rows, count = value.get("rows", []), value.get("row_count", 0)
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise InvalidArguments(f"the rows of {function} are lists of cells, in the order of its columns")
    if isinstance(count, bool) or not isinstance(count, int) or ("rows" in value and count not in {0, len(rows)}):
        raise InvalidArguments(f"the row_count of {function} is {count!r:.50}, with {len(rows)} rows")
    if shape is None:
        return
    if "columns" in value and value["columns"] != list(shape.names):
        raise InvalidArguments(f"the columns are really {', '.join(shape.names) or 'none'}")
    for row in rows:
        _check_row(row, shape)


def _check_row(row: Sequence[Any], shape: Shape) -> None:
    if len(row) != len(shape.names):
        raise InvalidArguments(f"a row has {len(row)} cells, and the statement returns {len(shape.names)} columns")
    for cell, name, oid, word in zip(row, shape.names, shape.types, shape.words, strict=True):
        if (expected := _expected(cell, oid)) and cell is not None:
            raise InvalidArguments(f"{name} is {word}, which comes as {expected}, not as {cell!r:.100}")


def _expected(cell: Any, oid: int) -> str:
    """Return in words what a cell of a type is, where this one is not; '' where it is, or where the type is not known here."""
    number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
    rules = (
        (oid in _WHOLE, number and isinstance(cell, int), "a whole number"),
        (oid in _REAL, number, "a number"),
        (oid == _BOOLEAN, isinstance(cell, bool), "true or false"),
        (oid == _NUMERIC, _is_numeric(cell), "a whole number, or text such as '12.50'"),
        (oid in _AS_TEXT, isinstance(cell, str), "text"),
        (oid in _LISTS, isinstance(cell, list), "a list"),
    )
    return next((expected for applies, holds, expected in rules if applies and not holds), "")


def _is_numeric(cell: Any) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int) and not isinstance(cell, bool)
