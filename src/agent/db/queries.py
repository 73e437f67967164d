"""Loads named queries: each subsystem keeps its SQL in a `queries.sql` beside its code.

A query starts at a line `-- name: purpose` and ends where the next one starts:

    -- recent_threads: lists the newest threads first, for `agent threads list`
    SELECT ... WHERE tenant_id = %(tenant_id)s
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.abc import Params

Query = LiteralString | bytes | sql.SQL | sql.Composed

_HEADER = re.compile(r"^-- ([a-z_0-9]+): \S.*$", re.MULTILINE)


@cache
def load_queries(package: str, file: str = "queries.sql") -> Mapping[str, LiteralString]:
    """Return the named queries of `package`, read once. Raises `ValueError` on a name used twice."""
    pieces = _HEADER.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    names, texts = pieces[1::2], pieces[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}/{file} names a query twice: {sorted(names)}")
    # LiteralString means "never user input": the texts are files of this package.
    queries = {name: cast("LiteralString", text.strip()) for name, text in zip(names, texts, strict=True)}
    return MappingProxyType(queries)


async def fetch_one(
    conn: psycopg.AsyncConnection[dict[str, Any]],
    query: Query,
    values: Params | None = None,
    *,
    prepare: bool | None = None,
) -> dict[str, Any] | None:
    """Run `query` and return its first row, or None."""
    return await (await conn.execute(query, values, prepare=prepare)).fetchone()


async def fetch_all(
    conn: psycopg.AsyncConnection[dict[str, Any]],
    query: Query,
    values: Params | None = None,
    *,
    prepare: bool | None = None,
) -> list[dict[str, Any]]:
    """Run `query` and return its rows."""
    return await (await conn.execute(query, values, prepare=prepare)).fetchall()
