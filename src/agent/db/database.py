"""Connects to one Postgres database with the four logins: each has a connection pool, opened at first use."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import LiteralString
from weakref import WeakKeyDictionary

import psycopg
import structlog
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agent.db.failures import (
    check_not_transaction_pooler,
    connection_failure,
    log_message,
    operator_errors,
    remove_message,
)
from agent.db.logins import redacted
from agent.db.paths import CLIENT_ENCODING, CONNECT_TIMEOUT, OURS, WITH_OUR_TABLES, Connection, path_setting
from agent.db.queries import fetch_one
from agent.errors import AgentError, ConfigurationError, DatabaseUnavailable, SetupRequired
from agent.types import Login

_log = structlog.get_logger(__name__)
MINIMUM_VERSION = 150_000
# The most connections of one process. The reads of a round run in parallel; an assessment is short.
POOL_SIZES: dict[Login, int] = {"agent_app": 10, "agent_assessor": 3, "agent_reader": 10, "agent_actor": 5}
_DISCARD_TIMEOUT = 5
# A statement, not an option of the connection: poolers refuse those.
_SET_OURS: LiteralString = f"SET search_path = {OURS}"
# Our own queries expect these, whatever the database's administrator prefers for applications.
_USUAL_SETTINGS: LiteralString = """
SELECT set_config('datestyle', 'ISO, YMD', false), set_config('intervalstyle', 'postgres', false),
       set_config('extra_float_digits', '1', false), set_config('row_security', 'on', false),
       set_config('idle_in_transaction_session_timeout', %s, false)
"""
# A transaction on the agent's own tables waits for nothing outside of the database. One that is idle for so long belongs to
# a process that hangs; the server ends it, so that its locks block nobody else.
_MAX_IDLE_MS = 60_000
# These logins run statements of others: the session's state, prepared statements included, is discarded after each use.
_DISCARD_AFTER_USE: frozenset[Login] = frozenset({"agent_reader", "agent_actor"})


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The facts of the server as one login sees them, read once.

    `search_path` are the schemas of the login's own search path at that time: the application's path.
    """

    version: int
    database: str
    identity: str
    read_only: bool
    login: str
    search_path: tuple[str, ...]
    bypasses_rls: bool
    time_zone: str


class Database:
    """The connection pools of one database. `conninfo(login)` returns the connection string; each pool opens at its first use.

    Connections are in autocommit mode with dict rows: a caller that needs a transaction opens one.
    """

    def __init__(self, conninfo: Callable[[Login], str], *, allow_bypass_rls: bool = False) -> None:
        self._conninfo = conninfo
        self._allow_bypass_rls = allow_bypass_rls
        self._pools: dict[Login, AsyncConnectionPool[Connection]] = {}
        self._facts: dict[Login, ServerFacts] = {}
        # The tenant that each agent_app connection is set to, so that it is set only when it changes.
        self._tenants: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        self._returning: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def connection(self, login: Login) -> AsyncIterator[Connection]:
        """Yield a pooled connection in autocommit mode on which no tenant is set.

        Statement errors pass with their `diag`, but without the server's message, which may quote rows.
        """
        pool, conn = await self._take(login)
        try:
            if self._tenants.pop(conn, None) is not None:
                await conn.execute("reset agents.tenant_id")
            yield conn
        except psycopg.Error as error:
            remove_message(error)
            raise
        finally:
            if login in _DISCARD_AFTER_USE:  # in the background: the caller need not wait
                task = asyncio.create_task(_discard_and_return(conn, pool))
                self._returning.add(task)
                task.add_done_callback(self._returning.discard)
            else:
                await pool.putconn(conn)

    async def _take(self, login: Login) -> tuple[AsyncConnectionPool[Connection], Connection]:
        pool = self._pools.get(login) or await self._open(login)
        try:
            # The pool's own check waits longer after each closed connection.
            while _is_closed(conn := await pool.getconn()):
                await pool.putconn(conn)
        except PoolTimeout as error:
            raise await self._pool_failure(login, pool) from error
        return pool, conn

    async def _pool_failure(self, login: Login, pool: AsyncConnectionPool[Connection]) -> AgentError:
        """Return the error for a pool that had no connection to give: the server is unreachable, or all are in use.

        A pool that lost its server waits longer after each attempt. It is closed, so that the next use connects at once.
        """
        conninfo = self._conninfo(login)
        reason: AgentError = DatabaseUnavailable(
            f"No connection to {redacted(conninfo)} became free within {CONNECT_TIMEOUT} s; try again."
        )
        try:
            async with await connect(conninfo):
                pass
        except psycopg.OperationalError as error:
            reason = connection_failure(error, conninfo)
        if pool.get_stats()["pool_size"] < POOL_SIZES[login] and self._pools.get(login) is pool:
            del self._pools[login]
            await pool.close(timeout=0)
        return reason

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Yield a connection as agent_app on which row-level security shows the rows of `tenant_id`; autocommit.

        Each statement is a transaction of its own, in one round trip; for more, open `conn.transaction()`.
        Raises `DatabaseUnavailable` or `SetupRequired` where an operator must act; other driver errors pass.
        """
        with operator_errors(ours=True):
            pool, conn = await self._take("agent_app")
            try:
                if self._tenants.get(conn) != tenant_id:
                    self._tenants[conn] = ""  # if the next statement fails, the tenant is unknown
                    await conn.execute("select set_config('agents.tenant_id', %s, false)", [tenant_id])
                    self._tenants[conn] = tenant_id
                yield conn
            finally:
                await pool.putconn(conn)

    def conninfo(self, login: Login) -> str:
        """Return the connection string of `login`, for a connection outside of the pools."""
        return self._conninfo(login)

    def target(self, login: Login) -> str:
        """Return where `login` connects to, without its password."""
        return redacted(self._conninfo(login))

    async def facts(self, login: Login = "agent_app") -> ServerFacts:
        """Return the facts of the server as `login` sees them; connect when they were not read yet."""
        if login not in self._facts:
            await self._open(login)
        return self._facts[login]

    async def terminate(self, login: Login, pid: int) -> None:
        """End the session `pid` of `login`, as that login, on a connection outside of the pool."""
        async with await connect(self._conninfo(login)) as conn:
            await conn.execute("select pg_terminate_backend(%s)", [pid])

    async def close(self) -> None:
        """Close every pool for good. Later uses raise `DatabaseUnavailable`."""
        async with self._opening:
            self._closed = True
        if self._returning:
            await asyncio.wait(self._returning)
        pools = list(self._pools.values())
        self._pools.clear()
        await asyncio.gather(*(pool.close() for pool in pools))

    async def _open(self, login: Login) -> AsyncConnectionPool[Connection]:
        async with self._opening:
            if login in self._pools:
                return self._pools[login]
            if self._closed:
                raise DatabaseUnavailable(
                    "The connections of this runtime were closed while work still needed them; open a new runtime."
                )
            conninfo = self._conninfo(login)
            check_not_transaction_pooler(conninfo)
            # The first connection is outside of the pool: when it fails there is a cause to report; a pool only times out.
            try:
                async with await _connect(conninfo) as conn:
                    schemas = await _own_path(conn)
                    await _settle(conn, login)
                    self._facts[login] = await _inspect(conn, login, schemas, allow_bypass_rls=self._allow_bypass_rls)
            except psycopg.OperationalError as error:
                raise connection_failure(error, conninfo) from error
            pool = AsyncConnectionPool(
                conninfo,
                connection_class=Connection,
                kwargs={
                    "autocommit": True,
                    "row_factory": dict_row,
                    "application_name": "learning-agent",
                    "connect_timeout": CONNECT_TIMEOUT,
                    "client_encoding": CLIENT_ENCODING,
                    "prepare_threshold": None if login in _DISCARD_AFTER_USE else 5,
                },
                min_size=0,
                max_size=POOL_SIZES[login],
                timeout=CONNECT_TIMEOUT,
                reconnect_timeout=CONNECT_TIMEOUT,
                open=False,
                name=login,
                configure=partial(_settle, login=login, application_path=path_setting(self._facts[login].search_path)),
            )
            await pool.open()
            self._pools[login] = pool
            return pool


async def connect(conninfo: str) -> Connection:
    """Open a connection outside of any pool, in autocommit mode with dict rows and with our search path."""
    conn = await _connect(conninfo)
    try:
        await conn.execute(_SET_OURS)
    except BaseException:  # also who is cancelled here must not leave it open
        await conn.close()
        raise
    return conn


async def _connect(conninfo: str) -> Connection:
    return await Connection.connect(
        conninfo,
        autocommit=True,
        row_factory=dict_row,
        application_name="learning-agent",
        connect_timeout=CONNECT_TIMEOUT,
        client_encoding=CLIENT_ENCODING,
    )


async def _own_path(conn: Connection) -> tuple[str, ...]:
    """Return the schemas of a new session's search path, whether the login, the database or the server set it."""
    row = await fetch_one(conn, "SELECT pg_catalog.current_schemas(false) AS schemas")
    return tuple(name for name in (row["schemas"] if row else ()) if not name.startswith("pg_temp_"))


async def _settle(conn: Connection, login: Login, application_path: str = OURS) -> None:
    """Set a session's search path and formats, so that nobody else decides what our queries mean or how values are written."""
    conn.application_path = application_path
    await conn.execute(f"SET search_path = {WITH_OUR_TABLES}" if login == "agent_app" else _SET_OURS)
    if login == "agent_app":
        await conn.execute(_USUAL_SETTINGS, [str(_MAX_IDLE_MS)])


async def roll_back(conn: Connection, *, unlock: bool = False) -> None:
    """Roll back the open transaction of `conn` and keep its prepared statements, which psycopg's own rollback would drop.

    With `unlock`, release the session's advisory locks too; a rollback alone keeps them.
    """
    if conn.pgconn.transaction_status != TransactionStatus.IDLE and not conn.closed:
        await conn.wait(
            _roll_back(conn.pgconn, b"ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()" if unlock else b"ROLLBACK")
        )


def _roll_back(pgconn: PGconn, command: bytes) -> PQGen[None]:
    pgconn.send_query(command)
    yield from generators.execute(pgconn)


def _is_closed(conn: Connection) -> bool:
    """Return whether the server has closed an idle connection, as it does when it restarts.

    It only reads bytes that have already arrived, usually none, so it costs no round trip.
    """
    arrived = select.poll()
    try:
        arrived.register(conn.pgconn.socket, select.POLLIN)
        while arrived.poll(0):  # more than once: the server's last message comes before the end
            conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


async def _discard_and_return(conn: Connection, pool: AsyncConnectionPool[Connection]) -> None:
    """Discard the session's transaction and state and return the connection to its pool; close it when that fails."""
    try:
        async with asyncio.timeout(_DISCARD_TIMEOUT):
            await conn.rollback()
            await conn.execute("DISCARD ALL")
            await conn.execute(_SET_OURS)
    except (psycopg.Error, TimeoutError) as error:
        if not conn.closed:
            _log.warning("connection_closed", error=log_message(error))
            await conn.close()
    await pool.putconn(conn)


_INSPECT = """
SELECT current_setting('server_version_num')::int AS version, current_database() AS database, session_user AS login,
       current_setting('TimeZone') AS time_zone,
       r.rolsuper, r.rolbypassrls,
       pg_is_in_recovery() AS replica, d.oid AS database_oid, r.rolcreaterole,
       has_function_privilege('pg_catalog.pg_control_system()', 'execute') AS may_identify,
       EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname = 'agents' AND p.proname = 'installation_id'
                  AND has_schema_privilege(n.oid, 'usage') AND has_function_privilege(p.oid, 'execute')) AS installed
  FROM pg_roles r, pg_database d
 WHERE r.rolname = session_user AND d.datname = current_database()
"""


async def _inspect(
    conn: Connection, login: Login, search_path: tuple[str, ...], *, allow_bypass_rls: bool
) -> ServerFacts:
    row = await fetch_one(conn, _INSPECT)
    if row is None:
        raise SetupRequired(f"The login {login!r} has no entry in pg_roles. Run `agent setup`.")
    if row["version"] < MINIMUM_VERSION:
        raise ConfigurationError(f"Postgres 15 or newer is needed; this server is {row['version'] // 10_000}.")
    if row["rolsuper"] or row["rolcreaterole"]:
        raise ConfigurationError(
            f"The credentials for {login!r} belong to a superuser or administrator. "
            "Use the login that `agent setup` creates; DATABASE_URL is only for set-up and migrations."
        )
    if row["rolbypassrls"] and not (login == "agent_reader" and allow_bypass_rls):
        raise ConfigurationError(f"The login {login!r} has BYPASSRLS. Run `alter role {login} nobypassrls`.")
    if row["replica"] and login == "agent_app":
        raise DatabaseUnavailable(
            "The database of the agent's own tables is a read replica: point DATABASE_URL at the primary server. "
            "APP_DATABASE_URL may name a replica, of which the agent only reads."
        )
    identity = await _identity(conn, row)
    return ServerFacts(
        version=row["version"], database=row["database"], identity=identity, read_only=row["replica"],
        login=row["login"], search_path=search_path, bypasses_rls=row["rolbypassrls"],
        time_zone=row["time_zone"],
    )  # fmt: skip


async def _identity(conn: Connection, row: DictRow) -> str:
    """Return what identifies this database: our installation's id, which a backup keeps, else the server's own identifiers."""
    if row["installed"]:
        own = await fetch_one(conn, "select agents.installation_id() as id")
        return str(own["id"]) if own else ""
    if row["may_identify"]:
        system = await fetch_one(conn, "select system_identifier from pg_control_system()")
        return f"{system['system_identifier']}/{row['database_oid']}" if system else str(row["database_oid"])
    return str(row["database_oid"])
