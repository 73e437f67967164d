"""Turns driver errors into the agent's own errors, whose messages say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from agent.db.logins import redacted
from agent.errors import AgentError, ConfigurationError, DatabaseUnavailable, SetupRequired

_POOLER_PORT = "6543"
# The server's message when an object of ours is missing. An application may have a table called agents too.
_OUR_SCHEMA = re.compile(r'^(?:schema|relation|function|type) "?agents[".]')


def connection_failure(error: psycopg.Error, conninfo: str) -> AgentError:
    """Return the error that tells the operator why a connection attempt failed. It never quotes the password."""
    where, text = redacted(conninfo), str(error)
    if error.sqlstate == "28P01" or "password authentication failed" in text:
        return ConfigurationError(
            f"The server refused the password for {where}. Check DATABASE_URL (for the application, APP_DATABASE_URL) and AGENT_SECRET, "
            "then run `agent setup` to give the agent's logins their passwords."
        )
    if ("does not exist" in text and "role" in text) or "is not permitted to log in" in text:
        return SetupRequired(f"The login in {where} does not exist or may not log in. Run `agent setup`.")
    if "does not exist" in text and "database" in text:
        return ConfigurationError(
            f"There is no such database: {where}. Create it, or correct DATABASE_URL or APP_DATABASE_URL."
        )
    if "Tenant or user not found" in text:
        return ConfigurationError(
            f"The pooler does not know the user in {where}. Use Supabase's direct or session-mode URL."
        )
    if error.sqlstate == "53300" or "too many c" in text or "remaining connection slots" in text:
        return DatabaseUnavailable(
            f"The server of {where} has no connection left. Close other clients, or raise max_connections "
            "(or the limit of the role or database), then try again."
        )
    # The line of the last attempt; libpq indents its hints.
    reasons = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    reason = reasons[-1].strip().rstrip(".") if reasons else type(error).__name__
    return DatabaseUnavailable(
        f"Cannot reach {where}: {reason}. Start the server, or correct DATABASE_URL or APP_DATABASE_URL."
    )


def check_not_transaction_pooler(conninfo: str) -> None:
    """Raise `ConfigurationError` for Supabase's transaction pooler, which keeps no session."""
    parts = conninfo_to_dict(conninfo)
    if str(parts.get("port")) == _POOLER_PORT and "supabase" in str(parts.get("host")):
        raise ConfigurationError(
            f"{redacted(conninfo)} is Supabase's transaction pooler (port {_POOLER_PORT}), which keeps no session. "
            "Use the direct connection or the session pooler (port 5432)."
        )


@contextmanager
def operator_errors(*, ours: bool = False) -> Iterator[None]:
    """Turn driver errors that an operator must fix into the agent's errors; all others pass. `ours`: on our own tables.

    The server's message is removed from both, because it may quote rows: the caller reads `diag` and decides what to show.
    """
    try:
        yield
    except psycopg.Error as error:
        failure = statement_failure(error, ours=ours)
        remove_message(error)
        if failure is None:
            raise
        raise failure from error


def statement_failure(error: psycopg.Error, *, ours: bool = False) -> AgentError | None:
    """Return the error for a failed statement that an operator must fix, else None. `ours`: on our own tables.

    The application's functions and triggers can raise any error: one raised by code does not mean that the connection is lost.
    """
    state, primary = error.sqlstate or "", error.diag.message_primary or ""
    by_code = bool(error.diag.context) and not ours
    if state in {"3F000", "42P01", "42883", "42703"} and (
        ours or (error.diag.statement_position and _OUR_SCHEMA.search(primary))
    ):
        return SetupRequired(f"The agent's tables are missing or old ({primary}). Run `agent migrate`.")
    if state == "25006":
        return DatabaseUnavailable(
            "The database is a read replica or read-only: point DATABASE_URL at the primary server."
        )
    lost = isinstance(error, psycopg.OperationalError) and (
        not state or state[:2] in {"08", "53"} or state.startswith("57P")
    )
    if lost and not by_code:
        return DatabaseUnavailable(
            f"The database went away ({primary or str(error).strip() or state}). Nothing was half done; try again."
        )
    return None


def log_message(error: BaseException) -> str:
    """Return the text of an error for a log: of a server error only its class and SQLSTATE, because its message may quote rows.

    A message about a position in the statement's own text is kept: it quotes that text only.
    """
    if not isinstance(error, psycopg.Error) or not error.sqlstate:
        return str(error)
    own = error.diag.statement_position and not error.diag.context
    message = error.diag.message_primary if own else None
    return f"{type(error).__name__} ({known_state(error) or 'unknown'}){f': {message}' if message else ''}"


def known_state(error: psycopg.Error) -> str:
    """Return the SQLSTATE if it is one of Postgres's own, else ''. The application's code can put five characters of a row there."""
    try:
        psycopg.errors.lookup(error.sqlstate or "")
    except KeyError:
        return ""
    return error.sqlstate or ""


def remove_message(error: BaseException) -> None:
    """Remove the server's message from an error and from its causes and contexts, which a traceback shows too."""
    pending: list[BaseException | None] = [error]
    visited = set[int]()
    while pending:
        current = pending.pop()
        if current is None or id(current) in visited:
            continue
        visited.add(id(current))
        pending += [current.__cause__, current.__context__]
        if isinstance(current, psycopg.Error) and current.sqlstate:
            current.args = (log_message(current),)
