"""What a statement of agent_reader or agent_actor ran into, in words."""

from __future__ import annotations

import psycopg

from agent.db.encodings import no_equivalent
from agent.db.failures import statement_failure
from agent.errors import AgentError, StatementFailed


def failure(error: psycopg.Error, seconds: float) -> AgentError:
    """A driver error as one of ours, with text for the model."""
    known = statement_failure(error)
    if known is not None:
        return known
    if (odd := no_equivalent(error)) is not None:
        return StatementFailed(odd)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return StatementFailed(too_slow(seconds))
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return StatementFailed("Somebody else holds a lock on these rows or tables; try again later.")
    parts = [error.diag.message_primary or str(error) or type(error).__name__]
    parts += [
        f"{name}: {text}"
        for name, text in (("Detail", error.diag.message_detail), ("Hint", error.diag.message_hint))
        if text
    ]
    if isinstance(error, psycopg.errors.InsufficientPrivilege) and parts[0].startswith("permission denied for"):
        parts.append("If this is to be allowed, a human grants the agent's logins their rights with `agent setup`")
    return StatementFailed(f"The database refused the statement: {'. '.join(parts)}")


def too_slow(seconds: float) -> str:
    return f"The statement ran longer than {seconds:g} s and was stopped. Read less: filter, aggregate or limit."
