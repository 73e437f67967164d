"""Of which tables row-level security hides rows from a statement: what it answers then is not about all of their rows.

A statement reads a table as the login that runs it, or as the owner of the view through which it does. Where a policy applies
that is not the constant true, or none does, the answer has to say so. What only a policy looks at does not count by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from agent.db import Connection, load_queries
from agent.db.queries import fetch_all
from agent.statements.fired_triggers import DELETE, INSERT, UPDATE, changed_by
from agent.statements.parser import Name, Statement
from agent.statements.resolver import Resolution
from agent.types import HiddenRows

_QUERIES = load_queries(__package__, "row_security.sql")
# Of pg_policy.polcmd: the rows of a change are looked for as those of a read are, and by a rule of their own.
_READ = "r"
_COMMANDS = ((UPDATE, "w"), (DELETE, "d"))
_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# What answers with rows, or counts them; a plan is about none.
_KINDS = _WRITES | {"SelectStmt", "CreateTableAsStmt"}


async def hiding(
    statement: Statement, resolution: Resolution, *, login: str, conn: Connection
) -> tuple[HiddenRows, ...]:
    """The tables that hide rows from a statement which `login` runs; asked of the catalogs once while they are the same."""
    if login not in resolution.hiding:
        read = sorted(_read(statement, resolution))
        resolution.hiding[login] = await _hiding(read, login, conn) if read else ()
    return resolution.hiding[login]


async def _hiding(read: Sequence[tuple[int, int, str]], login: str, conn: Connection) -> tuple[HiddenRows, ...]:
    values = {
        "relations": [relation for relation, _, _ in read], "readers": [reader for _, reader, _ in read],
        "commands": [command for _, _, command in read], "login": login,
    }  # fmt: skip
    rows = await fetch_all(conn, _QUERIES["hiding"], values, prepare=True)
    return tuple(HiddenRows(schema=row["schema"], table=row["name"], all=row["hides_all"]) for row in rows)


def _read(statement: Statement, resolution: Resolution) -> Iterator[tuple[int, int, str]]:
    """The tables with row-level security that are read: which, as whom (0: the login), and by what command."""
    if statement.kind not in _KINDS:
        return
    relations = resolution.relations
    writes = any(kind in _WRITES for kind, _ in statement.parts)
    changed = changed_by(statement, resolution) if writes else {}
    pending, seen = [(number, 0) for number in _named(statement, resolution)], set[tuple[int, int]]()
    while pending:
        place = pending.pop()
        if place in seen or place[0] not in relations:
            continue
        seen.add(place)
        number, reader = place
        relation = relations[number]
        if relation.kind == "v":
            shown = (
                inner.tree.relations for inner in resolution.inner if (inner.what, inner.relation) == ("view", number)
            )
            pending += [(other, relation.reads_as) for tree in shown for other in tree]
        elif relation.secured:
            yield from ((number, reader, command) for command in _commands(number, changed, statement, relation.name))


def _named(statement: Statement, resolution: Resolution) -> Iterable[int]:
    if resolution.body is not None:
        return resolution.body.relations
    names = statement.names.relations
    return [n for n, one in resolution.relations.items() if {one.name, Name("", one.name.name)} & names]


def _commands(number: int, changed: Mapping[int, int], statement: Statement, name: Name) -> Iterator[str]:
    events = changed.get(number, 0)
    named = sum(kind == "RangeVar" and message.relname == name.name for kind, message in statement.parts)
    if events != INSERT or named > 1:  # a new row that a policy forbids is an error, and needs no remark
        yield _READ
    yield from (command for event, command in _COMMANDS if events & event)


async def contradictions(hidden: Sequence[HiddenRows], *, counted: int, conn: Connection) -> list[str]:
    """What the server's statistics say of tables of which fewer rows were `counted`, as remarks."""
    values = {"schemas": [one.schema for one in hidden], "names": [one.table for one in hidden]}
    rows = await fetch_all(conn, _QUERIES["estimates"], values)
    return [
        f"The server's statistics say that {row['schema']}.{row['name']} has about {row['rows']:,} rows"
        for row in rows
        if row["rows"] > counted
    ]
