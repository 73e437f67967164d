"""Finds the relation and the columns that a tool's arguments name, or says which names are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from agent.db import load_queries
from agent.db.encodings import all_rows
from agent.db.paths import rows_as_application
from agent.errors import InvalidArguments
from agent.learning.names import parse_name
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


class NoSuchName(InvalidArguments):
    """The arguments name a table or column that is not there; perhaps it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: `labels` are the values of an enum, `category` is pg_type.typcategory, `base` the type behind a domain."""

    name: str
    type: str
    category: str
    base: str = ""
    labels: tuple[str, ...] = ()
    generated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelation:
    """A relation that a tool works on."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """The qualified name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def column(self, name: str) -> Column:
        """The column of that name, in the table's own spelling. Raises `InvalidArguments` with near names."""
        exact = [column for column in self.columns if column.name == name]
        as_sql = [column for column in self.columns if (column.name,) == parse_name(name.strip())]
        folded = [column for column in self.columns if column.name.casefold() == name.casefold()]
        for found in (exact, as_sql, folded):
            if len(found) == 1:
                return found[0]
        raise NoSuchName(f"{self} has no column {name!r}. {near(name, [column.name for column in self.columns])}")


async def find_relation(name: str, *, runtime: Runtime) -> NamedRelation:
    """The relation called `name` (table or schema.table). Raises `InvalidArguments` with near names."""
    check_text(name, "table")
    async with runtime.app.connection("agent_reader") as conn:
        for schema, table in _readings(name):
            named = {"schema": schema, "name": table}
            rows = await rows_as_application(conn, _QUERIES["relation_columns"], named)
            if rows:
                return _relation(rows[0])
        names = await all_rows(conn, _QUERIES["relation_names"])
    known = [row["name"] if row["schema"] == "public" else f"{row['schema']}.{row['name']}" for row in names]
    raise NoSuchName(f"There is no table {name!r}. {near(name, known)}")


def check_text(text: str, what: str) -> None:
    """Raise `InvalidArguments` for text that Postgres cannot take."""
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise InvalidArguments(f"The {what} holds a NUL character or a lone surrogate; remove it.")


def near(name: str, known: Iterable[str]) -> str:
    """A sentence that names what is near to `name`, else what there is."""
    known = list(known)
    by_folded = {item.casefold(): item for item in known}
    found = [by_folded[item] for item in difflib.get_close_matches(name.casefold(), by_folded, n=5, cutoff=0.5)]
    found += [item for item in known if name.casefold() in item.casefold() and item not in found][:3]
    if found:
        return f"Did you mean {', '.join(found)}?"
    return f"There are: {', '.join(known[:30])}{', ...' if len(known) > 30 else ''}." if known else "There are none."


def _readings(name: str) -> list[tuple[str, str]]:
    """What a name may mean, as (schema or '', table): as SQL first, then as the catalog writes it, then without quotes."""
    as_sql = parse_name(name.strip())
    readings: list[tuple[str, str]] = []
    if as_sql and len(as_sql) <= 2 and '"' in name:
        readings = [(as_sql[0] if len(as_sql) > 1 else "", as_sql[-1])]
    schema, dot, table = name.partition(".")
    plain = [(schema, table), ("", name)] if dot else [("", name)]
    bare = [(left.strip('"'), right.strip('"')) for left, right in plain]
    return list(dict.fromkeys([*readings, *plain, *bare, *((left.lower(), right.lower()) for left, right in bare)]))


def _relation(row: Mapping[str, Any]) -> NamedRelation:
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
    )
