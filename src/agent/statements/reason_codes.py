"""Which reasons an action can be asked about for: what AGENT_REFUSE may name. Pure.

A code is either one of a list, or begins in a known way and goes on with a name of the application's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from agent.statements.kinds import LOCKS, WRITES, alter_reason

_CODES = (
    *(f"write:{kind}" for kind in WRITES.values()), "write:into", "write:resolved", "no-where", "one-row", "untried",
    "rows:more-than-one", "rows:many", "secret", "secret:tested", "secret:read", "secret:copied", "secret:guessed", "origin:unsaid", "origin:data", "origin:memory", "origin:nowhere",
    "transaction:none", "transaction:impossible", "schema:agents", "outside:email", "tool:create", "lock:rows",
    *(f"lock:{lock}" for lock in LOCKS[LOCKS.index("ShareRowExclusiveLock"):]),
)  # fmt: skip
_BEGINNINGS = tuple(
    f"{beginning}:"
    for beginning in (
        "capability", "cast", "catalog", "check", "column", "denied", "depth", "domain", "function", "host", "index", "kind",
        "node", "operator", "partition", "policy", "relation", "rule", "sample", "setting", "statistics", "trigger", "type",
        "unresolved", "view",
    )
)  # fmt: skip
_GLOB = re.compile(r"[*?\[]")


def exists(reason: str) -> bool:
    """Whether a reason, or a glob over reasons, fits one that an action can have."""
    head = _GLOB.split(reason)[0]
    if any(fnmatchcase(code, reason) for code in _CODES):
        return True
    if any(
        (head.startswith(one) and reason != one) or (head != reason and one.startswith(head)) for one in _BEGINNINGS
    ):
        return True
    return reason.startswith(("write:", "alter:")) and any(fnmatchcase(code, reason) for code in _of_the_grammar())


def nearest(reason: str) -> str:
    """The code that was probably meant, or ''."""
    return next(iter(get_close_matches(reason, _CODES, 1, 0.8)), "")


def _of_the_grammar() -> Iterator[str]:
    """Kinds of statements that have no name of their own here, and what an ALTER TABLE can do."""
    from postgast import parse

    tree = parse("ALTER TABLE a DROP COLUMN b")
    yield from (f"write:{one.message_type.name}" for one in tree.stmts[0].stmt.DESCRIPTOR.fields if one.message_type)
    command = tree.stmts[0].stmt.alter_table_stmt.cmds[0].alter_table_cmd
    yield from (alter_reason(one.name) for one in command.DESCRIPTOR.fields_by_name["subtype"].enum_type.values)
