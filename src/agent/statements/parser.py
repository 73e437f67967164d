"""Parses one statement with Postgres's own grammar and collects every name in it. Pure: no database, no rules.

The parser is recursive C code, so the length of a text is limited before it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agent.errors import InvalidArguments

# A chain such as 1+1+1... of 100,000 characters overflows the parser's C stack; 40,000 do not.
MOST_CHARACTERS = 20_000
# The tree of a longer text is too large for the cache.
_MOST_CACHED_CHARACTERS = 2_000

POSITIONS = ("location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end", "name_location")

Message = Any  # a protobuf message of postgast, which has no usable types


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A possibly qualified name; `schema` is '' when it is not qualified."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Every name of a statement. Names of CTEs are also in `relations`, because only the scope decides which is meant.

    `attributes` are names that are taken from a row (`t.x`, `(r).x`): columns, or functions of one argument in that notation.
    """

    relations: frozenset[Name] = frozenset()
    ctes: frozenset[str] = frozenset()
    functions: frozenset[Name] = frozenset()
    operators: frozenset[Name] = frozenset()
    types: frozenset[Name] = frozenset()
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One parsed statement.

    `kind` is the grammar's name for it, such as "SelectStmt", and `node` its message. `parts` are all messages of its tree
    as (kind, message), the outermost first.
    """

    sql: str
    kind: str
    node: Message
    names: Names
    parts: tuple[tuple[str, Message], ...]

    @classmethod
    def of(cls, sql: str, node: Message) -> Statement:
        """Return the statement whose message is `node`."""
        parts = tuple((kind_of(message), message) for message in walk(node))
        return cls(sql=sql, kind=kind_of(node), node=node, names=collect_names(parts), parts=parts)

    @property
    def text(self) -> str:
        """Return the statement's text without a semicolon and what follows it."""
        from postgast import parse as postgast_parse

        raw = postgast_parse(self.sql).stmts[0]
        written = self.sql.encode()[raw.stmt_location :]
        return (written[: raw.stmt_len] if raw.stmt_len else written).decode()

    @property
    def objects(self) -> tuple[str, ...]:
        """Return the relations that the statement names, as written; for a DROP, the objects that it drops."""
        names = dropped(self.node) if self.kind == "DropStmt" else self.names.relations
        return tuple(sorted(str(name) for name in names if name.name and not self._is_cte(name)))

    def _is_cte(self, name: Name) -> bool:
        return not name.schema and name.name in self.names.ctes


def parse(sql: str, *, most_characters: int | None = MOST_CHARACTERS) -> Statement:
    """Parse exactly one statement. Raises `InvalidArguments` with a message for the model.

    `most_characters` is None only for text that was written out from a parse tree, whose depth is limited.
    """
    _check_text(sql, most_characters)
    return _parsed_cached(sql) if len(sql) <= _MOST_CACHED_CHARACTERS else _parsed(sql)


@lru_cache(maxsize=64)
def _parsed_cached(sql: str) -> Statement:
    """Parse a statement, from the cache if possible: a turn parses the same one before it runs and for each look at its result."""
    return _parsed(sql)


def _parsed(sql: str) -> Statement:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
    from postgast import PgQueryError
    from postgast import parse as postgast_parse

    try:
        tree = postgast_parse(sql)
    except PgQueryError as error:
        raise InvalidArguments(f"The SQL is not valid: {error}.") from error
    except DecodeError as error:
        raise InvalidArguments(
            "The SQL is nested too deeply; write it with fewer levels (a WITH query helps)."
        ) from error
    if len(tree.stmts) != 1:
        raise InvalidArguments(f"Pass exactly one SQL statement; this is {len(tree.stmts)}.")
    wrapper = tree.stmts[0].stmt
    node = getattr(wrapper, wrapper.WhichOneof("node"))
    return Statement.of(sql, node)


def _check_text(sql: str, most_characters: int | None) -> None:
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidArguments("Pass one SQL statement as text.")
    if most_characters is not None and len(sql) > most_characters:
        raise InvalidArguments(f"The SQL has {len(sql)} characters; the most is {most_characters}.")
    if "\0" in sql:
        raise InvalidArguments("The SQL holds a NUL character; remove it.")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise InvalidArguments(f"The SQL holds a lone surrogate at character {error.start}; remove it.") from error


def explained(statement: Statement) -> Statement | None:
    """Return the statement that an EXPLAIN is about; None for other statements."""
    if statement.kind != "ExplainStmt":
        return None
    wrapper = statement.node.query
    return Statement.of(statement.sql, getattr(wrapper, wrapper.WhichOneof("node")))


def write_out(node: Message) -> str | None:
    """Return the SQL of a SELECT's message; None if that text would be another statement."""
    from postgast import PgQueryError, deparse
    from postgast import parse as postgast_parse

    tree = postgast_parse("SELECT")
    tree.stmts[0].stmt.select_stmt.CopyFrom(node)
    try:
        text = str(deparse(tree))
        again = parse(text, most_characters=None)
    except (PgQueryError, InvalidArguments):
        return None
    return text if same(again.node, node) else None


def same(left: Message, right: Message) -> bool:
    """Return whether two parse trees are equal, without regard to positions in their texts."""
    return bool(_without_positions(left) == _without_positions(right))


def _without_positions(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    for part in walk(copy):
        for name in POSITIONS:
            if name in part.DESCRIPTOR.fields_by_name:
                part.ClearField(name)
    return copy


def walk(message: Message) -> Iterator[Message]:
    """Yield every message of a parse tree, the outermost first, without the grammar's wrappers. Not recursive."""
    pending = [message]
    while pending:
        current = pending.pop()
        if current.DESCRIPTOR.name != "Node":
            yield current
        children: list[Message] = []
        for field, value in current.ListFields():
            if field.message_type is not None:
                children.extend([value] if hasattr(value, "ListFields") else value)
        pending.extend(reversed(children))


def kind_of(message: Message) -> str:
    """Return the grammar's name for a message."""
    return str(message.DESCRIPTOR.name)


def name_of(parts: Any) -> Name:
    """Return the name in the grammar's list of strings; only its last two parts are kept."""
    words = [part.string.sval for part in parts]
    return Name(words[-2] if len(words) > 1 else "", words[-1] if words else "")


def collect_names(parts: Iterable[tuple[str, Message]]) -> Names:
    """Return every relation, CTE, function, operator and type that `parts` of a tree name."""
    names: dict[str, set[Name]] = {"relations": set(), "functions": set(), "operators": set(), "types": set()}
    ctes: set[str] = set()
    attributes: set[str] = set()
    for kind, message in parts:
        if kind == "RangeVar":
            names["relations"].add(Name(message.schemaname, message.relname))
        elif kind == "CommonTableExpr":
            ctes.add(message.ctename)
        elif kind == "FuncCall":
            names["functions"].add(name_of(message.funcname))
        elif kind in {"A_Expr", "SubLink", "SortBy"}:
            names["operators"] |= _operators(message, kind)
        elif kind == "TypeName":
            names["types"].add(name_of(message.names))
        elif kind in {"ColumnRef", "A_Indirection"}:
            attributes |= _attributes(message, kind)
    return Names(
        ctes=frozenset(ctes),
        attributes=frozenset(attributes),
        **{key: frozenset(value) for key, value in names.items()},
    )


def dropped(node: Message) -> list[Name]:
    """Return the names of the objects that a DROP drops; for a trigger, policy or rule, `schema` is its table."""
    names = []
    for part in node.objects:
        kind = part.WhichOneof("node")
        inner = getattr(part, kind)
        parts = {"list": "items", "object_with_args": "objname", "type_name": "names"}.get(kind)
        names.append(name_of(getattr(inner, parts)) if parts else Name("", inner.sval))
    return names


def _attributes(message: Message, kind: str) -> set[str]:
    parts = message.fields[1:] if kind == "ColumnRef" else message.indirection
    return {part.string.sval for part in parts if part.HasField("string")}


def _operators(message: Message, kind: str) -> set[Name]:
    parts = {"A_Expr": "name", "SubLink": "oper_name", "SortBy": "use_op"}[kind]
    names = getattr(message, parts)
    # BETWEEN and IN name no operator, but resolve to comparisons.
    implied = {Name("", operator) for operator in ("=", "<", ">", "<=", ">=", "<>")} if kind == "A_Expr" else set()
    return ({name_of(names)} if names else set()) | implied
