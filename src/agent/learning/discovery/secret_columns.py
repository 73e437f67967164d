"""Decides which columns of the application hold secrets, by the rules of `secret_names` and by the settings.

    the catalogs' columns -> rules, AGENT_SECRET_COLUMNS, AGENT_OPEN_COLUMNS -> SecretColumns

A secret column of a parent or a partition is one in the whole family. A view's column is one when it has the name of a secret
column that the view reads, or when it is text under another name than all columns that the view reads. A fingerprint of the
catalogs is read each time; the columns are read again only when it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from psycopg.rows import dict_row

from agent.db import Database, load_queries
from agent.db.failures import operator_errors
from agent.db.paths import open_as_administrator
from agent.db.queries import fetch_all, fetch_one
from agent.privacy.secret_names import DOMAIN_OVER, is_secret
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime
from agent.settings import Settings

Row = Mapping[str, Any]

_QUERIES = load_queries(__package__, "secret_columns.sql")
_DOTS = 2
_NOT_WRITABLE = set("*?[],\"'$`\\ ")
# The type categories whose values may be the text of a secret.
_TEXT_CATEGORIES = frozenset("SUACX")


@dataclass(frozen=True, slots=True)
class SecretRules:
    """The settings on secrets: `added` columns are secrets whatever they look like, `opened` ones are not."""

    added: DenyList = field(default_factory=DenyList)
    opened: DenyList = field(default_factory=DenyList)

    @classmethod
    def of(cls, settings: Settings) -> SecretRules:
        """Return the rules of `settings`."""
        return cls(DenyList.parse(settings.secret_columns), DenyList.parse(settings.open_columns))

    def is_secret(self, schema: str, table: str, name: str, *, looks_secret: bool) -> bool:
        """Return whether the column is a secret, given whether it looks like one. Added wins over opened."""
        if self.added.column(schema, table, name):
            return True
        return looks_secret and not self.opened.column(schema, table, name)


@dataclass(frozen=True, slots=True)
class SecretColumns:
    """The secret columns of one database, as (schema, relation, column); `known` is every relation of the catalogs.

    `listed` is for people: the secret columns of tables, without those of partitions.
    """

    columns: frozenset[tuple[str, str, str]] = frozenset()
    known: frozenset[tuple[str, str]] = frozenset()
    listed: tuple[str, ...] = ()
    rules: SecretRules = field(default_factory=SecretRules)

    def column(self, schema: str, table: str, name: str) -> bool:
        """Return whether the column holds secrets. In a relation that is not known its name decides.

        An empty `schema` stands for any schema.
        """
        if schema:
            relations = [(schema, table)] if (schema, table) in self.known else []
        else:
            relations = [relation for relation in self.known if relation[1] == table]
        if not relations:
            return self.rules.is_secret(schema, table, name, looks_secret=is_secret(name, table=table))
        return any((*relation, name) in self.columns for relation in relations)

    def table(self, schema: str, table: str) -> bool:
        """Return whether a relation has a secret column, or is not known."""
        relations = [relation for relation in self.known if relation[1] == table and schema in {"", relation[0]}]
        return not relations or any(column[:2] in relations for column in self.columns)

    def names(self) -> list[str]:
        """Return `listed` as a list of schema.table.column, sorted."""
        return list(self.listed)


@dataclass(slots=True)
class _Cached:
    fingerprint: str
    rows: Sequence[Row]
    by_settings: dict[tuple[str, str], SecretColumns] = field(default_factory=dict)


_cache: WeakKeyDictionary[Database, _Cached] = WeakKeyDictionary()


async def secret_columns(runtime: Runtime) -> SecretColumns:
    """Return the secret columns as the catalogs are now. Raises `DatabaseUnavailable`, `SetupRequired`."""
    with operator_errors():
        async with runtime.app.connection("agent_reader") as conn:
            row = await fetch_one(conn, _QUERIES["secret_fingerprint"])
            fingerprint = str(row["fingerprint"]) if row else ""
            cached = _cache.get(runtime.app)
            if cached is None or cached.fingerprint != fingerprint:
                rows = await fetch_all(conn, _QUERIES["columns_of_relations"])
                cached = _cache[runtime.app] = _Cached(fingerprint, rows)
    settings = runtime.settings
    key = (settings.secret_columns, settings.open_columns)
    if key not in cached.by_settings:
        cached.by_settings[key] = secrets_among(cached.rows, SecretRules.of(settings))
    return cached.by_settings[key]


def secret_columns_at(url: str, settings: Settings) -> SecretColumns:
    """Return the same, read as the administrator, for use before the logins work. Blocks. Raises psycopg's errors."""
    with open_as_administrator(url) as conn, conn.cursor(row_factory=dict_row) as cursor:
        return secrets_among(cursor.execute(_QUERIES["columns_of_relations"]).fetchall(), SecretRules.of(settings))


def deny_line(names: Sequence[str], deny: str) -> str:
    """Return the line for .env that adds these columns to AGENT_DENY, without names that it cannot express; '' if none is left."""
    denied = DenyList.parse(deny)
    writable = [
        name
        for name in names
        if name.count(".") == _DOTS and not set(name) & _NOT_WRITABLE and not denied.column(*name.split("."))
    ]
    return f'AGENT_DENY="{", ".join([*([deny] if deny else []), *writable])}"' if writable else ""


def secrets_among(rows: Sequence[Row], rules: SecretRules) -> SecretColumns:
    """Return the secret columns of these relations; the rows are those of the query `columns_of_relations`."""
    own = {row["oid"]: _own_secrets(row, rules) for row in rows}
    for row in _parents_first(rows):
        own[row["oid"]] |= {name for parent in row["parents"] for name in own.get(parent, ()) if name in _names(row)}
    for row in reversed(_parents_first(rows)):  # a partition's secret column is one of its parent too
        for parent in row["parents"]:
            if parent in own:
                own[parent] |= own[row["oid"]]
    for row in _parents_first(rows):
        own[row["oid"]] |= {name for parent in row["parents"] for name in own.get(parent, ()) if name in _names(row)}
    _add_view_columns(rows, own, rules)
    columns = frozenset((row["schema"], row["name"], name) for row in rows for name in own[row["oid"]])
    tables = [row for row in rows if row["kind"] in {"r", "p", "f"} and not row["partition"]]
    return SecretColumns(
        columns=columns,
        known=frozenset((row["schema"], row["name"]) for row in rows),
        listed=tuple(sorted(f"{row['schema']}.{row['name']}.{name}" for row in tables for name in own[row["oid"]])),
        rules=rules,
    )


def column_is_secret(schema: str, table: str, column: Sequence[Any], rules: SecretRules) -> bool:
    """Return whether a column is a secret by itself: [name, type, base type of a domain or None, category, comment]."""
    name, declared, base, category, comment = column
    type_name = f"{declared}{DOMAIN_OVER}{base}" if base else declared
    looks = is_secret(name, type_name=type_name, comment=comment, table=table, category=category)
    return rules.is_secret(schema, table, name, looks_secret=looks)


def _own_secrets(row: Row, rules: SecretRules) -> set[str]:
    return {column[0] for column in row["columns"] or () if column_is_secret(row["schema"], row["name"], column, rules)}


def _names(row: Row) -> set[str]:
    return {column[0] for column in row["columns"] or ()}


def _parents_first(rows: Sequence[Row]) -> list[Row]:
    by_number, ordered = {row["oid"]: row for row in rows}, dict[int, Row]()

    def add(row: Row) -> None:
        for parent in row["parents"]:
            if parent in by_number and parent not in ordered:
                add(by_number[parent])
        ordered.setdefault(row["oid"], row)

    for row in rows:
        add(row)
    return list(ordered.values())


def _add_view_columns(rows: Iterable[Row], own: dict[int, set[str]], rules: SecretRules) -> None:
    """Add the views' secret columns to `own`; views read views, so repeat until nothing is added."""
    views = [row for row in rows if row["reads"]]
    changed = True
    while changed:
        changed = False
        for view in views:
            new = _view_secrets(view, own, rules) - own[view["oid"]]
            own[view["oid"]] |= new
            changed = changed or bool(new)


def _view_secrets(view: Row, own: Mapping[int, set[str]], rules: SecretRules) -> set[str]:
    """Return the columns of a view that may show a secret: by the secret's name, or as text under a name that it does not read."""
    hidden = {name for oid, name in view["reads"] if name in own.get(oid, ())}
    if not hidden:
        return set()
    open_names = {name for _, name in view["reads"]} - hidden
    return {
        column[0]
        for column in view["columns"] or ()
        if (column[0] in hidden or (column[0] not in open_names and column[3] in _TEXT_CATEGORIES))
        and rules.is_secret(view["schema"], view["name"], column[0], looks_secret=True)
    }
