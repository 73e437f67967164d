"""Turns a driver error of agent_reader, agent_actor or agent_assessor into an error with a message for the model."""

from __future__ import annotations

import psycopg

from agent.db.encodings import encoding_message
from agent.db.failures import remove_message, statement_failure
from agent.db.server_messages import message_of
from agent.errors import AgentError, StatementFailed
from agent.settings import Settings


def failure(error: psycopg.Error, settings: Settings, *, sql: str = "") -> AgentError:
    """Return the agent's error for a driver error of the statement `sql`; its text quotes no row.

    The server's message is removed from the driver error too, because a traceback prints the cause.
    """
    result = statement_failure(error) or _statement_failed(error, settings, sql)
    remove_message(error)
    return result


def _statement_failed(error: psycopg.Error, settings: Settings, sql: str) -> StatementFailed:
    if (message := encoding_message(error)) is not None:
        return StatementFailed(message)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return StatementFailed(too_slow(settings.statement_timeout))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StatementFailed("Somebody else holds a lock on these rows or tables; try again later.")
    parts = [message_of(error, sql=sql, deny=settings.deny)]
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and parts[0].startswith("permission denied for"):
        parts.append("If this is to be allowed, a human grants the agent's logins their rights with `agent setup`")
    return StatementFailed(f"The database refused the statement: {'. '.join(parts)}.")


def too_slow(seconds: float) -> str:
    """Return the message for a statement that ran into the time limit."""
    return f"The statement ran longer than {seconds:g} s and was stopped. Read less: filter, aggregate or limit."
