"""What a statement of agent_reader, agent_actor or agent_assessor ran into, in words."""

from __future__ import annotations

import psycopg

from agent.db.encodings import no_equivalent
from agent.db.failures import statement_failure, without_words
from agent.db.server_messages import message_of
from agent.errors import AgentError, StatementFailed
from agent.settings import Settings


def failure(error: psycopg.Error, settings: Settings, *, sql: str = "") -> AgentError:
    """A driver error of the statement `sql` as one of ours, with text for the model that quotes no row.

    The error itself loses its words too, as whoever prints this one's traceback prints its cause.
    """
    found = statement_failure(error) or _of_statement(error, settings, sql)
    without_words(error)
    return found


def _of_statement(error: psycopg.Error, settings: Settings, sql: str) -> StatementFailed:
    if (odd := no_equivalent(error)) is not None:
        return StatementFailed(odd)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return StatementFailed(too_slow(settings.statement_timeout))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StatementFailed("Somebody else holds a lock on these rows or tables; try again later.")
    parts = [message_of(error, sql=sql, deny=settings.deny)]
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and parts[0].startswith("permission denied for"):
        parts.append("If this is to be allowed, a human grants the agent's logins their rights with `agent setup`")
    return StatementFailed(f"The database refused the statement: {'. '.join(parts)}.")


def too_slow(seconds: float) -> str:
    return f"The statement ran longer than {seconds:g} s and was stopped. Read less: filter, aggregate or limit."
