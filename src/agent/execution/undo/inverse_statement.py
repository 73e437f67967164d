"""Builds the one statement that takes a change back, from the images of its rows before and after it. Pure.

A row image is the text in which Postgres writes a whole row, `(1,"a, b",)`: every value in its type's own form, which
reads back as the same value. JSON would not do: it has one null where jsonb has two, and no lower bounds of arrays.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from agent.approval.preview import TableEffect
from agent.errors import ActionRefused

_FIELD = re.compile(r'"((?:[^"\\]|""|\\.)*)"|([^",()]*)', re.DOTALL)
_ESCAPED = re.compile(r'""|\\(.)', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table whose rows have images."""

    name: str
    type: str
    generated: bool
    identity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedChange:
    """What an execution did to one table: its row images before and after, in the same order; None where there was no row."""

    execution_id: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]
    others: tuple[TableEffect, ...]

    @classmethod
    def from_row(cls, execution_id: int, row: Mapping[str, Any]) -> RecordedChange:
        """Build a change from a row of agents.before_images."""
        return cls(
            execution_id=execution_id, schema=row["table_schema"], name=row["table_name"], key=tuple(row["key"]),
            columns=tuple(Column(**column) for column in row["columns"]), before=tuple(row["before"]),
            after=tuple(row["after"]), others=tuple(row["others"]),
        )  # fmt: skip

    @property
    def table(self) -> sql.Identifier:
        """Return the qualified name of the table."""
        return sql.Identifier(self.schema, self.name)

    @property
    def inserted(self) -> bool:
        """Return whether the rows were new, so that taking the change back deletes them."""
        return all(image is None for image in self.before)

    @property
    def deleted(self) -> bool:
        """Return whether the rows were deleted, so that taking the change back inserts them."""
        return all(image is None for image in self.after)

    def values(self, image: str | None) -> dict[str, str | None]:
        """Return the values of a row image by column."""
        return dict(zip((column.name for column in self.columns), fields_of(image or ""), strict=True))


def fields_of(image: str) -> list[str | None]:
    """Return the fields of a row image; None for null."""
    fields: list[str | None] = []
    place, end = 1, len(image) - 1
    while place <= end:
        field = _FIELD.match(image, place, end)
        assert field is not None  # noqa: S101  # its second form matches the empty text too
        quoted, bare = field.groups()
        fields.append(_ESCAPED.sub(lambda match: match.group(1) or '"', quoted) if quoted is not None else bare or None)
        place = field.end() + 1
    return fields


def inverse(change: RecordedChange) -> str:
    """Return the statement that takes a change back if all its rows are as it left them, and else touches none.

    Raises `ActionRefused` where there is nothing to take back.
    """
    if not change.before:
        raise ActionRefused(f"Execution {change.execution_id} changed no row: there is nothing to undo.")
    build = _insert if change.deleted else _delete if change.inserted else _update
    return "\n".join([*_comment_lines(change), build(change).as_string()])


def unchanged_rows_query(change: RecordedChange) -> str:
    """Return a query that counts the rows that are as the change left them; after a deletion, those that are there again."""
    if change.deleted:
        return sql.SQL("{was} SELECT pg_catalog.count(*) AS number FROM {table} AS t JOIN was ON {same}").format(
            was=_with_rows(change, change.before, digests=False), table=change.table, same=_same_key(change)
        ).as_string()  # fmt: skip
    return sql.SQL("{was} SELECT ({count}) AS number").format(
        was=_with_rows(change, change.after), count=_unchanged(change)
    ).as_string()  # fmt: skip


def _comment_lines(change: RecordedChange) -> list[str]:
    lines = [f"-- Undoes execution {change.execution_id}."]
    for effect in change.others:
        counted = [f"{effect[kind]} {kind}" for kind in ("inserted", "updated", "deleted") if effect[kind]]
        name = " ".join(effect["table"].split())
        lines.append(f"-- Not undone: {name} {', '.join(counted)}, by triggers or cascades of it.")
    return lines


def _insert(change: RecordedChange) -> sql.Composed:
    columns = [column for column in change.columns if not column.generated]
    rows = [change.values(image) for image in change.before]
    return sql.SQL("INSERT INTO {table} ({names}) {overriding}VALUES\n{rows}").format(
        table=change.table,
        names=_list(sql.Identifier(column.name) for column in columns),
        overriding=sql.SQL("OVERRIDING SYSTEM VALUE " if any(column.identity for column in columns) else ""),
        rows=sql.SQL(",\n").join(_tuple(sql.Literal(row[column.name]) for column in columns) for row in rows),
    )


def _delete(change: RecordedChange) -> sql.Composed:
    return sql.SQL("{was}\nDELETE FROM {table} AS t USING was\n WHERE {same} AND ({count}) = {number}").format(
        was=_with_rows(change, change.after), table=change.table, same=_same_row(change), count=_unchanged(change),
        number=sql.Literal(len(change.after)),
    )  # fmt: skip


def _update(change: RecordedChange) -> sql.Composed:
    pairs = [(change.values(old), change.values(new)) for old, new in zip(change.before, change.after, strict=True)]
    restored = [
        column
        for column in change.columns
        if not column.generated and any(old[column.name] != new[column.name] for old, new in pairs)
    ]
    if not restored:
        raise ActionRefused(f"Execution {change.execution_id} changed no value: there is nothing to undo.")
    assignments = (
        sql.SQL("{} = was.{}").format(sql.Identifier(column.name), sql.Identifier(f"old_{column.name}"))
        for column in restored
    )
    return sql.SQL(
        "{was}\nUPDATE {table} AS t SET {assignments}\n  FROM was\n WHERE {same} AND ({count}) = {number}"
    ).format(
        was=_with_rows(change, change.after, restored), table=change.table, assignments=_list(assignments),
        same=_same_row(change), count=_unchanged(change), number=sql.Literal(len(change.after)),
    )  # fmt: skip


def _with_rows(
    change: RecordedChange, images: Sequence[str | None], restored: Sequence[Column] = (), *, digests: bool = True
) -> sql.Composed:
    """Build `WITH was (...) AS (VALUES ...)`: each row's key, the values to restore, and a digest of its image."""
    types = {column.name: column.type for column in change.columns}
    rows: list[sql.Composed] = []
    for image, old in zip(images, change.before, strict=True):
        assert image is not None  # noqa: S101  # `images` are those of the side that has every row
        now = change.values(image)
        typed = [(now[name], types[name]) for name in change.key]
        typed += [(change.values(old)[column.name], column.type) for column in restored]
        # The first row sets the types of the columns.
        cells = [sql.Literal(value) if rows else _cast(value, type_) for value, type_ in typed]
        rows.append(_tuple([*cells, *([_digest(image)] if digests else [])]))
    names = [sql.Identifier(f"key_{name}") for name in change.key]
    names += [sql.Identifier(f"old_{column.name}") for column in restored]
    names += [sql.Identifier("md5")] if digests else []
    return sql.SQL("WITH was ({names}) AS (VALUES\n{rows})").format(names=_list(names), rows=sql.SQL(",\n").join(rows))


def _digest(image: str) -> sql.Literal:
    return sql.Literal(hashlib.md5(image.encode(), usedforsecurity=False).hexdigest())


def _unchanged(change: RecordedChange) -> sql.Composed:
    return sql.SQL("SELECT pg_catalog.count(*) FROM {table} AS t JOIN was ON {same}").format(
        table=change.table, same=_same_row(change)
    )


def _same_row(change: RecordedChange) -> sql.Composed:
    return sql.SQL("{same} AND pg_catalog.md5(pg_catalog.concat(t.*)) = was.md5").format(same=_same_key(change))


def _same_key(change: RecordedChange) -> sql.Composed:
    pairs = (
        sql.SQL("t.{} = was.{}").format(sql.Identifier(name), sql.Identifier(f"key_{name}")) for name in change.key
    )
    return sql.SQL(" AND ").join(pairs)


def _cast(value: str | None, type_: str) -> sql.Composed:
    return sql.SQL("{}::{}").format(sql.Literal(value), _type_name(type_))


def _type_name(text: Any) -> sql.SQL:
    """Return a type's name as the catalog writes it; it is quoted already."""
    return sql.SQL(text)


def _tuple(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL("({})").format(_list(parts))


def _list(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
