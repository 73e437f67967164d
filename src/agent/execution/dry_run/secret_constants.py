"""A statement as everybody may see it: without the constants that it puts into, or compares with, columns of secrets. Pure.

Where it is plain which constants those are (an UPDATE's assignments, an INSERT's rows), the others stay. In every other form
that names such a column all constants are masked.
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
    """The statement with the constants masked that nobody is shown."""
    is_secret = _rule(statement, secrets)
    touched = frozenset(name for name in _names_in([statement.node]) if is_secret(name))
    unnamed = _fills_secrets_unnamed(statement, secrets) or _names_one_in_a_text(statement)
    if touched or unnamed:
        own = _ALL if unnamed else _places(statement, touched)
        return texts_masked_at(statement.sql, own or (), every=own is _ALL)
    places = frozenset(
        part.location for kind, part in statement.parts if kind == "A_Const" and gives_secret(part.sval.sval)
    )
    return texts_masked_at(statement.sql, places) if places or keys_in(statement.sql) else statement.sql


def kept_sql_for_everybody(statement: Statement, secrets: SecretColumns) -> str:
    """The same of a statement that is made of kept rows, which holds digests of them too."""
    tables = {(name.schema, name.name) for name in statement.names.relations}
    if any((schema, table) in tables or ("", table) in tables for schema, table, _ in secrets.columns):
        return without_texts(statement.sql)
    return sql_for_everybody(statement, secrets)


def reads_secrets(statement: Statement, secrets: SecretColumns) -> bool:
    """Whether what it writes may be made of secrets that it reads: a column of them, or a whole row with one."""
    if statement.kind not in _DATA:
        return False
    is_secret, tables = _rule(statement, secrets), {name.name for name in statement.names.relations}
    rows = tables | {part.aliasname for kind, part in statement.parts if kind == "Alias"}
    holds = any(table in tables for _, table, _ in secrets.columns)
    # Conditions and what is returned come into no row.
    apart = {part.location for part in _conditions(statement.node) if kind_of(part) == "ColumnRef"}
    for kind, part in statement.parts:
        if kind != "ColumnRef" or part.location in apart:
            continue
        last = part.fields[-1]
        whole = not last.HasField("string") or (len(part.fields) == 1 and last.string.sval in rows)
        if (whole and holds) or (last.HasField("string") and is_secret(last.string.sval)):
            return True
    return False


def _rule(statement: Statement, secrets: SecretColumns) -> IsSecret:
    tables = [(name.schema, name.name) for name in statement.names.relations]

    def is_secret(name: str) -> bool:
        if any(secrets.column(schema, table, name) for schema, table in tables):
            return True
        # A name that a statement only makes, or that is of no table, is judged as such.
        if tables and statement.kind in _DATA:
            return False
        schema, table = tables[0] if tables else ("", "")
        return secrets.rules.is_secret(schema, table, name, looks_secret=looks_secret(name))

    return is_secret


def _places(statement: Statement, touched: frozenset[str]) -> frozenset[int] | None:
    """Where the constants begin that only go into these columns; None where it is not plain which those are."""
    node = statement.node
    if statement.kind == "InsertStmt" and node.cols:
        return _of_rows(node, touched)
    if statement.kind == "UpdateStmt" and not node.from_clause and not node.HasField("with_clause"):
        return _of_assignments(node.target_list, [node.relation, node.where_clause, node.returning_clause], touched)
    return _ALL


def _of_assignments(
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
    return _constants(own)


def _of_rows(node: Message, touched: frozenset[str]) -> frozenset[int] | None:
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
    updated = _of_assignments(conflict.target_list, others, touched)
    if updated is _ALL or not touched.isdisjoint(_names_in(own)):
        return _ALL
    return updated | _constants(own)


def _fills_secrets_unnamed(statement: Statement, secrets: SecretColumns) -> bool:
    """Whether it may write rows of a table with secrets whose columns it does not name."""
    rows = [part for kind, part in statement.parts if kind == "InsertStmt" and not part.cols]
    tables = [(part.relation.schemaname, part.relation.relname) for part in rows]
    if any(kind == "MergeStmt" for kind, _ in statement.parts):
        tables += [(name.schema, name.name) for name in statement.names.relations]
    return any(
        table == known and schema in {"", place} for schema, table in tables for place, known, _ in secrets.columns
    )


def _names_one_in_a_text(statement: Statement) -> bool:
    """Whether a whole constant is the name of a secret: a key of JSON, or of a table of settings."""
    return any(names_secret(part.sval.sval) for kind, part in statement.parts if kind == "A_Const")


def names_secret(text: str) -> bool:
    """Whether a whole text is the name of a secret."""
    return len(text) < 64 and bool(_WORD.fullmatch(text)) and looks_secret(text)


def gives_secret(text: str) -> bool:
    """Whether a text says what a secret is, or is one by its form."""
    return bool(keys_in(text)) or any(looks_secret(word) for word in _GIVEN.findall(text))


def _conditions(node: Message) -> Iterator[Message]:
    for name in ("where_clause", "returning_clause"):
        if name in node.DESCRIPTOR.fields_by_name and node.HasField(name):
            yield from walk(getattr(node, name))


def _constants(nodes: Iterable[Message]) -> frozenset[int]:
    return frozenset(
        part.location
        for node in nodes
        for part in walk(node)
        if kind_of(part) == "A_Const" and part.WhichOneof("val") in _VALUES
    )


def _names_in(nodes: Iterable[Message]) -> set[str]:
    """Every text of a tree that is no constant: names of columns, aliases, options."""
    found: set[str] = set()
    for node in nodes:
        for part in walk(node):
            for _, value in part.ListFields():
                if isinstance(value, str):
                    found.add(value)
    return found
