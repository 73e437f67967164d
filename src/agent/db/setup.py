"""Gives the four logins their passwords and rights, or says what a database administrator must run."""

from __future__ import annotations

import psycopg

from agent.db.failures import check_not_transaction_pooler, connection_failure
from agent.db.logins import PLATFORM_SCHEMAS, setup_statements
from agent.errors import SetupRequired

_SCHEMAS = """
SELECT nspname FROM pg_namespace
 WHERE nspname <> ALL (%s) AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname
"""


def application_schemas(conn: psycopg.Connection, chosen: str = "") -> list[str]:
    """The application's schemas: the `chosen` ones (comma-separated), else all that are not a platform's."""
    if chosen.strip():
        return [name.strip() for name in chosen.split(",") if name.strip()]
    return [row[0] for row in conn.execute(_SCHEMAS, [list(PLATFORM_SCHEMAS)])]


def setup_script(secret: str, schemas: list[str], *, bypass_rls: bool) -> str:
    """The set-up as a SQL script for a database administrator; it holds SCRAM verifiers, no passwords."""
    statements = setup_statements(secret, schemas, bypass_rls=bypass_rls)
    return "\n".join(f"{statement.as_string()};" for statement in statements)


def setup_logins(admin: str, secret: str, *, schemas: str = "", bypass_rls: bool = False) -> list[str]:
    """Run the set-up at the administrator's URL; returns the application's schemas. Raises `SetupRequired`."""
    check_not_transaction_pooler(admin)
    try:
        conn = psycopg.connect(admin, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin) from error
    with conn:
        found = application_schemas(conn, schemas)
        try:
            for statement in setup_statements(secret, found, bypass_rls=bypass_rls):
                conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise SetupRequired(
                f"This user may not set up the logins ({error.diag.message_primary}). "
                "Give the output of `agent setup --print-sql` to a database administrator."
            ) from error
        return found
