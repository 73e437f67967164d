"""The composition root, which puts together once what every operation needs.

Module-level objects such as `agent_memory` hold no connection. Each call uses the runtime that it is given, or else
`current_runtime()`, which opens one from the environment at its first use in an event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, LiteralString, Protocol, TypeVar
from weakref import WeakKeyDictionary

from agent.db import Connection, Database, embedded, setup
from agent.db.database import ServerFacts
from agent.db.logins import conninfo_for
from agent.db.queries import fetch_all, fetch_one
from agent.logs import configure_events
from agent.providers.embeddings import create_embedder
from agent.settings import Settings
from agent.types import DataSharing, Embedder, Login, Notifier

if TYPE_CHECKING:
    from agent.providers.chat.client import ChatClient, ChatModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The settings, connections and providers that operations work with.

    `db` holds the agent's tables, and `app` is the application database; they are the same object if both are in one
    database. `model` is None unless the caller gave one; `chat_client()` then creates one from the settings. `claims` are
    those of the Supabase user that the application is read as; the caller sets them, never a model. `notifier` brings
    reminders of waiting approvals to people; without one they are only stored and logged. `masked` says that the user came
    with a key or token that shows no personal values; `outside_model` that another program's model reads the results. `cached` holds the values of
    every `Cache`, such as the compiled graph. `at_close` runs before the connections are closed.
    """

    settings: Settings
    db: Database
    app: Database
    database_id: str
    database_name: str
    tenant_id: str
    user: str
    embedder: Embedder
    model: ChatClient | None = None
    notifier: Notifier | None = None
    claims: Mapping[str, Any] | None = field(default=None, repr=False)
    masked: bool = False
    outside_model: bool = False
    cached: dict[tuple[object, str], Any] = field(default_factory=dict, repr=False, compare=False)
    at_close: list[Callable[[], Awaitable[None]]] = field(default_factory=list, repr=False, compare=False)

    @property
    def shared(self) -> bool:
        """Return whether the application is in the agent's own database; effect and log then commit together."""
        return self.db is self.app

    @property
    def data_sharing(self) -> DataSharing:
        """Return what the model is shown of data: AGENT_DATA_SHARING, or everything if only the built-in model reads it."""
        level = self.settings.data_sharing
        return "rows" if level != "rows" and not self.outside_model and self.chat_client().only_offline else level

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Connect to the agent's tables for this runtime's tenant. Each statement is a transaction of its own."""
        return self.db.tenant(self.tenant_id)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Begin a transaction on the agent's tables for this runtime's tenant."""
        async with self.db.tenant(self.tenant_id) as conn, conn.transaction():
            yield conn

    async def one(self, query: LiteralString, /, **values: Any) -> dict[str, Any] | None:
        """Run a named query on the agent's tables for this tenant, and return its first row, or None."""
        async with self.connection() as conn:
            return await fetch_one(conn, query, {**values, "tenant_id": self.tenant_id})

    async def all(self, query: LiteralString, /, **values: Any) -> list[dict[str, Any]]:
        """Run a named query on the agent's tables for this tenant, and return its rows."""
        async with self.connection() as conn:
            return await fetch_all(conn, query, {**values, "tenant_id": self.tenant_id})

    async def execute(self, query: LiteralString, /, **values: Any) -> int:
        """Run a named query on the agent's tables for this tenant, and return how many rows it changed or read."""
        async with self.connection() as conn:
            return (await conn.execute(query, {**values, "tenant_id": self.tenant_id})).rowcount

    def chat_client(self) -> ChatClient:
        """Return this runtime's chat model. Raises `ConfigurationError` if the settings name none that works."""
        if self.model is not None:
            return self.model
        settings = self.settings  # a turn can have another model than the next one
        key = f"{settings.model} {settings.model_timeout:g} {settings.model_retries}"
        client = _MODEL.get(self, key)
        if client is None:
            from agent.providers.chat.client import create_chat_client  # start-up: it imports LangChain

            client = _MODEL.put(self, create_chat_client(settings), key)
        return client

    def for_tenant(self, tenant_id: str, *, user: str | None = None, masked: bool = False) -> Runtime:
        """Return a runtime with the same connections for another tenant or user."""
        return replace(self, tenant_id=tenant_id, user=user or self.user, masked=masked)

    def reading_as(self, claims: Mapping[str, Any] | None) -> Runtime:
        """Return a runtime that reads the application as the user of `claims`: `{"sub": "...", "role": "authenticated"}`."""
        return replace(self, claims=claims)

    async def close(self) -> None:
        """Run what is to be done at the end, then close every connection."""
        closer = _CLOSER.pop(self)
        if closer is not None and closer is not asyncio.current_task():
            closer.cancel()
        for finish in self.at_close:
            await finish()
        # Remote embedders have a `close`; the protocol does not ask for one.
        close_embedder = getattr(self.embedder, "close", None)
        if close_embedder is not None:
            await close_embedder()
        await self.db.close()
        if not self.shared:
            await self.app.close()


class Cache(Generic[T]):
    """What one module keeps for as long as the connections of a runtime live: one value for each key.

    Runtimes with the same connections share it, also those of other tenants: then the tenant belongs into the key.
    """

    def get(self, runtime: Runtime, key: str = "") -> T | None:
        """Return the value, or None."""
        value: T | None = runtime.cached.get((self, key))
        return value

    def put(self, runtime: Runtime, value: T, key: str = "") -> T:
        """Keep a value, and return it."""
        runtime.cached[self, key] = value
        return value

    def pop(self, runtime: Runtime, key: str = "") -> T | None:
        """Forget the value, and return it, or None."""
        value: T | None = runtime.cached.pop((self, key), None)
        return value


class Scheduler(Protocol):
    """Durable jobs of this process."""

    def runs(self, name: str) -> bool:
        """Return whether the work `name` is among them."""
        ...


# Set while this process runs durable jobs; nobody below the jobs imports them.
SCHEDULER: Cache[Scheduler] = Cache()
_CLOSER: Cache[asyncio.Task[None]] = Cache()
_MODEL: Cache[ChatClient] = Cache()


async def open_runtime(
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
    model: ChatModel | None = None,
    notifier: Notifier | None = None,
) -> Runtime:
    """Open the databases that `settings` name (default: the environment's) and return a runtime on them.

    If they name none, start and migrate the embedded server. `model` is a `ChatClient` or any chat model of LangChain; it
    takes the place of AGENT_MODEL. Raises `OperatorError`s that say what to do.
    """
    settings = settings or Settings.load()
    client = None if model is None else _client_of(model, settings)
    configure_events(settings.log_level, settings.log_format)
    db, app = await asyncio.to_thread(_databases, settings)
    facts = await app.facts("agent_app" if db is app else "agent_reader")
    if embedder is None:
        embedder = create_embedder(settings)
    runtime = Runtime(
        settings=settings,
        db=db,
        app=app,
        database_id=database_id(facts),
        database_name=facts.database,
        tenant_id=settings.tenant_id,
        user=settings.user,
        embedder=embedder,
        model=client,
        notifier=notifier,
        claims=settings.claims,
    )
    _CLOSER.put(runtime, asyncio.create_task(_close_with_the_loop(runtime)))
    return runtime


def _client_of(model: ChatModel, settings: Settings) -> ChatClient:
    from agent.providers.chat.client import as_chat_client  # start-up: it imports LangChain

    return as_chat_client(model, settings)


async def _close_with_the_loop(runtime: Runtime) -> None:
    """Close the runtime when its event loop ends, if nobody has closed it before.

    `asyncio.run` cancels every task at its end and waits for it. A busy worker of a pool ignores that, and ends only when its
    pool is closed.
    """
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        if _CLOSER.get(runtime) is not None:
            await runtime.close()
        raise


def database_id(facts: ServerFacts) -> str:
    """Return a stable name for an application database: its own name and a hash of its identity."""
    return f"{facts.database}-{hashlib.sha256(facts.identity.encode()).hexdigest()[:8]}"


def _databases(settings: Settings) -> tuple[Database, Database]:
    secret = settings.secret.get_secret_value() if settings.secret else None
    admin = settings.database_url.get_secret_value() if settings.database_url else None
    if settings.embedded:
        secret, admin = _embedded(settings)
    db = _database(settings, admin, secret)
    if settings.app_database_url is None:
        return db, db
    return db, _database(settings, settings.app_database_url.get_secret_value(), secret)


def _embedded(settings: Settings) -> tuple[str, str]:
    from agent.db import migrations  # start-up: it imports the parser of SQL

    secret = settings.secret.get_secret_value() if settings.secret else embedded.read_or_make_secret(settings.home)
    admin = embedded.start(settings.home, secret)
    # Only one process at a time, or another would find the tables without the logins. A killed process can leave them so.
    with embedded.exclusively(settings.home):
        if migrations.migrate(admin) or not setup.is_set_up(admin):
            setup.give_rights(settings, admin, secret)
    return secret, admin


def _database(settings: Settings, admin: str | None, secret: str | None) -> Database:
    def conninfo(login: Login) -> str:
        return conninfo_for(settings, login, admin=admin, secret=secret)

    return Database(conninfo, allow_bypass_rls=settings.reader_bypass_rls)


_current: ContextVar[Runtime | None] = ContextVar("agent_runtime", default=None)
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Runtime]] = WeakKeyDictionary()


async def current_runtime() -> Runtime:
    """Return the runtime set by `use_runtime`, else one opened from the environment and kept for this event loop."""
    runtime = _current.get()
    if runtime is not None:
        return runtime
    loop = asyncio.get_running_loop()
    task = _opened.get(loop)
    if task is None or (task.done() and not _is_open(task)):
        task = _opened[loop] = loop.create_task(open_runtime())
    return await asyncio.shield(task)


def _is_open(opened: asyncio.Task[Runtime]) -> bool:
    return not opened.cancelled() and opened.exception() is None and _CLOSER.get(opened.result()) is not None


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[Runtime]:
    """Make `runtime` the current one for the calls inside the `with` block (and the tasks started there)."""
    token = _current.set(runtime)
    try:
        yield runtime
    finally:
        _current.reset(token)
