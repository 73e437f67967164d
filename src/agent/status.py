"""Check how the agent is set up and what needs attention, for `agent status`.

Each part is checked separately, so that the report is complete even if the database is down, not migrated or not set up. A
part that fails becomes a line of `fix` with the error's own sentence, which says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from typing import Literal, TypeVar

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.concurrency import gather_or_cancel
from agent.db import Database, migrations
from agent.db.failures import connection_failure
from agent.db.logins import redacted
from agent.db.paths import open_as_administrator
from agent.errors import AgentError, DatabaseUnavailable
from agent.execution import effects
from agent.execution.controls import ControlState, controls
from agent.execution.guards.conditions import guards_now, sentences
from agent.execution.log import executions
from agent.learning.auto_discover import auto_discovery, rls_hiding_tables
from agent.learning.discovery.deny_list_check import UnmatchedName, unmatched_names
from agent.learning.discovery.exposed_views import ExposedView, exposed_views
from agent.learning.discovery.secret_columns import deny_line, secret_columns
from agent.learning.memory import agent_memory
from agent.learning.memory.check import check_memory
from agent.monitoring.continuous_monitor import continuous_monitor
from agent.operations.doctor import unknown_reasons
from agent.providers.chat.builders import OFFLINE
from agent.providers.chat.client import create_chat_client
from agent.providers.embeddings import create_embedder
from agent.providers.mail import route_of
from agent.runtime import Runtime, open_runtime
from agent.sandbox.sandbox import Sandbox
from agent.settings import Settings
from agent.types import LOGINS, Login

Result = TypeVar("Result")

_MOST_NAMED = 10
_HOW_TO_SEE_ROWS = (
    "Add a policy for agent_reader, set AGENT_READER_BYPASS_RLS=true, or read as one of the application's users "
    "(AGENT_READ_AS_ROLE, AGENT_READ_AS_CLAIMS), and run"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A problem that needs attention, and the command that solves it ('' if there is none)."""

    problem: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """The agent's own database. `pending` lists its pending migrations; None if that needs an administrator's URL."""

    where: str
    embedded: bool
    reachable: bool = False
    version: str | None = None
    pending: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationStatus:
    """The application database, as last discovered.

    `changed` says that its catalogs have changed since then, and `other_rules` that the settings now keep other parts of them.
    Row-level security hides every row of the `blind` tables from agent_reader, and some rows of the `partly_hidden` ones.
    `exposed` lists the views that show more. `secrets` lists the secret columns, and `deny_line` is the setting that denies
    them altogether. `unreadable` lists what agent_reader has no right to read.
    """

    database_id: str
    where: str
    tables: int = 0
    views: int = 0
    functions: int = 0
    discovered_at: datetime | None = None
    changed: bool = False
    other_rules: bool = False
    blind: tuple[str, ...] = ()
    partly_hidden: tuple[str, ...] = ()
    exposed: tuple[ExposedView, ...] = ()
    secrets: tuple[str, ...] = ()
    deny_line: str = ""
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """The names of the chat model and the embedder, and what the embedder can do."""

    chat: str
    offline: bool
    embedder: str
    dimensions: int
    semantic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MailStatus:
    """Where mail is sent, and from which address. `kind` is None if mail is not set up. Mail to `domains` is not HIGH risk."""

    kind: Literal["smtp", "outbox"] | None = None
    place: str = ""
    sender: str = ""
    domains: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole report. A part that could not be checked is None."""

    version: str
    tenant: str
    user: str
    database: DatabaseStatus
    logins: dict[Login, str] = field(default_factory=dict)
    application: ApplicationStatus | None = None
    models: ModelStatus | None = None
    mail: MailStatus | None = None
    sandbox: str | None = None
    memories: dict[str, int] | None = None
    pending_approvals: int | None = None
    approved_waiting: tuple[int, ...] | None = None  # approved, and not carried out yet
    switches: ControlState | None = None
    conditions: tuple[str, ...] = ()  # the environment, a freeze window, an open break-glass
    fix: tuple[Fix, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether nothing needs attention."""
        return not self.fix

    @property
    def usable(self) -> bool:
        """Return whether a question could be answered now."""
        logins = bool(self.logins) and all(state == "ok" for state in self.logins.values())
        tables = not self.database.pending and self.memories is not None
        return self.database.reachable and tables and logins and self.models is not None


class _Check:
    """The problems found so far, each one once."""

    def __init__(self) -> None:
        self.fixes: list[Fix] = []

    def note(self, problem: str, command: str = "") -> None:
        if all(fix.problem != problem for fix in self.fixes):
            self.fixes.append(Fix(problem=problem, command=command))

    async def of(self, check: Awaitable[Result], *, command: str = "") -> Result | None:
        """Return the result of `check`; if it fails, note the error with the `command` that solves it and return None."""
        try:
            return await check
        except AgentError as error:
            self.note(str(error), command)
            return None


async def check_status(settings: Settings) -> Status:
    """Check every part and return the report. An error in a part is in the report and is not raised.

    Nothing changes, except that the embedded database is started and migrated.
    """
    check = _Check()
    for problem in ignored_settings(settings):
        check.note(problem, "agent setup")
    for problem in (*unknown_reasons(settings.refuse), *settings.url_hints):
        check.note(problem)
    models = await check.of(_models(settings))
    mail = await check.of(_mail(settings))
    sandbox, runtime = await gather_or_cancel(check.of(_sandbox(settings)), check.of(open_runtime(settings)))
    database = await _database(settings, runtime, check)
    status = Status(
        version=version("learning-agent"), tenant=settings.tenant_id, user=settings.user, database=database, models=models,
        mail=mail, sandbox=sandbox,
    )  # fmt: skip
    if runtime is not None:
        try:
            status = await _with_database(status, runtime, check)
        finally:
            await runtime.close()
    return replace(status, fix=tuple(check.fixes))


async def _with_database(status: Status, runtime: Runtime, check: _Check) -> Status:
    """Add to `status` the parts that need an open database."""
    logins = await _logins(runtime, check)
    if status.database.pending:  # the tables may be missing, and the pending migrations are reported already
        return replace(status, logins=logins)
    memories = await check.of(agent_memory.counts(runtime=runtime))
    if memories is not None and await check.of(_memory_works(runtime), command="agent setup") is None:
        memories = None
    pending = await check.of(human_approval_queue.get_pending_approvals(runtime=runtime))
    approved = await check.of(effects.left_over(runtime=runtime))
    unknown = await check.of(executions.unknown(runtime=runtime))
    switches = await check.of(controls.state(runtime=runtime))
    guards = await check.of(guards_now(runtime))
    unsealed = await check.of(audit_log.unsealed(runtime=runtime))
    monitor = await check.of(continuous_monitor.health(runtime=runtime))
    if monitor is not None and monitor.problem:
        check.note(monitor.problem, "agent serve")
    application = unmatched = None
    if logins.get("agent_reader") == "ok":
        application = await check.of(_application(runtime))
        unmatched = await check.of(unmatched_names(runtime=runtime))
    _advise(check, application, memories, switches)
    for name in unmatched or ():
        check.note(_unmatched_message(name))
    _advise_on_logs(check, unsealed=unsealed, unknown=unknown)
    return replace(
        status, logins=logins, application=application, memories=memories,
        pending_approvals=None if pending is None else len(pending),
        approved_waiting=None if approved is None else tuple(approved), switches=switches,
        conditions=sentences(guards, environment=runtime.settings.environment) if guards else (),
    )  # fmt: skip


def ignored_settings(settings: Settings) -> list[str]:
    """Return a sentence for each group of settings that has no effect, with what is missing."""
    if not settings.embedded or not (settings.supabase_url or settings.supabase_anon_key):
        return []
    problem = (
        "SUPABASE_URL and SUPABASE_ANON_KEY do not reach the project's Postgres, so the embedded database is used. Set "
        "DATABASE_URL to the project's direct or session-pooler URL, and AGENT_SECRET, and run"
    )
    return [problem]


def _unmatched_message(name: UnmatchedName) -> str:
    if name.is_glob:
        return f"{name.part!r} in AGENT_DENY fits nothing now: no table, view or column has such a name yet."
    what = "table, view or column of that name" if "." in name.part else "table or view of that name"
    how = "" if "." in name.part else " A column is written table.column."
    return (
        f"AGENT_DENY names {name.part!r}, and there is no {what}, so it keeps nothing from a model."
        f"{_suggestion(name.nearest)}{how} Write the name that is meant, or take it out."
    )


def _suggestion(name: str) -> str:
    return f" Is {name!r} meant?" if name else ""


async def _memory_works(runtime: Runtime) -> bool:
    await check_memory(runtime=runtime)
    return True


async def _models(settings: Settings) -> ModelStatus:
    client, embedder = create_chat_client(settings), create_embedder(settings)
    # A remote embedder knows its dimensions only after it has embedded something.
    dimensions = 0 if embedder.remote else embedder.dimensions
    return ModelStatus(
        chat=client.name, offline=client.name == OFFLINE, embedder=embedder.model, dimensions=dimensions,
        semantic=embedder.semantic,
    )  # fmt: skip


async def _mail(settings: Settings) -> MailStatus:
    route = route_of(settings)
    if route is None:
        return MailStatus()
    return MailStatus(kind=route.kind, place=route.place, sender=route.sender, domains=settings.email_domains)


async def _sandbox(settings: Settings) -> str:
    """Start a worker of the sandbox, and return a description of what confines created tools."""
    sandbox = Sandbox.of(settings)
    try:
        return await sandbox.probe()
    finally:
        await sandbox.close()


async def _database(settings: Settings, runtime: Runtime | None, check: _Check) -> DatabaseStatus:
    where = str(settings.home) if settings.embedded else _where(settings)
    version = None
    if runtime is not None:
        facts = await check.of(runtime.db.facts())
        version = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}" if facts else None
    pending: tuple[str, ...] | None = () if settings.embedded and runtime is not None else None
    if settings.database_url is not None:
        try:
            pending = await asyncio.to_thread(_pending, settings.database_url.get_secret_value())
        except AgentError as error:
            # If the server cannot be reached, opening the runtime has reported that already.
            if runtime is not None or not isinstance(error, DatabaseUnavailable):
                check.note(str(error))
    if pending:
        check.note(f"Migrations not applied yet: {', '.join(pending)}.", "agent migrate")
    return DatabaseStatus(
        where=where, embedded=settings.embedded, reachable=version is not None, version=version, pending=pending
    )


def _where(settings: Settings) -> str:
    url = settings.database_url or settings.app_url
    assert url is not None  # noqa: S101  # without a URL the embedded database is used
    return redacted(url.get_secret_value())


def _pending(admin: str) -> tuple[str, ...]:
    try:
        with open_as_administrator(admin, autocommit=True) as conn:
            return tuple(migration.version for migration in migrations.pending_migrations(conn))
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin) from error


async def _logins(runtime: Runtime, check: _Check) -> dict[Login, str]:
    return {login: await _login(runtime.db if login == "agent_app" else runtime.app, login, check) for login in LOGINS}


async def _login(database: Database, login: Login, check: _Check) -> str:
    try:
        await database.facts(login)
    except AgentError as error:
        check.note(str(error), "agent setup")
        return str(error)
    return "ok"


async def _application(runtime: Runtime) -> ApplicationStatus:
    facts = await runtime.app.facts("agent_reader")
    structure = await auto_discovery.get_cached_structure(runtime=runtime)
    secrets = tuple((await secret_columns(runtime)).names())
    hiding = await rls_hiding_tables(runtime=runtime)
    status = ApplicationStatus(
        database_id=runtime.database_id, where=facts.database, secrets=secrets,
        deny_line=deny_line(secrets, runtime.settings.deny),
        blind=tuple(name for name, hides_all in hiding.items() if hides_all),
        partly_hidden=tuple(name for name, hides_all in hiding.items() if not hides_all),
        exposed=tuple(await exposed_views(runtime=runtime)),
    )  # fmt: skip
    if not structure:
        return status
    return replace(
        status,
        tables=len(structure["tables"]),
        views=len(structure["views"]),
        functions=len(structure["functions"]),
        discovered_at=datetime.fromisoformat(structure["discovered_at"]),
        changed=await auto_discovery.has_changed(runtime=runtime),
        other_rules=await auto_discovery.has_other_rules(runtime=runtime),
        unreadable=tuple(structure["unreadable"]),
    )


def _advise(
    check: _Check,
    application: ApplicationStatus | None,
    memories: dict[str, int] | None,
    switches: ControlState | None,
) -> None:
    if application is not None:
        _advise_on_application(check, application)
    if memories and memories.get("unembedded"):
        check.note(
            f"{memories['unembedded']:,} memories wait for their embedding; words find them meanwhile.",
            "agent discover",
        )
    if switches is not None and (switches.stopped or switches.read_only):
        check.note("The agent is stopped." if switches.stopped else "The agent is read-only.", "agent resume")


def _advise_on_logs(check: _Check, *, unsealed: float | None, unknown: int | None) -> None:
    if unsealed:
        check.note(
            f"Entries of the audit log wait to be sealed, the oldest for {unsealed:,.0f} s: a process died, or has no key "
            "(AGENT_AUDIT_KEY or AGENT_SECRET).",
            "agent audit seal",
        )
    if unknown:
        check.note(
            f"Executions whose outcome is not known: {unknown:,}. Look whether they happened, then say so (agent executions settle).",
            "agent executions list --status unknown",
        )


def _advise_on_application(check: _Check, application: ApplicationStatus) -> None:
    if application.discovered_at is None:
        check.note("The application was not discovered yet; the first question does it, or", "agent discover")
    elif not application.tables and not application.views:
        check.note(
            f"There is no table of an application in {application.where}, so there is nothing to ask about. DATABASE_URL or "
            "APP_DATABASE_URL names another database; without them, `agent demo` loads invented data to try the agent on."
        )
    if application.other_rules:
        check.note(
            "AGENT_DENY, AGENT_APP_SCHEMAS or AGENT_MASK_PERSONAL is another one than when the application was discovered; "
            "the next question notices, or",
            "agent discover",
        )
    elif application.changed:
        check.note(
            "The application's structure has changed since it was discovered; the next question notices, or",
            "agent discover",
        )
    _advise_on_row_security(check, application)
    exposed = {view.name for view in application.exposed}
    unreadable = [name for name in application.unreadable if name not in exposed]
    if unreadable:
        check.note(
            f"agent_reader has no right to read {_named(unreadable)}. If it is to, this grants it:", "agent setup"
        )


def _advise_on_row_security(check: _Check, application: ApplicationStatus) -> None:
    if application.blind:
        check.note(
            f"Row-level security hides every row of {_named(application.blind)} from agent_reader, so these tables look empty. "
            f"{_HOW_TO_SEE_ROWS}",
            "agent setup",
        )
    if application.partly_hidden:
        check.note(
            f"Row-level security hides rows of {_named(application.partly_hidden)} from agent_reader: answers are about the "
            f"others, and say so. {_HOW_TO_SEE_ROWS}",
            "agent setup",
        )
    if application.exposed:
        views = _named([f"{view.name} ({view.why})" for view in application.exposed])
        granted = any(view.granted for view in application.exposed)
        revoke = "agent_reader may read them; this takes the right away:" if granted else ""
        check.note(
            f"Whoever may use the application's API may select from views that show more than policies would: {views}. Make each "
            "`security_invoker`, or name those that are meant so in AGENT_READ_VIEWS, and agent_reader gets them with "
            f"`agent setup`. {revoke}".strip(),
            "agent setup" if granted else "",
        )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
