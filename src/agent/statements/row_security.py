"""Finds the tables whose rows row-level security may hide from a statement: its answer is then not about all rows.

A statement reads a table as the login that runs it, or as the owner of the view through which it reads. If no policy applies,
or one that is not the constant true, the answer has to say so. Tables that only a policy reads do not count.
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
# Values of pg_policy.polcmd. To a change apply the policies for reading and those for that kind of change.
_READ = "r"
_COMMANDS = ((UPDATE, "w"), (DELETE, "d"))
_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# Statements that return or count rows; a plan (EXPLAIN) is about none.
_KINDS = _WRITES | {"SelectStmt", "CreateTableAsStmt"}


async def hidden_rows(
    statement: Statement, resolution: Resolution, *, login: str, conn: Connection
) -> tuple[HiddenRows, ...]:
    """Return the tables that hide rows from a statement which `login` runs.

    Reads the catalogs once for each resolution, which holds as long as they stay the same.
    """
    if login not in resolution.hidden_rows:
        accesses = sorted(_secured_accesses(statement, resolution))
        resolution.hidden_rows[login] = await _hidden_rows(accesses, login, conn) if accesses else ()
    return resolution.hidden_rows[login]


async def _hidden_rows(
    accesses: Sequence[tuple[int, int, str]], login: str, conn: Connection
) -> tuple[HiddenRows, ...]:
    values = {
        "relations": [relation for relation, _, _ in accesses], "readers": [reader for _, reader, _ in accesses],
        "commands": [command for _, _, command in accesses], "login": login,
    }  # fmt: skip
    rows = await fetch_all(conn, _QUERIES["hidden_rows"], values, prepare=True)
    return tuple(HiddenRows(schema=row["schema"], table=row["name"], all=row["hides_all"]) for row in rows)


def _secured_accesses(statement: Statement, resolution: Resolution) -> Iterator[tuple[int, int, str]]:
    """Yield (relation, role, command) for each table with row-level security that a statement reads; role 0 is the login."""
    if statement.kind not in _KINDS:
        return
    relations = resolution.relations
    writes = any(kind in _WRITES for kind, _ in statement.parts)
    changed = changed_by(statement, resolution) if writes else {}
    pending, visited = [(number, 0) for number in _named_relations(statement, resolution)], set[tuple[int, int]]()
    while pending:
        access = pending.pop()
        if access in visited or access[0] not in relations:
            continue
        visited.add(access)
        number, reader = access
        relation = relations[number]
        if relation.kind == "v":
            read = (
                inner.tree.relations for inner in resolution.inner if (inner.kind, inner.relation) == ("view", number)
            )
            pending += [(other, relation.reads_as) for numbers in read for other in numbers]
        elif relation.secured:
            yield from ((number, reader, command) for command in _commands(number, changed, statement, relation.name))


def _named_relations(statement: Statement, resolution: Resolution) -> Iterable[int]:
    if resolution.body is not None:
        return resolution.body.relations
    names = statement.names.relations
    return [
        number
        for number, relation in resolution.relations.items()
        if {relation.name, Name("", relation.name.name)} & names
    ]


def _commands(number: int, changed: Mapping[int, int], statement: Statement, name: Name) -> Iterator[str]:
    events = changed.get(number, 0)
    times_named = sum(kind == "RangeVar" and message.relname == name.name for kind, message in statement.parts)
    if events != INSERT or times_named > 1:  # a new row that a policy forbids is an error, so an INSERT needs no remark
        yield _READ
    yield from (command for event, command in _COMMANDS if events & event)


async def contradictions(hidden: Sequence[HiddenRows], *, counted: int, conn: Connection) -> list[str]:
    """Return a remark for each table of which the server's statistics count more rows than `counted`."""
    values = {"schemas": [table.schema for table in hidden], "names": [table.table for table in hidden]}
    rows = await fetch_all(conn, _QUERIES["estimates"], values)
    return [
        f"The server's statistics say that {row['schema']}.{row['name']} has about {row['rows']:,} rows"
        for row in rows
        if row["rows"] > counted
    ]
