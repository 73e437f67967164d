"""All code of users that a statement may run, as one digest: another one when any of it is replaced.

What the server resolves is followed as for an assessment. What it resolves only when it runs (CALL, the text of a function,
SQL that is put together) is followed by names: every word in the statement and in the code counts that is the name of a
function, table or view of users. So a digest may hold more than what runs. A name that comes out of a row is not found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import psycopg

from agent.approval.preview import digest
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.db.statement_failures import failure
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.statements.policy import may_be_shown
from agent.statements.resolver import Resolution, resolve, resolve_objects

_QUERIES = load_queries(__package__, "code_digest.sql")
_MOST_ROUNDS = 20
_WORD = re.compile(r"[^\W\d][\w$]*")


async def code_reached(statement: Statement, *, runtime: Runtime) -> str:
    """The digest. Raises as assessing."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolution = await resolve(statement, conn, database=runtime.app, probe=may_be_shown(statement))
            found = _Found(operators={name.name for name in statement.names.operators})
            found.add(resolution)
            await _follow(found, _words(statement.sql), conn, runtime)
            rows = await fetch_all(conn, _QUERIES["code_rows"], found.values, prepare=True)
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    return digest([row["text"] for row in rows])


@dataclass(slots=True)
class _Found:
    """Numbers of what was found so far, and the names of the statement's operators."""

    operators: set[str]
    functions: set[int] = field(default_factory=set)
    relations: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    operator_numbers: set[int] = field(default_factory=set)

    def add(self, resolution: Resolution) -> None:
        kinds = {"function": self.functions, "type": self.types, "operator": self.operator_numbers}
        self.relations |= resolution.relations.keys()
        for (what, number), code in resolution.code.items():
            kinds.get(what, set()).add(number)
            self.functions |= code.functions

    @property
    def values(self) -> dict[str, list[int] | list[str]]:
        return {
            "functions": sorted(self.functions), "relations": sorted(self.relations), "types": sorted(self.types),
            "operator_numbers": sorted(self.operator_numbers), "operators": sorted(self.operators),
        }  # fmt: skip

    @property
    def size(self) -> int:
        return len(self.functions) + len(self.relations) + len(self.types)


async def _follow(found: _Found, words: set[str], conn: Connection, runtime: Runtime) -> None:
    """Add what has one of these names, what stands behind it, and what its code names in turn."""
    known = -1
    for _ in range(_MOST_ROUNDS):
        row = await fetch_one(conn, _QUERIES["code_named"], {**found.values, "words": sorted(words)}, prepare=True)
        assert row is not None  # noqa: S101  # a query of scalars has one row
        found.functions |= {*row["functions"]}
        found.relations |= {*row["relations"]}
        if found.size == known:
            return
        behind = await resolve_objects(
            conn, database=runtime.app, relations=found.relations, functions=found.functions, writes=True
        )
        found.add(behind)
        known = found.size
        texts = await fetch_one(conn, _QUERIES["texts_of"], found.values, prepare=True)
        words |= {*(texts["words"] if texts else ())}


def _words(text: str) -> set[str]:
    words = set(_WORD.findall(text))
    return words | {word.lower() for word in words}
