"""Knows the reasons for which an action can be asked about, which are the codes that AGENT_REFUSE may name. Pure.

A code is either in a fixed list, or has a known prefix that is followed by a name of the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from agent.statements.kinds import LOCKS, WRITES, alter_reason

_CODES = (
    *(f"write:{kind}" for kind in WRITES.values()), "write:into", "write:resolved", "no-where", "one-row", "as-worded", "as-worded:several", "untried",
    "rows:more-than-one", "rows:many", "secret", "secret:tested", "secret:read", "secret:copied", "secret:guessed", "origin:unsaid", "origin:data", "origin:memory", "origin:nowhere",
    "transaction:none", "transaction:impossible", "schema:agents", "outside:email", "outside:tool", "tool:create", "lock:rows",
    *(f"lock:{lock}" for lock in LOCKS[LOCKS.index("ShareRowExclusiveLock"):]),
)  # fmt: skip
_PREFIXES = tuple(
    f"{prefix}:"
    for prefix in (
        "capability", "cast", "catalog", "check", "column", "denied", "depth", "domain", "function", "host", "index", "kind",
        "node", "operator", "partition", "policy", "relation", "rule", "sample", "setting", "statistics", "tool", "trigger", "type",
        "unresolved", "view",
    )
)  # fmt: skip
_GLOB = re.compile(r"[*?\[]")


def exists(reason: str) -> bool:
    """Return whether a reason, or a glob over reasons, matches one that an action can have."""
    head = _GLOB.split(reason)[0]
    if any(fnmatchcase(code, reason) for code in _CODES):
        return True
    if any(
        (head.startswith(prefix) and reason != prefix) or (head != reason and prefix.startswith(head))
        for prefix in _PREFIXES
    ):
        return True
    return reason.startswith(("write:", "alter:")) and any(fnmatchcase(code, reason) for code in _grammar_codes())


def nearest(reason: str) -> str:
    """Return the code that is spelled most like `reason`; '' if none is close."""
    return next(iter(get_close_matches(reason, _CODES, 1, 0.8)), "")


def _grammar_codes() -> Iterator[str]:
    """Yield the codes that are made from the parser's names: of other kinds of statements, and of what ALTER TABLE can do."""
    from postgast import parse

    tree = parse("ALTER TABLE a DROP COLUMN b")
    fields = tree.stmts[0].stmt.DESCRIPTOR.fields
    yield from (f"write:{field.message_type.name}" for field in fields if field.message_type)
    command = tree.stmts[0].stmt.alter_table_stmt.cmds[0].alter_table_cmd
    subtypes = command.DESCRIPTOR.fields_by_name["subtype"].enum_type.values
    yield from (alter_reason(subtype.name) for subtype in subtypes)
