"""The composition root: everything that an operation needs, put together once.

Module-level objects such as `agent_memory` hold no connection; each call uses the runtime it is given, or
`current_runtime()`, which is opened from the environment at first use, one for each event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, LiteralString
from weakref import WeakKeyDictionary

from agent.db import Connection, Database, embedded, setup
from agent.db.database import ServerFacts
from agent.db.logins import conninfo_for
from agent.db.queries import fetch_all, fetch_one
from agent.logs import configure_events
from agent.providers.embeddings import create_embedder
from agent.settings import Settings
from agent.types import Embedder, Login, Notifier

if TYPE_CHECKING:
    from agent.providers.chat.client import ChatClient


_CLOSER = "closer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """`db` holds the agent's tables, `app` is the application database (the same object when they are one).

    `model` is None unless somebody gave one; `chat_client()` then makes it from the settings, once.
    `claims` are those of the Supabase user as whom the application is read: whoever runs the agent says them, never a model.
    `notifier` brings reminders of waiting approvals to people; None: they are stored and logged.
    `made` keeps what upper layers build once for this runtime (the compiled graph); `at_close` is what they still do
    before its connections are closed.
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
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    at_close: list[Callable[[], Awaitable[None]]] = field(default_factory=list, repr=False, compare=False)

    @property
    def shared(self) -> bool:
        """Whether the application lives in the agent's own database: effect and log then commit together."""
        return self.db is self.app

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """The agent's tables, for this runtime's tenant; each statement is a transaction of its own."""
        return self.db.tenant(self.tenant_id)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction on the agent's tables, for this runtime's tenant."""
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
        """The chat model of this runtime. Raises `ConfigurationError`."""
        if self.model is not None:
            return self.model
        if "model" not in self.made:
            from agent.providers.chat.client import create_chat_client  # start-up: it imports LangChain

            self.made["model"] = create_chat_client(self.settings)
        client: ChatClient = self.made["model"]
        return client

    def for_tenant(self, tenant_id: str, *, user: str | None = None) -> Runtime:
        """The same connections for another tenant or user."""
        return replace(self, tenant_id=tenant_id, user=user or self.user)

    def reading_as(self, claims: Mapping[str, Any] | None) -> Runtime:
        """The same connections, read as the Supabase user of these claims: `{"sub": "...", "role": "authenticated"}`."""
        return replace(self, claims=claims)

    async def close(self) -> None:
        """Close every connection."""
        closer: asyncio.Task[None] | None = self.made.pop(_CLOSER, None)
        if closer is not None and closer is not asyncio.current_task():
            closer.cancel()
        for finish in self.at_close:
            await finish()
        # Embedders that call out have one; the protocol asks only for what callers use.
        close_embedder = getattr(self.embedder, "close", None)
        if close_embedder is not None:
            await close_embedder()
        await self.db.close()
        if not self.shared:
            await self.app.close()


async def open_runtime(
    settings: Settings | None = None,
    *,
    embedder: Embedder | None = None,
    model: ChatClient | None = None,
    notifier: Notifier | None = None,
) -> Runtime:
    """Open the databases that `settings` name (default: the environment) and put a runtime together.

    The embedded server is started and migrated when it is used. Raises `OperatorError`s that say what to do.
    """
    settings = settings or Settings.load()
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
        model=model,
        notifier=notifier,
        claims=settings.claims,
    )
    runtime.made[_CLOSER] = asyncio.create_task(_close_with_the_loop(runtime))
    return runtime


async def _close_with_the_loop(runtime: Runtime) -> None:
    """Close what nobody has closed when the event loop ends, which cancels every task and waits for it.

    A pool's worker that is at work then takes no notice: only its closed pool ends it, and `asyncio.run`.
    """
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        if _CLOSER in runtime.made:
            await runtime.close()
        raise


def database_id(facts: ServerFacts) -> str:
    """A stable name of one application database: its own name and a hash of its identity."""
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
    # One process at a time: the others would find the tables and no logins yet. So would everybody after a kill.
    with embedded.exclusively(settings.home):
        if migrations.migrate(admin) or not setup.is_set_up(admin):
            setup.give_rights(settings, admin, secret)
    return secret, admin


def _database(settings: Settings, admin: str | None, secret: str | None) -> Database:
    def conninfo(login: Login) -> str:
        return conninfo_for(settings, login, admin=admin, secret=secret)

    return Database(conninfo, allow_bypass_rls=settings.reader_bypass_rls)


_chosen: ContextVar[Runtime | None] = ContextVar("agent_runtime", default=None)
_opened: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Runtime]] = WeakKeyDictionary()


async def current_runtime() -> Runtime:
    """The runtime chosen by `use_runtime`, else one opened from the environment and kept for this event loop."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    loop = asyncio.get_running_loop()
    task = _opened.get(loop)
    if task is None or (task.done() and not _is_open(task)):
        task = _opened[loop] = loop.create_task(open_runtime())
    return await asyncio.shield(task)


def _is_open(opened: asyncio.Task[Runtime]) -> bool:
    return not opened.cancelled() and opened.exception() is None and _CLOSER in opened.result().made


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[Runtime]:
    """Make `runtime` the current one for the calls inside the `with` block (and the tasks started there)."""
    token = _chosen.set(runtime)
    try:
        yield runtime
    finally:
        _chosen.reset(token)
