"""Defines the four logins: their passwords, their connection URLs, and the SQL that sets them up.

Each login is its own session user, so that no statement can switch to a stronger one. Passwords derive from one secret; a
database administrator gets SCRAM verifiers, never the passwords.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import LiteralString
from urllib.parse import quote

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent.db.actor_rights import actor_statements, do_block
from agent.db.reader_rights import reader_statements
from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.types import LOGINS, ActorRights, Login, ReadAs

SCRAM_ITERATIONS = 4096

# Schemas that belong to the platform, not to the application.
PLATFORM_SCHEMAS = (
    "agents", "agents_checkpoints", "agents_jobs", "supabase_migrations",
    "auth", "storage", "realtime", "_realtime", "vault", "graphql", "graphql_public", "pgbouncer", "pgsodium",
    "pgsodium_masks", "supabase_functions", "extensions", "net", "cron", "pgtle", "dbdev", "_analytics", "_supavisor",
)  # fmt: skip

# Only when it is set: removing the attribute needs a right that not every administrator has.
_NO_BYPASS = """do $$ begin if exists (select from pg_roles where rolname = 'agent_reader' and rolbypassrls) then
  alter role agent_reader nobypassrls; end if; end $$"""

# Resolving a statement creates a temporary function, which would fire the application's event triggers each time. The
# setting exists from Postgres 17 on, and only a superuser may set it; without it the statement needs an approval.
_NO_EVENT_TRIGGERS = """do $$ begin if current_setting('event_triggers', true) is not null then
  alter role agent_assessor set event_triggers = off; end if;
exception when insufficient_privilege then null; end $$"""

# On Supabase only some roles may use pgvector's schema. A person who works with this login needs that right too, also where
# set-up runs before the migrations install pgvector.
_USE_VECTOR = """do $$ declare place name; begin
  for place in select n.nspname from pg_namespace n where n.nspname = 'extensions'
      or n.oid = (select extnamespace from pg_extension where extname = 'vector') loop
    execute format('grant usage on schema %I to agent_app', place);
  end loop;
exception when insufficient_privilege then null; end $$"""

_RIGHTS: tuple[LiteralString, ...] = (
    "grant usage on schema {} to agent_assessor, agent_reader, agent_actor",
    "grant select on all tables in schema {} to agent_reader",
    "grant select, insert, update, delete on all tables in schema {} to agent_actor",
    "grant usage on all sequences in schema {} to agent_actor",
    "alter default privileges in schema {} grant select on tables to agent_reader",
    "alter default privileges in schema {} grant select, insert, update, delete on tables to agent_actor",
    "alter default privileges in schema {} grant usage on sequences to agent_actor",
)

# Default privileges apply to the tables that one role creates: here to each role that owns a table now.
_FUTURE_TABLES = """do $$ declare owner name; begin
  for owner in select distinct r.rolname from pg_class c join pg_namespace n on n.oid = c.relnamespace
      join pg_roles r on r.oid = c.relowner
    where n.nspname = {schema} and c.relkind in ('r', 'p', 'v', 'm', 'f') and r.rolname <> current_user
      and pg_has_role(r.oid, 'usage') loop
    execute format('alter default privileges for role %I in schema %I grant select on tables to agent_reader',
      owner, {schema});
    execute format('alter default privileges for role %I in schema %I grant select, insert, update, delete on tables'
      ' to agent_actor', owner, {schema});
    execute format('alter default privileges for role %I in schema %I grant usage on sequences to agent_actor',
      owner, {schema});
  end loop; end $$"""


def derive_password(secret: str, login: str) -> str:
    """Return the password of `login`: 43 URL-safe characters, 256 bits."""
    digest = hmac.new(secret.encode(), f"learning-agent login {login}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def scram_verifier(password: str, *, salt: bytes, iterations: int = SCRAM_ITERATIONS) -> str:
    """Return the SCRAM verifier of `password` (RFC 5803), so that the password itself is in no statement or log."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    server_key = hmac.new(salted, b"Server Key", hashlib.sha256).digest()
    stored_key = hashlib.sha256(client_key).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def login_conninfo(admin: str, login: Login, password: str) -> str:
    """Return the administrator's URL with `login` as the user: same server, same database.

    A pooler's user name `postgres.project` keeps its project: `agent_app.project`.
    """
    parts = conninfo_to_dict(admin)
    _, dot, project = str(parts.get("user") or "").partition(".")
    return make_conninfo(admin, user=f"{login}{dot}{project}", password=password)


def conninfo_for(settings: Settings, login: Login, *, admin: str | None, secret: str | None) -> str:
    """Return the connection string of `login`: its own setting, else derived from `admin` and `secret`.

    Raises `ConfigurationError` when there is neither.
    """
    explicit = {
        "agent_app": settings.app_url,
        "agent_assessor": settings.assessor_url,
        "agent_reader": settings.reader_url,
        "agent_actor": settings.actor_url,
    }[login]
    if explicit is not None:
        return explicit.get_secret_value()
    if admin is None or secret is None:
        variable = {"agent_app": "AGENT_APP_URL"}.get(login, f"{login.upper()}_URL")
        raise ConfigurationError(
            f"No credentials for the login {login!r}: set {variable}, or DATABASE_URL and AGENT_SECRET together, "
            "then run `agent setup`."
        )
    return login_conninfo(admin, login, derive_password(secret, login))


def setup_statements(
    secret: str,
    schemas: Sequence[str],
    *,
    bypass_rls: bool,
    actor_rights: ActorRights = "data",
    read_as: ReadAs = "",
    read_views: Sequence[str] = (),
) -> list[sql.Composed]:
    """Return the SQL that gives the four logins their passwords and their rights on the application's `schemas`."""
    return [
        *(statement for login in LOGINS for statement in _login_statements(login, secret)),
        # For people who use this login; a session of ours sets its own path.
        sql.SQL("alter role agent_app set search_path = pg_catalog, agents, agents_checkpoints, pg_temp").format(),
        sql.SQL(_USE_VECTOR).format(),
        sql.SQL(_NO_EVENT_TRIGGERS).format(),
        sql.SQL("alter role agent_reader bypassrls" if bypass_rls else _NO_BYPASS).format(),
        *(statement for schema in schemas for statement in _rights(schema)),
        *reader_statements(schemas, read_as=read_as, listed=read_views, bypass_rls=bypass_rls),
        *actor_statements(schemas, actor_rights),
    ]


def _login_statements(login: Login, secret: str) -> list[sql.Composed]:
    # The salt is derived too, so that the SQL is the same each time it is printed.
    salt = hashlib.sha256(f"{secret} salt {login}".encode()).digest()[:16]
    verifier = scram_verifier(derive_password(secret, login), salt=salt)
    name = sql.Identifier(login)
    create = sql.SQL(
        "do $$ begin if not exists (select from pg_roles where rolname = {literal}) then"
        " create role {name} noinherit; end if; end $$"
    ).format(literal=sql.Literal(login), name=name)
    return [create, sql.SQL("alter role {} login password {}").format(name, sql.Literal(verifier))]


def _rights(schema: str) -> list[sql.Composed]:
    granted = [sql.SQL(right).format(sql.Identifier(schema)) for right in _RIGHTS]
    return [*granted, do_block(_FUTURE_TABLES, schema=sql.Literal(schema))]


def redacted(conninfo: str) -> str:
    """Return the target of a connection without its password: for errors and `agent status`."""
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host") or "localhost", parts.get("port") or 5432
    user, database = parts.get("user") or "", parts.get("dbname") or ""
    address = f"[{host}]" if str(host).startswith("/") else f"{host}:{port}"
    return f"postgresql://{quote(str(user))}@{address}/{quote(str(database))}"
