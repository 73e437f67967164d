"""Applies `supabase/migrations/*.sql` and records them in the Supabase CLI's own table, so that both tools agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import postgast
import psycopg
from psycopg import Connection as SyncConnection
from psycopg import sql

from agent.db import locks
from agent.db.by_hand import check_schemas, is_there
from agent.db.encodings import check_stores_utf8
from agent.db.failures import check_not_transaction_pooler, connection_failure
from agent.db.paths import LOOK_UP_IN, OURS, open_as_administrator
from agent.errors import ConfigurationError, DatabaseUnavailable, SetupRequired

_LEDGER = """
CREATE SCHEMA IF NOT EXISTS supabase_migrations;
CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text PRIMARY KEY);
ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[];
ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text;
"""
_VECTOR_TYPE = re.compile(r"\b(?:vector|sparsevec)\b")  # the names are in the message in every language
_VECTOR_SCHEMA = (
    "select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `version` is its leading timestamp, `name` the rest."""

    version: str
    name: str
    text: str


def supabase_folder() -> Traversable:
    """Return the `supabase` folder: inside the installed package, or beside `src` in a checkout."""
    packaged = files("agent").joinpath("_supabase")
    if packaged.is_dir():
        return packaged
    return Path(__file__).parents[3] / "supabase"


def all_migrations() -> list[Migration]:
    """Return every migration that this version of the agent contains, oldest first."""
    return sorted(_read(supabase_folder().joinpath("migrations")), key=lambda migration: migration.version)


def _read(folder: Traversable) -> Iterator[Migration]:
    for entry in folder.iterdir():
        if entry.name.endswith(".sql"):
            version, _, name = entry.name.removesuffix(".sql").partition("_")
            yield Migration(version, name, entry.read_text(encoding="utf-8"))


def pending_migrations(conn: SyncConnection) -> list[Migration]:
    """Return the migrations that this database lacks. Raises `ConfigurationError` when it has one with another text."""
    known = conn.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    applied: dict[str, list[str] | None] = {}
    if known and known[0]:
        rows = conn.execute("select version, to_jsonb(m) -> 'statements' from supabase_migrations.schema_migrations m")
        applied = dict(rows.fetchall())  # the oldest Supabase CLIs kept no statements
    for migration in all_migrations():
        recorded = applied.get(migration.version)
        if recorded and _normalised("\n".join(recorded)) != _normalised(migration.text):
            raise ConfigurationError(
                f"Migration {migration.version} of this database is not the one that this version of the agent contains: "
                "an unreleased version created the database. Use that version, or a new database (AGENT_HOME, DATABASE_URL)."
            )
    every = all_migrations()
    return [
        one
        for number, one in enumerate(every, start=1)
        if one.version not in applied
        and not is_there(conn, one.version, one.text, later="\n".join(later.text for later in every[number:]))
    ]


def _normalised(text: str) -> str:
    """Return a migration's text without comments, white space and semicolons, so that its division into statements does not matter."""
    return re.sub(r"--[^\n]*|[\s;]+", "", text)


def migrate(admin: str) -> list[str]:
    """Apply the missing migrations to the database at the administrator's URL `admin`; return their versions.

    Each migration is one transaction. Raises `DatabaseUnavailable`, `ConfigurationError` or `SetupRequired`.
    """
    check_not_transaction_pooler(admin)
    try:
        conn = open_as_administrator(admin, autocommit=True)
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin) from error
    with conn:
        _check_server(conn)
        conn.execute("select pg_advisory_lock(%s)", [locks.MIGRATION])
        try:
            check_schemas(conn)
            pending = pending_migrations(conn)
            conn.execute("set client_min_messages = warning")
            conn.execute(_LEDGER)
            _record_run_by_hand(conn, pending)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _missing_rights("The list of migrations", error) from error
        for migration in pending:
            _apply(conn, migration)
        return [migration.version for migration in pending]


def _check_server(conn: SyncConnection) -> None:
    row = conn.execute(
        "select current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding'),"
        " exists (select from pg_available_extensions where name = 'vector')"
    ).fetchone()
    assert row is not None  # noqa: S101  # a select without FROM has one row
    version, replica, encoding, vector = row
    if version < 150_000:
        raise ConfigurationError(f"Postgres 15 or newer is needed; this server is {version // 10_000}.")
    if replica:
        raise DatabaseUnavailable("This server is a read replica: point DATABASE_URL at the primary.")
    check_stores_utf8(encoding)
    if not vector:
        raise SetupRequired(
            "This server has no pgvector. Install the extension (package postgresql-XX-pgvector, or enable `vector` "
            "in Supabase), or leave DATABASE_URL empty to use the embedded database and set APP_DATABASE_URL to this server."
        )


def _apply(conn: SyncConnection, migration: Migration) -> None:
    try:
        with conn.transaction():
            for statement in postgast.split(migration.text):
                _run(conn, statement.encode())
            _record(conn, migration)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _missing_rights(f"Migration {migration.version}", error) from error


def _run(conn: SyncConnection, statement: bytes) -> None:
    """Run one statement of a migration. Where it names a type of pgvector, run it again with pgvector's schema at the end of the path.

    Such statements use types and exact matches from the system's schema, so an object in pgvector's schema cannot replace a name.
    """
    conn.execute(LOOK_UP_IN, [OURS])
    try:
        with conn.transaction():
            conn.execute(statement)
    except psycopg.errors.UndefinedObject as error:
        if not _VECTOR_TYPE.search(error.diag.message_primary or ""):
            raise
        row = conn.execute(_VECTOR_SCHEMA).fetchone()
        if row is None:
            raise
        conn.execute(LOOK_UP_IN, [f"pg_catalog, {sql.Identifier(row[0]).as_string()}, pg_temp"])
        conn.execute(statement)


def _record_run_by_hand(conn: SyncConnection, pending: list[Migration]) -> None:
    """Record the migrations that were run by hand, with psql."""
    rows = conn.execute("select version from supabase_migrations.schema_migrations")
    known = {row[0] for row in rows} | {migration.version for migration in pending}
    for migration in all_migrations():
        if migration.version not in known:
            with conn.transaction():
                _record(conn, migration)


def _record(conn: SyncConnection, migration: Migration) -> None:
    conn.execute(LOOK_UP_IN, [OURS])
    conn.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        [migration.version, migration.name, postgast.split(migration.text)],
    )


def _missing_rights(what: str, error: psycopg.Error) -> SetupRequired:
    return SetupRequired(
        f"{what} needs more rights ({error.diag.message_primary}). Run it with a DATABASE_URL "
        "whose user may create schemas, extensions and roles."
    )
