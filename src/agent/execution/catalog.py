"""What the names of a statement stand for in the application database: one catalog query, asked afresh each time.

Only names are looked up, through the catalogs' own indexes, so nothing is cached and nothing can be stale: a function
that is created now shadows the next statement. Views and policies are followed by parsing their definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakSet

from agent.db import Connection, load_queries
from agent.errors import InvalidArguments
from agent.execution.sql_parsing import Name, Names, Statement, parse

_QUERIES = load_queries(__package__)
_MOST_ROUNDS = 12
_planning_once: WeakSet[Connection] = WeakSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation that a name may stand for. `kin` are its partitions, children and parents; `shows` what a view reads."""

    name: Name
    kind: str
    columns: tuple[str, ...]
    policies: tuple[str, ...] = ()
    definition: str = ""
    kin: tuple[tuple[Name, str], ...] = ()
    shows: tuple[tuple[Name, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A user-made function, operator, type or cast that a name may stand for; `extension` when it belongs to one."""

    what: str
    name: Name
    extension: str | None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A view's definition or a policy's condition, which runs when the relation `of` is read."""

    what: Literal["view", "policy"]
    of: Name
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that a statement reaches: `inner` are the view definitions and policies behind its relations."""

    relations: tuple[Relation, ...] = ()
    code: tuple[Code, ...] = ()
    inner: tuple[Inner, ...] = ()
    unreadable: tuple[str, ...] = ()  # views and policies whose definition could not be followed


@dataclass(slots=True)
class _Search:
    relations: dict[Name, Relation] = field(default_factory=dict)
    code: set[Code] = field(default_factory=set)
    inner: list[Inner] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    seen: set[Name] = field(default_factory=set)


async def facts_of(
    statement: Statement, conn: Connection, *, with_policies: bool = True, with_sources: bool = False
) -> Facts:
    """What the names of `statement` stand for, views and policies followed. `conn` is in autocommit mode."""
    search = _Search()
    pending: list[Names] = [statement.names]
    for _ in range(_MOST_ROUNDS):
        found = await _look_up(conn, pending, search, with_sources=with_sources)
        definitions = [part for relation in found for part in _definitions(relation, with_policies=with_policies)]
        pending = [inner.statement.names for inner in _parse_all(definitions, search)]
        if not pending:
            break
    else:
        search.unreadable.append("views nested too deeply")
    return Facts(
        relations=tuple(search.relations.values()),
        code=tuple(search.code),
        inner=tuple(search.inner),
        unreadable=tuple(search.unreadable),
    )


async def _look_up(
    conn: Connection, pending: Iterable[Names], search: _Search, *, with_sources: bool
) -> list[Relation]:
    asked = {name for names in pending for name in names.relations} - search.seen
    search.seen |= asked
    ordered = sorted(asked)
    values = {
        "relation_schemas": [name.schema for name in ordered],
        "relation_names": [name.name for name in ordered],
        "functions": sorted({name.name for names in pending for name in names.functions}),
        "operators": sorted({name.name for names in pending for name in names.operators}),
        "attributes": sorted({name for names in pending for name in names.attributes}),
        "types": sorted({name.name for names in pending for name in names.types | names.functions}),
        "with_sources": with_sources,
    }
    found: list[Relation] = []
    await _plan_once(conn)
    for row in await (await conn.execute(_QUERIES["names"], values, prepare=True)).fetchall():
        name = Name(row["schema"], row["name"])
        if row["what"] == "relation":
            if name not in search.relations:
                search.relations[name] = _relation(name, row["detail"])
                found.append(search.relations[name])
        else:
            kind = (row["detail"] or {}).get("kind", "")
            search.code.add(Code(what=row["what"], name=name, extension=row["extension"], kind=kind))
    return found


async def _plan_once(conn: Connection) -> None:
    # The query takes four times as long to plan as to run, and its plan does not depend on the names.
    if conn not in _planning_once:
        await conn.execute("SET plan_cache_mode = force_generic_plan")
        _planning_once.add(conn)


def _relation(name: Name, detail: Mapping[str, Any]) -> Relation:
    return Relation(
        name=name,
        kind=detail["kind"],
        columns=tuple(detail["columns"] or ()),
        policies=tuple(detail["policies"] or ()),
        definition=detail["definition"] or "",
        kin=tuple((Name(schema, relation), kind) for schema, relation, kind in detail["kin"] or ()),
        shows=tuple((Name(schema, relation), column or "") for schema, relation, column in detail["shows"] or ()),
    )


_Definition = tuple[Literal["view", "policy"], Name, str]


def _definitions(relation: Relation, *, with_policies: bool) -> list[_Definition]:
    found: list[_Definition] = [("view", relation.name, relation.definition)] if relation.definition else []
    if with_policies:
        found += [("policy", relation.name, f"SELECT {policy}") for policy in relation.policies]
    return found


def _parse_all(definitions: Iterable[_Definition], search: _Search) -> list[Inner]:
    parsed: list[Inner] = []
    for what, name, text in definitions:
        try:
            parsed.append(Inner(what=what, of=name, statement=parse(text)))
        except InvalidArguments:
            search.unreadable.append(f"{what} {name}")
    search.inner.extend(parsed)
    return parsed
