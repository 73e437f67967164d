"""Where names are looked up: for our own SQL in the system's schema only, for the application's where its login looks.

Postgres prefers an exact match anywhere on the search_path to a built-in function that takes any type, so whoever may
create objects in one of its schemas decides what an unqualified name in it means. Every session of ours therefore has
the path `OURS`. The application's path holds while a statement of its own is resolved or run, and while a query of ours
that was resolved before shows names or reads rows as the application would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, TupleRow

from agent.db.encodings import rows_in_bytes, rows_of_bytes, stored_in

CONNECT_TIMEOUT = 10
# Statements are sent as UTF-8: the server must not read their bytes by an encoding that the environment or a login's own
# settings ask for, in some of which a backslash is half of a character and a string ends elsewhere.
CLIENT_ENCODING = "utf8"
# Temporary objects are looked up first where the path does not name them.
OURS: LiteralString = "pg_catalog, pg_temp"
# Of agent_app: LangGraph's own statements name their tables without a schema, and people name ours so. Nobody else may
# create there: `agent migrate` looks.
WITH_OUR_TABLES: LiteralString = "pg_catalog, agents, agents_checkpoints, pg_temp"
# These mean the same whatever the path is: they are what changes it.
LOOK_UP_IN: LiteralString = "SELECT pg_catalog.set_config('search_path', %s, true)"
LOOK_UP_IN_FROM_NOW: LiteralString = "SELECT pg_catalog.set_config('search_path', %s, false)"
LOOK_UP_IN_OURS: LiteralString = (
    "SELECT pg_catalog.current_setting('search_path') AS path,"
    f" pg_catalog.current_schemas(false) AS schemas, pg_catalog.set_config('search_path', '{OURS}', true)"
)


class Connection(AsyncConnection[DictRow]):
    """A session of ours. `application_path` is the search_path that its login has by itself."""

    application_path: str = OURS


def open_as_administrator(url: str, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """A session of the database's administrator, with whose rights nothing but our own SQL runs. Driver errors pass."""
    conn = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT, client_encoding=CLIENT_ENCODING)
    conn.execute(f"SET search_path = {OURS}")
    conn.autocommit = autocommit
    return conn


def path_setting(schemas: Sequence[str]) -> str:
    """Postgres's setting search_path for these schemas; temporary objects hide none of theirs."""
    if not schemas:  # with pg_temp alone a new table would be a temporary one
        return '""'
    return ", ".join('"' + schema.replace('"', '""') + '"' for schema in (*schemas, "pg_temp"))


@asynccontextmanager
async def application_path(conn: Connection) -> AsyncIterator[None]:
    """Let what runs inside the block look names up where the application does; in an open transaction.

    Where it fails, the path is as before once the transaction or savepoint is rolled back.
    """
    await conn.execute(LOOK_UP_IN, [conn.application_path])
    yield
    await conn.execute(LOOK_UP_IN_OURS)


async def rows_as_application(
    conn: Connection, query: LiteralString | sql.Composable, values: Mapping[str, Any] | None = None
) -> list[DictRow]:
    """The rows of a query of ours that is resolved in our path and runs in the application's; in one round trip.

    So names that it looks up or writes out as it runs are the application's, and code that stands behind the rows finds
    what it names. Its columns are of JSON's types, so that they come whatever bytes the database holds as text.
    """
    text = query if isinstance(query, sql.Composable) else sql.SQL(query)
    if encoding := stored_in(conn):
        text = rows_in_bytes(text, encoding)
    alone = conn.info.transaction_status == TransactionStatus.IDLE
    async with conn.pipeline(), conn.transaction() if alone else nullcontext():
        await conn.execute(sql.SQL("DECLARE agent_rows NO SCROLL CURSOR FOR ") + text, values, prepare=False)
        await conn.execute(LOOK_UP_IN, [conn.application_path])
        found = await conn.execute("FETCH ALL FROM agent_rows")
        await conn.execute("CLOSE agent_rows")
        await conn.execute(LOOK_UP_IN_OURS)
    rows = await found.fetchall()
    return rows_of_bytes(rows, encoding) if encoding else rows
