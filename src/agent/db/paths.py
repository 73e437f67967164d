"""Sets the search path: the system's schema only for our own SQL, the login's own path for the application's statements.

Postgres prefers an exact match anywhere on the search_path to a built-in function that takes any type, so whoever may
create objects in one of its schemas decides what an unqualified name means. Every session of ours therefore has the path
`OURS`. The application's path is set only while a statement of the application is resolved or run, and while a query of
ours that is already resolved writes names or reads rows as the application would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, TupleRow

from agent.db.encodings import rows_in_bytes, rows_of_bytes, stored_encoding

CONNECT_TIMEOUT = 10
# Statements are sent as UTF-8. The server must not decode them in an encoding that the environment or a login's settings
# choose: in some, a backslash is half of a character, and a string ends elsewhere.
CLIENT_ENCODING = "utf8"
# Postgres searches pg_temp first where the path does not name it.
OURS: LiteralString = "pg_catalog, pg_temp"
# For agent_app: LangGraph's statements name their tables without a schema, and people name ours so. Nobody else may create
# objects in these schemas: `agent migrate` checks that.
WITH_OUR_TABLES: LiteralString = "pg_catalog, agents, agents_checkpoints, pg_temp"
# These change the path, so their names are qualified and mean the same on every path.
LOOK_UP_IN: LiteralString = "SELECT pg_catalog.set_config('search_path', %s, true)"
LOOK_UP_IN_FROM_NOW: LiteralString = "SELECT pg_catalog.set_config('search_path', %s, false)"
LOOK_UP_IN_OURS: LiteralString = (
    "SELECT pg_catalog.current_setting('search_path') AS path,"
    f" pg_catalog.current_schemas(false) AS schemas, pg_catalog.set_config('search_path', '{OURS}', true)"
)


class Connection(AsyncConnection[DictRow]):
    """A session of ours. `application_path` is the login's own search_path, before we set ours."""

    application_path: str = OURS


def open_as_administrator(url: str, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
    """Open a session of the database's administrator, for our own SQL only. Driver errors pass."""
    conn = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT, client_encoding=CLIENT_ENCODING)
    conn.execute(f"SET search_path = {OURS}")
    conn.autocommit = autocommit
    return conn


def path_setting(schemas: Sequence[str]) -> str:
    """Return the value of search_path for these schemas, with pg_temp last, so that temporary objects hide nothing."""
    if not schemas:  # with pg_temp alone a new table would be a temporary one
        return '""'
    return ", ".join('"' + schema.replace('"', '""') + '"' for schema in (*schemas, "pg_temp"))


@asynccontextmanager
async def application_path(conn: Connection) -> AsyncIterator[None]:
    """Set the application's search path while the block runs. Use it inside a transaction.

    When the block fails, the path is restored by the rollback of the transaction or savepoint.
    """
    await conn.execute(LOOK_UP_IN, [conn.application_path])
    yield
    await conn.execute(LOOK_UP_IN_OURS)


async def rows_as_application(
    conn: Connection, query: LiteralString | sql.Composable, values: Mapping[str, Any] | None = None
) -> list[DictRow]:
    """Return the rows of a query of ours that is resolved in our path and runs in the application's; one round trip.

    While it runs, the names that it writes are as the application would write them, and functions that it calls (in views,
    defaults or policies) find what they name. Its columns must be of JSON's types, as for `encodings.all_rows`.
    """
    text = query if isinstance(query, sql.Composable) else sql.SQL(query)
    if encoding := stored_encoding(conn):
        text = rows_in_bytes(text, encoding)
    alone = conn.info.transaction_status == TransactionStatus.IDLE
    async with conn.pipeline(), conn.transaction() if alone else nullcontext():
        await conn.execute(sql.SQL("DECLARE agent_rows NO SCROLL CURSOR FOR ") + text, values, prepare=False)
        await conn.execute(LOOK_UP_IN, [conn.application_path])
        cursor = await conn.execute("FETCH ALL FROM agent_rows")
        await conn.execute("CLOSE agent_rows")
        await conn.execute(LOOK_UP_IN_OURS)
    rows = await cursor.fetchall()
    return rows_of_bytes(rows, encoding) if encoding else rows
