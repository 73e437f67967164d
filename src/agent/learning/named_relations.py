"""Finds the relation and the columns that a tool's arguments name, or suggests similar names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from agent.db import Connection, load_queries
from agent.db.encodings import all_rows
from agent.db.logins import PLATFORM_SCHEMAS
from agent.db.paths import rows_as_application
from agent.errors import InvalidArguments
from agent.learning.auto_discover import order_of
from agent.learning.discovery.identifiers import parse_name, qualified
from agent.learning.discovery.namesakes import Name
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
_MAX_PARTS, _MAX_DOTS = 2, 5
_IDENT = r'"(?:[^"]|"")+"|[^".]+'
_NAME = re.compile(rf"(?:(?P<schema>{_IDENT})\.)?(?P<name>{_IDENT})", re.DOTALL)


class NoSuchName(InvalidArguments):
    """The arguments name a table or column that does not exist; the schema may have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. `labels` are the values of an enum, `category` is pg_type.typcategory, `base` the type behind a domain."""

    name: str
    type: str
    category: str
    base: str = ""
    labels: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelation:
    """A relation that a tool uses. `namesakes` are the other relations that the given name could mean."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    namesakes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def note(self) -> str:
        """A sentence that says which relation it is, where the name is ambiguous; else ''."""
        if not self.namesakes:
            return ""
        have = "has" if len(self.namesakes) == 1 else "have"
        return f"This is {self}; {' and '.join(self.namesakes)} {have} the same name."

    @property
    def identifier(self) -> sql.Identifier:
        """The qualified name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises `NoSuchName` with similar names."""
        exact = [column for column in self.columns if column.name == name]
        as_sql = [column for column in self.columns if (column.name,) == parse_name(name.strip())]
        folded = [column for column in self.columns if column.name.casefold() == name.casefold()]
        for matches in (exact, as_sql, folded):
            if len(matches) == 1:
                return matches[0]
        raise NoSuchName(f"{self} has no column {name!r}. {suggestion(name, [column.name for column in self.columns])}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltStatement:
    """A statement that a tool built from its arguments, and a note for the model beside the result."""

    sql: str
    note: str = ""


async def every_relation(conn: Connection) -> list[dict[str, Any]]:
    """Return the `schema` and `name` of each relation of the application."""
    return await all_rows(conn, _QUERIES["relation_names"])


async def find_relation(name: str, *, runtime: Runtime) -> NamedRelation:
    """Return the relation called `name` (table or schema.table). Raises `NoSuchName` with similar names.

    Of several it is the one that a plain name means; where that is ambiguous, the error names them.
    """
    check_text(name, "table")
    order, deny = await order_of(runtime), DenyList.parse(runtime.settings.deny)
    async with runtime.app.connection("agent_reader") as conn:
        for reading in _readings(name):
            values = {"schema": reading.schema, "name": reading.name, "schemas": list(order.chosen) or None}
            rows = await all_rows(conn, _QUERIES["relations_named"], values)
            if rows:
                candidates = reading.filter(_own_relations([(row["schema"], row["name"]) for row in rows], reading))
                allowed = [qualified(*candidate) for candidate in candidates if not deny.table(*candidate)]
                return await _read(conn, _chosen(name, order.meant(candidates), allowed), allowed)
        names = await every_relation(conn)
    known = [
        row["name"] if row["schema"] == "public" else f"{row['schema']}.{row['name']}"
        for row in names
        if not deny.table(row["schema"], row["name"])
    ]
    raise NoSuchName(f"There is no table {name!r}. {suggestion(name, known)}")


def _own_relations(candidates: Sequence[Name], reading: _NameReading) -> Sequence[Name]:
    """Return the candidates without the platform's (`auth.users`), where a plain name has others."""
    own = [name for name in candidates if name[0] not in PLATFORM_SCHEMAS]
    return own if own and not reading.schema else candidates


def _chosen(name: str, meant: Name | None, candidates: Sequence[str]) -> Name:
    if meant is None:
        raise NoSuchName(
            f"{name!r} may mean {' or '.join(candidates)}. Ask which is meant, and name it with its schema."
        )
    return meant


async def _read(conn: Connection, relation: Name, candidates: Sequence[str]) -> NamedRelation:
    values = {"schema": relation[0], "name": relation[1]}
    (row,) = await rows_as_application(conn, _QUERIES["relation_columns"], values)
    return _relation(row, [name for name in candidates if name != qualified(*relation)])


def check_text(text: str, what: str) -> None:
    """Raise `InvalidArguments` for text that Postgres cannot take."""
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise InvalidArguments(f"The {what} holds a NUL character or a lone surrogate; remove it.")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the names similar to `name`, else lists the `known` names."""
    known = list(known)
    by_folded = {item.casefold(): item for item in known}
    similar = [by_folded[item] for item in difflib.get_close_matches(name.casefold(), by_folded, n=5, cutoff=0.5)]
    similar += [item for item in known if name.casefold() in item.casefold() and item not in similar][:3]
    if similar:
        return f"Did you mean {', '.join(similar)}?"
    return f"There are: {', '.join(known[:30])}{', ...' if len(known) > 30 else ''}." if known else "There are none."


@dataclass(frozen=True, slots=True, kw_only=True)
class _NameReading:
    """One way to read a given name, without quotes. `exact` names must match in their case."""

    schema: str = ""
    name: str
    exact: bool = False

    def filter(self, candidates: Sequence[Name]) -> Sequence[Name]:
        """Return the candidates in this very case where the reading is exact or has a schema; all where none matches."""
        spelt = [name for name in candidates if name == (self.schema or name[0], self.name)]
        return spelt if spelt and (self.exact or self.schema) else candidates


def _readings(name: str) -> list[_NameReading]:
    """Return the readings of a name: as SQL, then literally, split at each of its dots, then whole."""
    dots = [position for position, character in enumerate(name) if character == "."][:_MAX_DOTS]
    plain = [_NameReading(schema=name[:dot], name=name[dot + 1 :], exact=True) for dot in dots]
    readings = [*_as_sql(name.strip()), *plain, _NameReading(name=name), _NameReading(name=name.strip())]
    return list(dict.fromkeys(readings))


def _as_sql(name: str) -> list[_NameReading]:
    match = _NAME.fullmatch(name)
    if match is not None:
        schema, table = (_unquoted(match[part] or "") for part in ("schema", "name"))
        return [_NameReading(schema=schema, name=table, exact=match["name"].startswith('"'))]
    parts = parse_name(name)
    if parts is None or len(parts) > _MAX_PARTS:
        return []
    return [_NameReading(schema=parts[0] if len(parts) == _MAX_PARTS else "", name=parts[-1], exact=True)]


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _relation(row: Mapping[str, Any], namesakes: Sequence[str]) -> NamedRelation:
    columns = tuple(
        Column(
            name=item["name"], type=item["type"], category=item["category"], base=item["base"], labels=tuple(item["labels"] or ()),
            generated=item["generated"],
        )
        for item in row["columns"] or ()
    )  # fmt: skip
    return NamedRelation(
        schema=row["schema"],
        name=row["name"],
        columns=columns,
        key=tuple(row["key"] or ()),
        checks=tuple(row["checks"] or ()),
        namesakes=tuple(namesakes),
    )
