"""One Postgres database, reached by the four logins: a pool each, opened at first use."""

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

from agent.db.failures import check_not_transaction_pooler, connection_failure, in_a_log, operator_errors, without_words
from agent.db.logins import redacted
from agent.db.paths import CLIENT_ENCODING, CONNECT_TIMEOUT, OURS, WITH_OUR_TABLES, Connection, path_setting
from agent.db.queries import fetch_one
from agent.errors import AgentError, ConfigurationError, DatabaseUnavailable, SetupRequired
from agent.types import Login

_log = structlog.get_logger(__name__)
MINIMUM_VERSION = 150_000
# At most this many at once, a process: a round's reads run side by side, an assessment is over at once.
POOL_SIZES: dict[Login, int] = {"agent_app": 10, "agent_assessor": 3, "agent_reader": 10, "agent_actor": 5}
_WIPE_TIMEOUT = 5
# A statement, not an option of the connection: poolers refuse those.
_SET_OURS: LiteralString = f"SET search_path = {OURS}"
# Our own queries expect these, whatever the database's administrator prefers for applications.
_USUAL_SETTINGS: LiteralString = """
SELECT set_config('datestyle', 'ISO, YMD', false), set_config('intervalstyle', 'postgres', false),
       set_config('extra_float_digits', '1', false), set_config('row_security', 'on', false),
       set_config('idle_in_transaction_session_timeout', %s, false)
"""
# A transaction on the agent's own tables waits for nothing outside: one that stands still so long belongs to a process that
# does, and the server ends it, so that its locks hold up nobody else.
_MOST_IDLE_MS = 60_000
# These run statements of others: what one leaves in its session, prepared statements included, is gone before the next.
_WIPED: frozenset[Login] = frozenset({"agent_reader", "agent_actor"})


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a login sees of its server, asked once.

    `search_path` are the schemas where the login looked names up by itself when it was asked: the application's path.
    """

    version: int
    database: str
    identity: str
    read_only: bool
    login: str
    search_path: tuple[str, ...]
    bypasses_rls: bool


class Database:
    """Pools of one database. `conninfo(login)` names the connection; nothing is opened before the first use.

    Connections are in autocommit mode with dict rows: whoever needs a transaction opens one.
    """

    def __init__(self, conninfo: Callable[[Login], str], *, allow_bypass_rls: bool = False) -> None:
        self._conninfo = conninfo
        self._allow_bypass_rls = allow_bypass_rls
        self._pools: dict[Login, AsyncConnectionPool[Connection]] = {}
        self._facts: dict[Login, ServerFacts] = {}
        # Which tenant an agent_app connection shows, so that it is told only when that changes.
        self._tenants: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        self._returning: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def connection(self, login: Login) -> AsyncIterator[Connection]:
        """A pooled connection in autocommit mode that shows no tenant.

        Statement errors pass with their `diag`, and without the server's words: these may quote rows.
        """
        pool, conn = await self._take(login)
        try:
            if self._tenants.pop(conn, None) is not None:
                await conn.execute("reset agents.tenant_id")
            yield conn
        except psycopg.Error as error:
            without_words(error)
            raise
        finally:
            if login in _WIPED:  # beside what the caller does next
                task = asyncio.create_task(_wipe_and_return(conn, pool))
                self._returning.add(task)
                task.add_done_callback(self._returning.discard)
            else:
                await pool.putconn(conn)

    async def _take(self, login: Login) -> tuple[AsyncConnectionPool[Connection], Connection]:
        pool = self._pools.get(login) or await self._open(login)
        try:
            # The pool's own check would wait longer after each connection that it finds closed.
            while _is_closed(conn := await pool.getconn()):
                await pool.putconn(conn)
        except PoolTimeout as error:
            raise await self._why_none(login, pool) from error
        return pool, conn

    async def _why_none(self, login: Login, pool: AsyncConnectionPool[Connection]) -> AgentError:
        """Why the pool had no connection to give: the server is away, or all are in use.

        A pool that lost its server waits longer and longer between its attempts; it is given up, so that the next use
        asks the server at once.
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
        """A connection as agent_app on which row-level security shows the rows of `tenant_id`; autocommit.

        Each statement is a transaction of its own, in one round trip; for more, open `conn.transaction()`.
        Raises `DatabaseUnavailable` or `SetupRequired` where an operator must act; other driver errors pass.
        """
        with operator_errors(ours=True):
            pool, conn = await self._take("agent_app")
            try:
                if self._tenants.get(conn) != tenant_id:
                    self._tenants[conn] = ""  # whatever happens to the next statement, it is not known to be another's
                    await conn.execute("select set_config('agents.tenant_id', %s, false)", [tenant_id])
                    self._tenants[conn] = tenant_id
                yield conn
            finally:
                await pool.putconn(conn)

    async def facts(self, login: Login = "agent_app") -> ServerFacts:
        """The server's version and identity, as `login` sees them."""
        if login not in self._facts:
            await self._open(login)
        return self._facts[login]

    async def terminate(self, login: Login, pid: int) -> None:
        """End the session `pid` of `login`, as that login, on a connection outside of the pool."""
        async with await connect(self._conninfo(login)) as conn:
            await conn.execute("select pg_terminate_backend(%s)", [pid])

    async def close(self) -> None:
        """Close every pool, for good: whoever is still at work with it finds none anymore."""
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
                    "The connections were closed, and work that needs them went on; open a new runtime."
                )
            conninfo = self._conninfo(login)
            check_not_transaction_pooler(conninfo)
            # A first connection outside the pool: its failure has a cause to report, a pool's time-out has none.
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
                    "prepare_threshold": None if login in _WIPED else 5,
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
    """One connection outside any pool, in autocommit mode with dict rows, that looks names up in our path."""
    conn = await _connect(conninfo)
    await conn.execute(_SET_OURS)
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
    """Where a new session's names are looked up by itself, whatever set that: the login, the database or the server."""
    row = await fetch_one(conn, "SELECT pg_catalog.current_schemas(false) AS schemas")
    return tuple(name for name in (row["schemas"] if row else ()) if not name.startswith("pg_temp_"))


async def _settle(conn: Connection, login: Login, application_path: str = OURS) -> None:
    """Make a session ours: nobody else decides what the names in our queries mean, nor how values are written."""
    conn.application_path = application_path
    await conn.execute(f"SET search_path = {WITH_OUR_TABLES}" if login == "agent_app" else _SET_OURS)
    if login == "agent_app":
        await conn.execute(_USUAL_SETTINGS, [str(_MOST_IDLE_MS)])


async def roll_back(conn: Connection, *, unlock: bool = False) -> None:
    """Roll back what `conn` has begun, and keep its prepared statements, which psycopg's own way would drop.

    With `unlock` the session's advisory locks go too, which a rollback keeps.
    """
    if conn.pgconn.transaction_status != TransactionStatus.IDLE and not conn.closed:
        await conn.wait(
            _roll_back(conn.pgconn, b"ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()" if unlock else b"ROLLBACK")
        )


def _roll_back(pgconn: PGconn, command: bytes) -> PQGen[None]:
    pgconn.send_query(command)
    yield from generators.execute(pgconn)


def _is_closed(conn: Connection) -> bool:
    """Whether the server has closed an idle connection: after a restart, say.

    Looks only at what has arrived, which is nothing in good times: it costs no round trip.
    """
    arrived = select.poll()
    try:
        arrived.register(conn.pgconn.socket, select.POLLIN)
        while arrived.poll(0):  # more than once: the server's last words come before the end
            conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


async def _wipe_and_return(conn: Connection, pool: AsyncConnectionPool[Connection]) -> None:
    """End the transaction, forget the session's state, and give the connection back; one that does not let itself is closed."""
    try:
        async with asyncio.timeout(_WIPE_TIMEOUT):
            await conn.rollback()
            await conn.execute("DISCARD ALL")
            await conn.execute(_SET_OURS)
    except (psycopg.Error, TimeoutError) as error:
        if not conn.closed:
            _log.warning("connection_closed", error=in_a_log(error))
            await conn.close()
    await pool.putconn(conn)


_INSPECT = """
SELECT current_setting('server_version_num')::int AS version, current_database() AS database, session_user AS login,
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
            "Use the login that `agent setup` makes; DATABASE_URL is only for set-up and migrations."
        )
    if row["rolbypassrls"] and not (login == "agent_reader" and allow_bypass_rls):
        raise ConfigurationError(f"The login {login!r} has BYPASSRLS. Run `alter role {login} nobypassrls`.")
    if row["replica"] and login == "agent_app":
        raise DatabaseUnavailable(
            "The database of the agent's own tables is a read replica: point DATABASE_URL at the primary server. "
            "A replica can be the application that is only read: APP_DATABASE_URL."
        )
    identity = await _identity(conn, row)
    return ServerFacts(
        version=row["version"], database=row["database"], identity=identity, read_only=row["replica"],
        login=row["login"], search_path=search_path, bypasses_rls=row["rolbypassrls"],
    )  # fmt: skip


async def _identity(conn: Connection, row: DictRow) -> str:
    """What tells this database from others: our own installation's mark, which a backup keeps, else the server's numbers."""
    if row["installed"]:
        own = await fetch_one(conn, "select agents.installation_id() as id")
        return str(own["id"]) if own else ""
    if row["may_identify"]:
        system = await fetch_one(conn, "select system_identifier from pg_control_system()")
        return f"{system['system_identifier']}/{row['database_oid']}" if system else str(row["database_oid"])
    return str(row["database_oid"])
