"""Masks in a statement the constants that it puts into, or compares with, columns of secrets. Pure.

Where it is clear which constants those are (an UPDATE's assignments, an INSERT's rows), the others stay. In every other
statement that names such a column all constants are masked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from agent.learning.discovery.secret_columns import SecretColumns
from agent.privacy.masked_texts import texts_masked_at, without_texts
from agent.privacy.sensitive import keys_in, looks_secret
from agent.statements.parser import Message, Statement, kind_of, walk

_VALUES = ("ival", "fval", "sval", "bsval")
_DATA = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "SelectStmt"})
_ALL = None
# A text that gives a word a value: `"api_key": "..."`, `password = ...`.
_GIVEN = re.compile(r"""["']?([^\W\d][\w-]*)["']?\s*(?::|=)""")

_WORD = re.compile(r"[^\W\d][\w.-]*")

IsSecret = Callable[[str], bool]


def sql_for_everybody(statement: Statement, secrets: SecretColumns) -> str:
    """Return the statement with the constants masked that nobody may see."""
    is_secret = _secrecy_rule(statement, secrets)
    touched = frozenset(name for name in _names_in([statement.node]) if is_secret(name))
    unnamed = _writes_unnamed_columns(statement, secrets) or _has_name_of_secret(statement)
    if touched or unnamed:
        own = _ALL if unnamed else _places_of_secrets(statement, touched)
        return texts_masked_at(statement.sql, own or (), every=own is _ALL)
    places = frozenset(
        part.location for kind, part in statement.parts if kind == "A_Const" and gives_secret(part.sval.sval)
    )
    return texts_masked_at(statement.sql, places) if places or keys_in(statement.sql) else statement.sql


def kept_sql_for_everybody(statement: Statement, secrets: SecretColumns) -> str:
    """Return `sql_for_everybody` of a statement built from kept rows; it holds digests of rows, which are masked too."""
    tables = {(name.schema, name.name) for name in statement.names.relations}
    if any((schema, table) in tables or ("", table) in tables for schema, table, _ in secrets.columns):
        return without_texts(statement.sql)
    return sql_for_everybody(statement, secrets)


def reads_secrets(statement: Statement, secrets: SecretColumns) -> bool:
    """Return whether a write may copy secrets that it reads: from a column of them, or in a whole row."""
    if statement.kind not in _DATA:
        return False
    is_secret, tables = _secrecy_rule(statement, secrets), {name.name for name in statement.names.relations}
    rows = tables | {part.aliasname for kind, part in statement.parts if kind == "Alias"}
    holds = any(table in tables for _, table, _ in secrets.columns)
    # Values in conditions and in RETURNING are not written.
    apart = {part.location for part in _conditions(statement.node) if kind_of(part) == "ColumnRef"}
    for kind, part in statement.parts:
        if kind != "ColumnRef" or part.location in apart:
            continue
        last = part.fields[-1]
        whole = not last.HasField("string") or (len(part.fields) == 1 and last.string.sval in rows)
        if (whole and holds) or (last.HasField("string") and is_secret(last.string.sval)):
            return True
    return False


def _secrecy_rule(statement: Statement, secrets: SecretColumns) -> IsSecret:
    tables = [(name.schema, name.name) for name in statement.names.relations]

    def is_secret(name: str) -> bool:
        if any(secrets.column(schema, table, name) for schema, table in tables):
            return True
        # A name of no table, such as one that the statement creates, is judged by itself.
        if tables and statement.kind in _DATA:
            return False
        schema, table = tables[0] if tables else ("", "")
        return secrets.rules.is_secret(schema, table, name, looks_secret=looks_secret(name))

    return is_secret


def _places_of_secrets(statement: Statement, touched: frozenset[str]) -> frozenset[int] | None:
    """Return where the constants begin that only go into these columns; None where it is not clear which those are."""
    node = statement.node
    if statement.kind == "InsertStmt" and node.cols:
        return _places_in_rows(node, touched)
    if statement.kind == "UpdateStmt" and not node.from_clause and not node.HasField("with_clause"):
        return _places_in_assignments(
            node.target_list, [node.relation, node.where_clause, node.returning_clause], touched
        )
    return _ALL


def _places_in_assignments(
    assigned: Iterable[Message], others: list[Message], touched: frozenset[str]
) -> frozenset[int] | None:
    own: list[Message] = []
    for part in assigned:
        target = part.res_target
        if target.indirection or target.val.HasField("multi_assign_ref"):
            return _ALL
        (own if target.name in touched else others).append(target.val)
    if not touched.isdisjoint(_names_in([*others, *own])):
        return _ALL
    return _places_of_constants(own)


def _places_in_rows(node: Message, touched: frozenset[str]) -> frozenset[int] | None:
    select = node.select_stmt.select_stmt
    conflict = node.on_conflict_clause
    if not select.values_lists or node.HasField("with_clause") or select.HasField("with_clause"):
        return _ALL
    columns = [part.res_target.name for part in node.cols]
    own: list[Message] = []
    others = [node.returning_clause, conflict.where_clause, conflict.infer]
    for row in select.values_lists:
        cells = list(row.list.items)
        if len(cells) > len(columns):
            return _ALL
        for name, cell in zip(columns, cells, strict=False):
            (own if name in touched else others).append(cell)
    updated = _places_in_assignments(conflict.target_list, others, touched)
    if updated is _ALL or not touched.isdisjoint(_names_in(own)):
        return _ALL
    return updated | _places_of_constants(own)


def _writes_unnamed_columns(statement: Statement, secrets: SecretColumns) -> bool:
    """Return whether it may write rows of a table with secrets without naming the columns."""
    rows = [part for kind, part in statement.parts if kind == "InsertStmt" and not part.cols]
    tables = [(part.relation.schemaname, part.relation.relname) for part in rows]
    if any(kind == "MergeStmt" for kind, _ in statement.parts):
        tables += [(name.schema, name.name) for name in statement.names.relations]
    return any(
        table == known and schema in {"", place} for schema, table in tables for place, known, _ in secrets.columns
    )


def _has_name_of_secret(statement: Statement) -> bool:
    """Return whether a whole constant is the name of a secret: a key of JSON, or of a table of settings."""
    return any(names_secret(part.sval.sval) for kind, part in statement.parts if kind == "A_Const")


def names_secret(text: str) -> bool:
    """Return whether a whole text is the name of a secret."""
    return len(text) < 64 and bool(_WORD.fullmatch(text)) and looks_secret(text)


def gives_secret(text: str) -> bool:
    """Return whether a text gives a secret a value, or has the form of a key."""
    return bool(keys_in(text)) or any(looks_secret(word) for word in _GIVEN.findall(text))


def _conditions(node: Message) -> Iterator[Message]:
    for name in ("where_clause", "returning_clause"):
        if name in node.DESCRIPTOR.fields_by_name and node.HasField(name):
            yield from walk(getattr(node, name))


def _places_of_constants(nodes: Iterable[Message]) -> frozenset[int]:
    return frozenset(
        part.location
        for node in nodes
        for part in walk(node)
        if kind_of(part) == "A_Const" and part.WhichOneof("val") in _VALUES
    )


def _names_in(nodes: Iterable[Message]) -> set[str]:
    """Return every text of the trees that is no constant: names of columns, aliases, options."""
    names: set[str] = set()
    for node in nodes:
        for part in walk(node):
            for _, value in part.ListFields():
                if isinstance(value, str):
                    names.add(value)
    return names
