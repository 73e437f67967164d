"""Calculates one digest of all users' code that a statement may run; it changes when any of that code is replaced.

Code that the server can resolve is followed as for an assessment. Code that is resolved only when it runs (CALL, the text of
a function, dynamic SQL) is followed by names: every word in the statement and in the code that is the name of a user's
function, table or view counts. So a digest may cover more code than runs. A name that is read from a row is not found.
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
from agent.statements.policy import may_be_probed
from agent.statements.resolver import Resolution, resolve, resolve_objects

_QUERIES = load_queries(__package__, "code_digest.sql")
_MOST_ROUNDS = 20
_WORD = re.compile(r"[^\W\d][\w$]*")


async def code_reached(statement: Statement, *, runtime: Runtime) -> str:
    """Return the digest of the users' code that a statement may run. Raises like `assess_statement`."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolution = await resolve(statement, conn, database=runtime.app, probe=may_be_probed(statement))
            reached = _Reached(operators={name.name for name in statement.names.operators})
            reached.add(resolution)
            await _follow(reached, _words(statement.sql), conn, runtime)
            rows = await fetch_all(conn, _QUERIES["code_rows"], reached.values, prepare=True)
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    return digest([row["text"] for row in rows])


@dataclass(slots=True)
class _Reached:
    """The numbers of the objects that were reached so far, and the names of the statement's operators."""

    operators: set[str]
    functions: set[int] = field(default_factory=set)
    relations: set[int] = field(default_factory=set)
    types: set[int] = field(default_factory=set)
    operator_numbers: set[int] = field(default_factory=set)

    def add(self, resolution: Resolution) -> None:
        """Add the objects that a resolution reaches."""
        kinds = {"function": self.functions, "type": self.types, "operator": self.operator_numbers}
        self.relations |= resolution.relations.keys()
        for (kind, number), code in resolution.code.items():
            kinds.get(kind, set()).add(number)
            self.functions |= code.functions

    @property
    def values(self) -> dict[str, list[int] | list[str]]:
        """Return the numbers and names as values for the queries."""
        return {
            "functions": sorted(self.functions), "relations": sorted(self.relations), "types": sorted(self.types),
            "operator_numbers": sorted(self.operator_numbers), "operators": sorted(self.operators),
        }  # fmt: skip

    @property
    def size(self) -> int:
        """Return how many functions, relations and types were reached."""
        return len(self.functions) + len(self.relations) + len(self.types)


async def _follow(reached: _Reached, words: set[str], conn: Connection, runtime: Runtime) -> None:
    """Add the objects that have one of these names, the objects behind them, and those that their code names in turn."""
    last_size = -1
    for _ in range(_MOST_ROUNDS):
        row = await fetch_one(conn, _QUERIES["code_named"], {**reached.values, "words": sorted(words)}, prepare=True)
        assert row is not None  # noqa: S101  # a query of scalars has one row
        reached.functions |= {*row["functions"]}
        reached.relations |= {*row["relations"]}
        if reached.size == last_size:
            return
        behind = await resolve_objects(
            conn, database=runtime.app, relations=reached.relations, functions=reached.functions, writes=True
        )
        reached.add(behind)
        last_size = reached.size
        texts = await fetch_one(conn, _QUERIES["texts_of"], reached.values, prepare=True)
        words |= {*(texts["words"] if texts else ())}


def _words(text: str) -> set[str]:
    words = set(_WORD.findall(text))
    return words | {word.lower() for word in words}
