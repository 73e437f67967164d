"""Load the demonstration application into an empty schema public, and reset it.

The schema's comment marks it as the demonstration's. `reset_demo` drops exactly what `supabase/seed.sql` creates.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import sql

from agent.db import locks, migrations, setup
from agent.db.administrator import Administrator, administrator
from agent.db.failures import connection_failure
from agent.db.paths import open_as_administrator
from agent.errors import ConfigurationError
from agent.settings import Settings

MARK = "Demonstration data of learning-agent"

_IS_DEMO = "select coalesce(obj_description('public'::regnamespace) like %s, false) as demo"

# Lists an application's relations in the schema public; those of extensions do not count.
_RELATIONS = """
SELECT relname FROM pg_class c
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
 ORDER BY relname
"""

_CREATED = re.compile(
    r"^create (?P<kind>table|view|materialized view|function|procedure|type|domain) public\.(?P<name>\w+)"
    r"|^create trigger (?P<trigger>\w+) .*? on public\.(?P<table>\w+)",
    re.MULTILINE,
)


def load_demo(settings: Settings) -> bool:
    """Migrate, load the demonstration application and give the logins their rights. Return False if it is there already.

    Blocks for about two seconds on a fresh machine. Raises `ConfigurationError` if the schema public holds another
    application.
    """
    admin = administrator(settings)
    with _prepared(settings, admin) as conn, conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", [locks.DEMO])
        if _is_marked(conn):
            return False
        _check_empty(conn)
        fill_demo(conn)
    _give_rights(settings, admin)
    return True


def prepare_demo(settings: Settings) -> None:
    """Load the demonstration into the embedded database, or bring it back to its first state. Blocks.

    Raises `ConfigurationError` if the settings name another server, or if the schema public holds another application.
    """
    if not settings.embedded or settings.app_database_url is not None:
        raise ConfigurationError(
            "The demonstration only plays in the embedded database. Run it without DATABASE_URL, AGENT_APP_URL and "
            "APP_DATABASE_URL; `agent chat` works on the database that they name."
        )
    if not load_demo(settings):
        reset_demo(settings)


def reset_demo(settings: Settings) -> None:
    """Bring the demonstration application back to its first state, whatever was done to its rows. Blocks.

    Raises `ConfigurationError` if the database is not the demonstration's, or if other objects depend on it.
    """
    admin = administrator(settings)
    with _prepared(settings, admin) as conn, conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", [locks.DEMO])
        if not _is_marked(conn):
            raise ConfigurationError("This database is not the demonstration's; nothing was reset.")
        _drop(conn)
        fill_demo(conn)
    _give_rights(settings, admin)


def fill_demo(conn: psycopg.Connection) -> None:
    """Run `supabase/seed.sql` on a connection to a migrated database whose schema public is empty."""
    conn.execute("set client_min_messages = warning")
    conn.execute(seed_text().encode())


def seed_text() -> str:
    """Return the text of `supabase/seed.sql`."""
    return migrations.supabase_folder().joinpath("seed.sql").read_text(encoding="utf-8")


def _prepared(settings: Settings, admin: Administrator) -> psycopg.Connection:
    # The seed's policies name the logins, so they must exist before it runs.
    if admin.app_url == admin.url:
        migrations.migrate(admin.url)
    _give_rights(settings, admin)
    try:
        return open_as_administrator(admin.app_url, autocommit=True)
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin.app_url) from error


def _give_rights(settings: Settings, admin: Administrator) -> None:
    setup.give_rights(settings, admin.app_url, admin.secret)


def _is_marked(conn: psycopg.Connection) -> bool:
    row = conn.execute(_IS_DEMO, [f"{MARK}%"]).fetchone()
    return bool(row and row[0])


def _check_empty(conn: psycopg.Connection) -> None:
    relations = [row[0] for row in conn.execute(_RELATIONS)]
    if relations:
        raise ConfigurationError(
            f"The schema public holds an application already ({', '.join(map(repr, relations[:5]))}, ...). The demonstration "
            "needs an empty one: run it with another AGENT_HOME and without DATABASE_URL, or use `agent chat` on your data."
        )


def _drop(conn: psycopg.Connection) -> None:
    # In reverse order and without CASCADE, so that only what the seed created is dropped.
    try:
        for created in reversed(list(_CREATED.finditer(seed_text()))):
            conn.execute(_drop_statement(created))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise ConfigurationError(
            f"Something else depends on the demonstration application; drop it first. {error.diag.message_detail}"
        ) from error


def _drop_statement(created: re.Match[str]) -> sql.Composed:
    if created["trigger"]:
        return sql.SQL("drop trigger if exists {} on {}").format(
            sql.Identifier(created["trigger"]), sql.Identifier("public", created["table"])
        )
    # The kind is one of the words in `_CREATED`, read from a file of this package.
    kind = sql.SQL(created["kind"])
    return sql.SQL("drop {} if exists {}").format(kind, sql.Identifier("public", created["name"]))
