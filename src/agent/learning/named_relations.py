"""Finds the relation and the columns that a tool's arguments name, or says which names are near."""

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
_PARTS, _MOST_DOTS = 2, 5
_IDENT = r'"(?:[^"]|"")+"|[^".]+'
_NAME = re.compile(rf"(?:(?P<schema>{_IDENT})\.)?(?P<name>{_IDENT})", re.DOTALL)


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
    """A relation that a tool works on; `namesakes` are the others that the name it was asked for could have meant."""

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
        """Which one it is, where the name alone does not tell."""
        if not self.namesakes:
            return ""
        have = "has" if len(self.namesakes) == 1 else "have"
        return f"This is {self}; {' and '.join(self.namesakes)} {have} the same name."

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A statement that a tool made of its arguments, and what the model is told beside the result."""

    sql: str
    note: str = ""


async def every_relation(conn: Connection) -> list[dict[str, Any]]:
    """Return the `schema` and `name` of each relation of the application."""
    return await all_rows(conn, _QUERIES["relation_names"])


async def find_relation(name: str, *, runtime: Runtime) -> NamedRelation:
    """The relation called `name` (table or schema.table). Raises `InvalidArguments` with near names.

    Of several it is the one that the name alone means; where nobody can tell, the error names them.
    """
    check_text(name, "table")
    order, deny = await order_of(runtime), DenyList.parse(runtime.settings.deny)
    async with runtime.app.connection("agent_reader") as conn:
        for said in _readings(name):
            asked = {"schema": said.schema, "name": said.name, "schemas": list(order.chosen) or None}
            rows = await all_rows(conn, _QUERIES["relations_named"], asked)
            if rows:
                found = said.among(_of_the_application([(row["schema"], row["name"]) for row in rows], said))
                shown = [qualified(*one) for one in found if not deny.table(*one)]
                return await _read(conn, _meant(name, order.meant(found), shown), shown)
        names = await every_relation(conn)
    known = [
        row["name"] if row["schema"] == "public" else f"{row['schema']}.{row['name']}"
        for row in names
        if not deny.table(row["schema"], row["name"])
    ]
    raise NoSuchName(f"There is no table {name!r}. {near(name, known)}")


def _of_the_application(found: Sequence[Name], said: _NameReading) -> Sequence[Name]:
    """Without those of the platform (`auth.users`), where a plain name has others."""
    own = [name for name in found if name[0] not in PLATFORM_SCHEMAS]
    return own if own and not said.schema else found


def _meant(name: str, meant: Name | None, shown: Sequence[str]) -> Name:
    if meant is None:
        raise NoSuchName(f"{name!r} may mean {' or '.join(shown)}. Ask which is meant, and name it with its schema.")
    return meant


async def _read(conn: Connection, place: Name, shown: Sequence[str]) -> NamedRelation:
    asked = {"schema": place[0], "name": place[1]}
    (row,) = await rows_as_application(conn, _QUERIES["relation_columns"], asked)
    return _relation(row, [name for name in shown if name != qualified(*place)])


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _NameReading:
    """A name as it was given, without its quotes. One in quotes is meant to the letter."""

    schema: str = ""
    name: str
    exact: bool = False

    def among(self, found: Sequence[Name]) -> Sequence[Name]:
        """Those of `found` that are spelt like this; all where none is and no quotes ask for it."""
        spelt = [name for name in found if name == (self.schema or name[0], self.name)]
        return spelt if spelt and (self.exact or self.schema) else found


def _readings(name: str) -> list[_NameReading]:
    """What a name may mean: as SQL writes names, then letter by letter, cut at any of its dots or whole."""
    cuts = [place for place, letter in enumerate(name) if letter == "."][:_MOST_DOTS]
    plain = [_NameReading(schema=name[:cut], name=name[cut + 1 :], exact=True) for cut in cuts]
    readings = [*_as_sql(name.strip()), *plain, _NameReading(name=name), _NameReading(name=name.strip())]
    return list(dict.fromkeys(readings))


def _as_sql(name: str) -> list[_NameReading]:
    match = _NAME.fullmatch(name)
    if match is not None:
        schema, table = (_unquoted(match[part] or "") for part in ("schema", "name"))
        return [_NameReading(schema=schema, name=table, exact=match["name"].startswith('"'))]
    parts = parse_name(name)
    if parts is None or len(parts) > _PARTS:
        return []
    return [_NameReading(schema=parts[0] if len(parts) == _PARTS else "", name=parts[-1], exact=True)]


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
