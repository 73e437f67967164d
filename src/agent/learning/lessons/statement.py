"""Reads which objects a SELECT uses, how it joins and filters them, and whether they are still what they were. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.learning.discovery.identifiers import qualified
from agent.learning.discovery.structure import AppStructure, relations

LONGEST = 4_000
# What may change without changing what a statement means.
_NO_MATTER = re.compile(r"owner|comment|rights of .*|default|logged")
_COMPARED = frozenset({"=", "<>", "<", ">", "<=", ">=", "~~", "~~*"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column` compared with `other`: a constant as SQL writes it, "null", "not null", or another column."""

    table: str
    column: str
    operator: str
    other: str
    other_table: str = ""
    other_column: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    """The relations (schema, name), columns and functions that a SELECT names, and its plain comparisons.

    `tables` are the relations by the names that stand for them in the statement; a name with two meanings is left out.
    """

    relations: frozenset[tuple[str, str]]
    columns: frozenset[str]
    functions: frozenset[str]
    star: bool
    tables: tuple[tuple[str, tuple[str, str]], ...]
    comparisons: tuple[Comparison, ...]


@lru_cache(maxsize=4_096)
def read_select(sql: str) -> Select | None:
    """Return what a statement uses, or None if it is no single SELECT that only reads, or is too long."""
    tree = _tree(sql)
    if tree is None:
        return None
    names: set[tuple[str, str]] = set()
    ctes: set[str] = set()
    columns: set[str] = set()
    functions: set[str] = set()
    standing: dict[str, tuple[str, str] | None] = {}
    star = False
    for kind, message in _walk(tree):
        if kind in _WRITES or (kind == "SelectStmt" and (message.HasField("into_clause") or message.locking_clause)):
            return None
        if kind == "RangeVar":
            name = (message.schemaname, message.relname)
            names.add(name)
            alias = message.alias.aliasname if message.HasField("alias") else message.relname
            standing[alias] = None if standing.get(alias, name) != name else name
        elif kind == "CommonTableExpr":
            ctes.add(message.ctename)
        elif kind == "ColumnRef":
            parts = _column(message)
            star = star or parts[-1:] == ["*"]
            columns.update(parts[-1:])
        elif kind == "FuncCall":
            functions.add(message.funcname[-1].string.sval)
    real = {name for name in names if name[0] or name[1] not in ctes}
    tables = tuple(sorted((alias, name) for alias, name in standing.items() if name in real and name is not None))
    return Select(
        frozenset(real), frozenset(columns - {"*"}), frozenset(functions), star, tables,
        tuple(_comparisons(tree, dict(tables))),
    )  # fmt: skip


_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


def used_objects(select: Select, structure: AppStructure) -> tuple[str, ...] | None:
    """Return the qualified names of the relations of a SELECT; None if one is not known to be just one of the application's."""
    found = []
    for schema, name in sorted(select.relations):
        same = [one for one in relations(structure) if one["name"] == name and (not schema or one["schema"] == schema)]
        meant = same if schema else [one for one in same if one["meant"] == one["qualified"]] or same
        if len(meant) != 1:
            return None
        found.append(meant[0]["qualified"])
    return tuple(dict.fromkeys(found)) or None


def digest_of(select: Select, structure: AppStructure) -> str:
    """Return a digest of what a SELECT relies on: its relations, the columns that it names, their types, its functions; '' if one is missing."""
    objects = used_objects(select, structure)
    parts = structure.get("parts", {})
    if objects is None or any(name not in parts for name in objects):
        return ""
    relied: dict[str, Any] = {}
    for name in objects:
        elements = {
            element: _meaning(attributes)
            for element, attributes in parts[name].items()
            if not element or (element.startswith("column ") and (select.star or element[7:] in select.columns))
        }
        relied[name] = elements
        types = {attributes.get("type", "") for element, attributes in elements.items() if element}
        relied |= {kind: parts[kind] for kind in types if kind in parts}
    for name, elements in parts.items():
        if "(" in name and name.partition("(")[0].rpartition(".")[2].strip('"') in select.functions:
            relied[name] = {element: _meaning(attributes) for element, attributes in elements.items()}
    return hashlib.sha256(json.dumps(relied, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_current(sql: str, digest: str, structure: AppStructure) -> bool:
    """Return whether all that a statement relies on is as it was when `digest` was made."""
    select = read_select(sql)
    return select is not None and digest_of(select, structure) == digest != ""


def as_one_line(sql: str) -> str | None:
    """Return the SQL in one line; None if that would change what it says."""
    flat = " ".join(sql.split()).rstrip("; ")
    if re.search(r"--|/\*|\$\w*\$", sql) or any(
        text not in flat for text in re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"", sql)
    ):
        return None
    return flat


def _meaning(attributes: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in attributes.items() if not _NO_MATTER.fullmatch(name)}


def _tree(sql: str) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
    from postgast import PgQueryError, parse

    if len(sql) > LONGEST or "\0" in sql:
        return None
    try:
        statements = parse(sql).stmts
    except (PgQueryError, DecodeError, UnicodeEncodeError):
        return None
    if len(statements) != 1 or statements[0].stmt.WhichOneof("node") != "select_stmt":
        return None
    return statements[0].stmt.select_stmt


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    pending = [tree]
    while pending:
        message = pending.pop()
        yield message.DESCRIPTOR.name, message
        for field, value in message.ListFields():
            if field.message_type is not None:
                pending += [value] if hasattr(value, "ListFields") else list(value)


def _column(message: Any) -> list[str]:
    return ["*" if part.WhichOneof("node") == "a_star" else part.string.sval for part in message.fields]


def _comparisons(tree: Any, tables: Mapping[str, tuple[str, str]]) -> Iterator[Comparison]:
    """Yield the comparisons of a column with a constant or a column, where the statement shows whose columns they are."""
    only = next(iter(tables)) if len(tables) == 1 else ""

    def place(node: Any) -> tuple[str, str] | None:
        if node.WhichOneof("node") != "column_ref":
            return None
        parts = _column(node.column_ref)
        table = parts[-2] if len(parts) > 1 else only
        return (
            (qualified(*tables[table]) if tables[table][0] else tables[table][1], parts[-1])
            if table in tables
            else None
        )

    for kind, message in _walk(tree):
        if kind == "NullTest" and (left := place(message.arg)):
            yield Comparison(*left, "is", "null" if message.nulltesttype == 1 else "not null")
        if kind != "A_Expr" or len(message.name) != 1 or message.name[0].string.sval not in _COMPARED:
            continue
        left, right, operator = place(message.lexpr), place(message.rexpr), message.name[0].string.sval
        if left and right:
            yield Comparison(*left, operator, "", *right)
        elif left and (constant := _constant(message.rexpr)) is not None:
            yield Comparison(*left, operator, constant)


def _constant(node: Any) -> str | None:
    if node.WhichOneof("node") != "a_const":
        return None
    value = node.a_const
    which = value.WhichOneof("val")
    if which == "sval":
        text = str(value.sval.sval).replace("'", "''")
        return f"'{text}'"
    if which == "ival":
        return str(value.ival.ival)
    if which == "boolval":
        return str(value.boolval.boolval).lower()
    return str(value.fval.fval) if which == "fval" else None
