"""Gives the four logins their passwords and rights, or prints the SQL that a database administrator must run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import psycopg
import structlog

from agent.db import embedded, locks
from agent.db.administrator import administrator
from agent.db.encodings import check_stores_utf8
from agent.db.failures import check_not_transaction_pooler, connection_failure
from agent.db.logins import PLATFORM_SCHEMAS, redacted, setup_statements
from agent.db.paths import OURS, open_as_administrator
from agent.errors import ConfigurationError, DatabaseUnavailable, SetupRequired
from agent.settings import Settings
from agent.types import LOGINS, ActorRights, ReadAs

_log = structlog.get_logger(__name__)
_OURS = re.compile(r"agents(_|$)")  # only agent_app uses these schemas
_SCHEMAS = """
SELECT nspname FROM pg_namespace
 WHERE nspname <> ALL (%s) AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname
"""


def application_schemas(conn: psycopg.Connection, chosen: Sequence[str] = ()) -> list[str]:
    """Return the application's schemas: the `chosen` ones, else all that are not a platform's."""
    if chosen:
        return [name for name in chosen if not _OURS.match(name)]
    return [row[0] for row in conn.execute(_SCHEMAS, [list(PLATFORM_SCHEMAS)])]


def setup_script(
    secret: str,
    schemas: Sequence[str],
    *,
    bypass_rls: bool,
    actor_rights: ActorRights = "data",
    read_as: ReadAs = "",
    read_views: Sequence[str] = (),
) -> str:
    """Return the set-up as a SQL script for a database administrator. It holds SCRAM verifiers, no passwords."""
    statements = setup_statements(
        secret, schemas, bypass_rls=bypass_rls, actor_rights=actor_rights, read_as=read_as, read_views=read_views
    )
    # Our own search path, so that nobody else decides what a name in the script means.
    lines = [f"set search_path = {OURS}", *(statement.as_string() for statement in statements), "reset search_path"]
    return "\n".join(f"{line};" for line in lines)


def setup_logins(
    admin: str,
    secret: str,
    *,
    schemas: Sequence[str] = (),
    bypass_rls: bool = False,
    actor_rights: ActorRights = "data",
    read_as: ReadAs = "",
    read_views: Sequence[str] = (),
) -> list[str]:
    """Run the set-up at the administrator's URL and return the application's schemas.

    Raises `SetupRequired` where the user may not do it, `ConfigurationError` for a role that does not exist,
    `DatabaseUnavailable`.
    """
    check_not_transaction_pooler(admin)
    try:
        conn = open_as_administrator(admin)
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin) from error
    with conn:
        conn.add_notice_handler(_log_notice)
        conn.execute("select pg_advisory_xact_lock(%s)", [locks.LOGINS])
        application = application_schemas(conn, schemas)
        try:
            for statement in setup_statements(
                secret,
                application,
                bypass_rls=bypass_rls,
                actor_rights=actor_rights,
                read_as=read_as,
                read_views=read_views,
            ):
                conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            raise SetupRequired(
                f"This user may not set up the logins ({error.diag.message_primary}). "
                "Give the output of `agent setup --print-sql` to a database administrator."
            ) from error
        except psycopg.errors.UndefinedObject as error:  # a role that a setting names
            raise ConfigurationError(
                f"{error.diag.message_primary}. Correct the setting, then run `agent setup`."
            ) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise DatabaseUnavailable(
                f"{redacted(admin)} is a read replica or read-only: run `agent setup` on the primary server, "
                "from which a replica gets the logins."
            ) from error
        return application


def _log_notice(notice: psycopg.errors.Diagnostic) -> None:
    """Log the notices of our own blocks, which say what could not be set up; ignore the server's."""
    text = notice.message_primary or ""
    if text.startswith(("agent_actor ", "agent_app ")):
        _log.warning("setup_incomplete", reason=text)


def is_set_up(admin: str) -> bool:
    """Return whether `setup_logins` has run on the server at the administrator's URL. It is one transaction."""
    with open_as_administrator(admin) as conn:
        query = "select count(*) from pg_roles where rolcanlogin and rolname = any (%s)"
        row = conn.execute(query, [list(LOGINS)]).fetchone()
    return row == (len(LOGINS),)


def set_up(settings: Settings) -> list[str]:
    """Set the logins up on the agent's and on the application's database; return the application's schemas. Blocks."""
    admin = administrator(settings)
    _check_encoding(admin.url)
    if admin.app_url != admin.url:
        # The role to read as exists on the application's server only.
        give_rights(settings.model_copy(update={"read_as_role": ""}), admin.url, admin.secret)
    return give_rights(settings, admin.app_url, admin.secret)


def _check_encoding(admin: str) -> None:
    check_not_transaction_pooler(admin)
    try:
        with open_as_administrator(admin) as conn:
            check_stores_utf8(conn.info.parameter_status("server_encoding") or "")
    except psycopg.OperationalError as error:
        raise connection_failure(error, admin) from error


def give_rights(settings: Settings, admin: str, secret: str) -> list[str]:
    """Run `setup_logins` with the values of the settings; return the application's schemas."""
    return setup_logins(
        admin,
        secret,
        schemas=settings.chosen_schemas,
        bypass_rls=settings.reader_bypass_rls,
        actor_rights=settings.actor_rights,
        read_as=settings.read_as_role,
        read_views=settings.listed_views,
    )


def script_for(settings: Settings) -> str:
    """Return the SQL that a database administrator must run on each of the databases, without connecting to them.

    It uses the schema public where AGENT_APP_SCHEMAS names none. With the embedded database the secret is that database's,
    created where there is none; otherwise it raises `ConfigurationError` without AGENT_SECRET.
    """
    secret = settings.secret.get_secret_value() if settings.secret else None
    if settings.embedded and secret is None:
        secret = embedded.read_or_make_secret(settings.home)
    if secret is None:
        raise ConfigurationError(
            "The logins' passwords are derived from AGENT_SECRET, and it is not set. Set it in the environment or .env and keep "
            f"it; here is a new one: {secrets.token_urlsafe(32)}"
        )
    schemas = settings.chosen_schemas or ("public",)
    return setup_script(
        secret,
        schemas,
        bypass_rls=settings.reader_bypass_rls,
        actor_rights=settings.actor_rights,
        read_as=settings.read_as_role,
        read_views=settings.listed_views,
    )
