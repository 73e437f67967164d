"""Checks that a read left its session as it was; if not, its rows are withheld and its session is ended.

It does not depend on the assessment of the statement: it looks at what has happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from agent.db import Connection
from agent.errors import ActionRefused
from agent.statements.parser import Statement

_log = structlog.get_logger(__name__)
_WORDS = {
    "locks": "took locks",
    "settings": "changed settings",
    "path": "changed settings",
    "users": "changed whom it acts as",
    "prepared": "prepared statements",
    "cursors": "opened cursors",
    "channels": "listened to channels",
}


async def check_untouched(
    conn: Connection, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, statement: Statement
) -> None:
    """Raise `ActionRefused` and close the connection when a read did more than read."""
    effects = list(dict.fromkeys(differences(before, after)))
    if not effects:
        return
    _log.critical("tripwire", did=effects, sql=statement.sql[:1000])
    await conn.close()
    raise ActionRefused(
        f"The result is withheld: what was taken for a read {' and '.join(effects)}. It was rolled back; an operator should look."
    )


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield in words what a transaction did beside reading; not to have watched it counts too."""
    if before is None or after is None:
        yield "was not watched"
        return
    if not after["no_transaction_id"]:
        yield "wrote something"
    for name, words in _WORDS.items():
        if before[name] != after[name]:
            yield words
