"""Which columns of the application hold secrets: by the rules of `secret_names`, and as the settings say.

    the catalogs' columns -> rules, AGENT_SECRET_COLUMNS, AGENT_OPEN_COLUMNS -> SecretColumns

What a parent or a partition has as a secret is one in all of its family. A view's column is one where it has the name of a
secret that the view reads, or shows as text what nobody can tell apart from one. What the catalogs are is asked each time;
the columns are read again only when they are other ones.
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
# Of a type's category: what shows text that may be one.
_TEXTS = frozenset("SUACX")


@dataclass(frozen=True, slots=True)
class SecretRules:
    """What the settings say: `added` are secrets whatever they look like, `opened` are none though they look so."""

    added: DenyList = field(default_factory=DenyList)
    opened: DenyList = field(default_factory=DenyList)

    @classmethod
    def of(cls, settings: Settings) -> SecretRules:
        return cls(DenyList.parse(settings.secret_columns), DenyList.parse(settings.open_columns))

    def says(self, schema: str, table: str, name: str, *, looks: bool) -> bool:
        """Whether the column is a secret, where it `looks` like one or not; what is both added and opened is one."""
        if self.added.column(schema, table, name):
            return True
        return looks and not self.opened.column(schema, table, name)


@dataclass(frozen=True, slots=True)
class SecretColumns:
    """The secret columns of one database. `found` are (schema, relation, column), `known` every relation of the catalogs.

    `listed` are those of tables without their partitions, for people.
    """

    found: frozenset[tuple[str, str, str]] = frozenset()
    known: frozenset[tuple[str, str]] = frozenset()
    listed: tuple[str, ...] = ()
    rules: SecretRules = field(default_factory=SecretRules)

    def column(self, schema: str, table: str, name: str) -> bool:
        """Whether the column holds secrets. One of a relation that is not known is judged by its name.

        An empty `schema` stands for any.
        """
        if schema:
            places = [(schema, table)] if (schema, table) in self.known else []
        else:
            places = [place for place in self.known if place[1] == table]
        if not places:
            return self.rules.says(schema, table, name, looks=is_secret(name, table=table))
        return any((*place, name) in self.found for place in places)

    def table(self, schema: str, table: str) -> bool:
        """Whether a relation has such a column, or is not known."""
        places = [place for place in self.known if place[1] == table and schema in {"", place[0]}]
        return not places or any(one[:2] in places for one in self.found)

    def names(self) -> list[str]:
        """Every one as schema.table.column, in order."""
        return list(self.listed)


@dataclass(slots=True)
class _Kept:
    fingerprint: str
    rows: Sequence[Row]
    by_settings: dict[tuple[str, str], SecretColumns] = field(default_factory=dict)


_kept: WeakKeyDictionary[Database, _Kept] = WeakKeyDictionary()


async def secret_columns(runtime: Runtime) -> SecretColumns:
    """The secret columns of the application as its catalogs are now. Raises `DatabaseUnavailable`, `SetupRequired`."""
    with operator_errors():
        async with runtime.app.connection("agent_reader") as conn:
            row = await fetch_one(conn, _QUERIES["secret_fingerprint"])
            fingerprint = str(row["fingerprint"]) if row else ""
            kept = _kept.get(runtime.app)
            if kept is None or kept.fingerprint != fingerprint:
                rows = await fetch_all(conn, _QUERIES["columns_of_relations"])
                kept = _kept[runtime.app] = _Kept(fingerprint, rows)
    settings = runtime.settings
    key = (settings.secret_columns, settings.open_columns)
    if key not in kept.by_settings:
        kept.by_settings[key] = secrets_among(kept.rows, SecretRules.of(settings))
    return kept.by_settings[key]


def secret_columns_at(url: str, settings: Settings) -> SecretColumns:
    """The same, asked as an administrator, before the logins are known to work. Raises psycopg's errors. Blocks."""
    with open_as_administrator(url) as conn, conn.cursor(row_factory=dict_row) as cursor:
        return secrets_among(cursor.execute(_QUERIES["columns_of_relations"]).fetchall(), SecretRules.of(settings))


def deny_line(names: Sequence[str], deny: str) -> str:
    """AGENT_DENY as it would be with these columns too, ready to paste; without names that it cannot write."""
    denied = DenyList.parse(deny)
    writable = [
        name
        for name in names
        if name.count(".") == _DOTS and not set(name) & _NOT_WRITABLE and not denied.column(*name.split("."))
    ]
    return f'AGENT_DENY="{", ".join([*([deny] if deny else []), *writable])}"' if writable else ""


def secrets_among(rows: Sequence[Row], rules: SecretRules) -> SecretColumns:
    """The secret columns of these relations, as `columns_of_relations` has them."""
    own = {row["oid"]: _own_secrets(row, rules) for row in rows}
    for row in _parents_first(rows):
        own[row["oid"]] |= {name for parent in row["parents"] for name in own.get(parent, ()) if name in _names(row)}
    for row in reversed(_parents_first(rows)):  # a secret of a partition is one of its parent's
        for parent in row["parents"]:
            if parent in own:
                own[parent] |= own[row["oid"]]
    for row in _parents_first(rows):
        own[row["oid"]] |= {name for parent in row["parents"] for name in own.get(parent, ()) if name in _names(row)}
    _through_views(rows, own, rules)
    found = frozenset((row["schema"], row["name"], name) for row in rows for name in own[row["oid"]])
    tables = [row for row in rows if row["kind"] in {"r", "p", "f"} and not row["partition"]]
    return SecretColumns(
        found=found,
        known=frozenset((row["schema"], row["name"]) for row in rows),
        listed=tuple(sorted(f"{row['schema']}.{row['name']}.{name}" for row in tables for name in own[row["oid"]])),
        rules=rules,
    )


def column_is_secret(schema: str, table: str, column: Sequence[Any], rules: SecretRules) -> bool:
    """Whether a column is a secret by itself: [name, type, base type of a domain or None, category, comment]."""
    name, declared, base, category, comment = column
    type_name = f"{declared}{DOMAIN_OVER}{base}" if base else declared
    looks = is_secret(name, type_name=type_name, comment=comment, table=table, category=category)
    return rules.says(schema, table, name, looks=looks)


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


def _through_views(rows: Iterable[Row], own: dict[int, set[str]], rules: SecretRules) -> None:
    """Views read views: until nothing new is found."""
    views = [row for row in rows if row["reads"]]
    changed = True
    while changed:
        changed = False
        for view in views:
            new = _shown_by(view, own, rules) - own[view["oid"]]
            own[view["oid"]] |= new
            changed = changed or bool(new)


def _shown_by(view: Row, own: Mapping[int, set[str]], rules: SecretRules) -> set[str]:
    """The columns of a view that may show a secret which it reads: those of its name, and texts of another name than all it reads."""
    read = [(number, name) for number, name in view["reads"]]
    hidden = {name for number, name in read if name in own.get(number, ())}
    if not hidden:
        return set()
    open_names = {name for number, name in read} - hidden
    return {
        column[0]
        for column in view["columns"] or ()
        if (column[0] in hidden or (column[0] not in open_names and column[3] in _TEXTS))
        and rules.says(view["schema"], view["name"], column[0], looks=True)
    }
