"""Defines what "always allow this" covers: the later actions that an approved one stands for. Pure.

They are exactly what was shown: the same parse tree with the same constants, the same call with the same arguments, and no
more rows of any table. Beyond that only what the approver freed one by one: a constant that a column is set to or compared
with by `=`, an argument, a number of rows. LIKE patterns, lists, limits and operators always stay. A stored pattern is
compared by digests; the only values in it are those of the statement without secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agent.approval.permissions import Permission
from agent.approval.preview import Preview, StatementPreview, TableEffect, as_statement, digest
from agent.errors import InvalidInput
from agent.statements.parser import POSITIONS, Message, Statement, kind_of, walk
from agent.statements.risk import AS_WORDED, SEVERAL_AS_WORDED
from agent.types import RISK_LEVELS, RiskLevel

# Makes a digest from which nobody can guess the value.
Key = Callable[[str], str]

_VALUES = {"ival": "number", "fval": "number", "sval": "text", "bsval": "bits"}
_EQUALS = "="
_BY_OPERATOR = "AEXPR_OP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Always:
    """How an approver allows more of the same: for `seconds`, of at most `most_rows` rows (default: as many as were shown).

    `free` lists what may differ: numbers of a statement's constants, counted from 1, or names of arguments.
    """

    seconds: float
    free: tuple[str, ...] = ()
    most_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A constant of a statement. It may be freed only if `column` is `set` to it or `compared` with it."""

    number: int
    kind: str
    column: str = ""
    how: Literal["set", "compared", ""] = ""

    @property
    def words(self) -> str:
        """Return in words what freeing it allows."""
        if self.how == "set":
            return f"{self.column} may be set to any {self.kind} (constant {self.number})"
        return f"{self.column} may be any {self.kind} in its condition, so that other rows are meant (constant {self.number})"


def constants_of(statement: Statement) -> tuple[Constant, ...]:
    """Return the constants of a statement in the order of its text."""
    uses = {place: (column, how) for column, how, place in _uses(statement)}
    constants = []
    for number, (place, node) in enumerate(_constants_by_place(statement.node), 1):
        column, how = uses.get(place, ("", ""))
        constants.append(Constant(number=number, kind=_VALUES[node.WhichOneof("val")], column=column, how=how))  # type: ignore[arg-type]  # of these three
    return tuple(constants)


def pattern_of_statement(
    statement: Statement, objects: Sequence[str], *, policy: str, always: Always, key: Key
) -> dict[str, Any]:
    """Return the pattern of a statement; `objects` are the relations that its names stand for. Raises `InvalidInput`."""
    freed = _freed(constants_of(statement), always.free)
    return {
        "tree": key(_tree_digest(statement, freed)), "free": [asdict(constant) for constant in freed], "objects": sorted(objects),
        "policy": policy,
    }  # fmt: skip


def pattern_of_arguments(arguments: Mapping[str, Any], *, policy: str, always: Always, key: Key) -> dict[str, Any]:
    """Return the pattern of a call of another tool. Raises `InvalidInput`."""
    wrong = [name for name in always.free if name not in arguments]
    if wrong:
        raise InvalidInput(f"There is no argument {wrong[0]!r} to free: they are {', '.join(arguments)}.")
    fixed = {name: value for name, value in arguments.items() if name not in always.free}
    return {"fixed": sorted(fixed), "values": key(digest(fixed)), "free": sorted(set(always.free)), "policy": policy}


def fits_statement(
    pattern: Mapping[str, Any], statement: Statement, objects: Sequence[str], *, policy: str, key: Key
) -> bool:
    """Return whether the pattern stands for a statement."""
    if pattern.get("objects") != sorted(objects) or pattern.get("policy") != policy:
        return False
    constants = constants_of(statement)
    freed = [Constant(**fields) for fields in pattern["free"]]
    if any(free.number > len(constants) or constants[free.number - 1] != free for free in freed):
        return False
    return bool(pattern.get("tree") == key(_tree_digest(statement, freed)))


def fits_arguments(pattern: Mapping[str, Any], arguments: Mapping[str, Any], *, policy: str, key: Key) -> bool:
    """Return whether the pattern stands for a call of another tool."""
    if "values" not in pattern or pattern.get("policy") != policy:
        return False
    free = set(pattern["free"])
    if set(arguments) != {*pattern["fixed"], *free}:
        return False
    return bool(pattern["values"] == key(digest({name: arguments[name] for name in pattern["fixed"]})))


def sentence_of_statement(shown_sql: str, pattern: Mapping[str, Any]) -> str:
    """Return in words what a pattern allows; `shown_sql` is the statement as the reader may see it."""
    freed = [Constant(**fields).words for fields in pattern["free"]]
    return f"{shown_sql}{f'; but {_joined_with_and(freed)}' if freed else ''}"


def bounds_of(preview: StatementPreview, most_rows: int | None) -> dict[str, int]:
    """Return how many rows of each table a permission covers ('' for all together): those shown, or `most_rows` in all."""
    if most_rows is not None:
        return {"": most_rows}
    rows = {table["table"]: changed_in(table) for table in preview.tables}
    return {**rows, "": preview.row_count or 0}


def within(permission: Permission, *, risk: RiskLevel, reasons: Sequence[str], preview: Preview) -> bool:
    """Return whether a previewed action stays inside a permission: its risk, reasons, number of rows and tables.

    An action with a value that neither the user nor a trusted place gave is never allowed in advance. A permission that does
    not say how many rows it covers allows nothing.
    """
    rows, bounds, statement = rows_of(preview), permission.pattern.get("rows"), as_statement(preview)
    return (
        risk != "CRITICAL"
        and isinstance(bounds, dict)
        and not preview.origins
        and set(reasons) - {AS_WORDED, SEVERAL_AS_WORDED} <= set(permission.pattern.get("reasons", ()))
        and RISK_LEVELS.index(risk) <= RISK_LEVELS.index(permission.risk_ceiling)
        and rows is not None
        and rows <= permission.most_rows
        and (statement.row_count or 0) <= bounds.get("", 0)
        and all(changed_in(table) <= bounds.get(table["table"], rows) for table in statement.tables)
        and set(tables_of(preview)) <= set(permission.tables)
    )


def rows_of(preview: Preview | None) -> int | None:
    """Return how many rows a preview changes, triggers and cascades included; None where they were not counted."""
    if not isinstance(preview, StatementPreview):
        return 0
    return None if preview.row_count is None else max(sum(map(changed_in, preview.tables)), preview.row_count)


def changed_in(table: TableEffect) -> int:
    """Return how many rows of one table a preview changes."""
    return table["inserted"] + table["updated"] + table["deleted"]


def tables_of(preview: Preview | None) -> tuple[str, ...]:
    """Return the tables that a preview changes, sorted."""
    return tuple(sorted(table["table"] for table in as_statement(preview).tables))


def _freed(constants: Sequence[Constant], free: Sequence[str]) -> list[Constant]:
    freed = []
    for word in dict.fromkeys(free):
        number = int(word) if word.isdecimal() and len(word) < 6 else 0
        if not 1 <= number <= len(constants):
            raise InvalidInput(
                f"There is no constant {word!r} to free: the statement has {len(constants)}, counted from 1."
            )
        if not constants[number - 1].how:
            raise InvalidInput(
                f"Constant {number} stays as it is: only what a column is set to, or compared with by =, may be freed."
            )
        freed.append(constants[number - 1])
    return sorted(freed, key=lambda constant: constant.number)


def _uses(statement: Statement) -> Iterator[tuple[str, Literal["set", "compared"], int]]:
    """Yield (column, how, place) of each constant that is set as, or compared with, the value of a column."""
    node = statement.node
    if statement.kind == "UpdateStmt":
        yield from _assigned(
            (part.res_target.name, part.res_target.val) for part in node.target_list if not part.res_target.indirection
        )
    if statement.kind == "InsertStmt":
        names = [part.res_target.name for part in node.cols]
        for row in node.select_stmt.select_stmt.values_lists:
            yield from _assigned(zip(names, row.list.items, strict=False))
    if statement.kind in {"UpdateStmt", "DeleteStmt"} and node.HasField("where_clause"):
        yield from filter(None, map(_compared, _conjuncts(node.where_clause)))


def _assigned(pairs: Any) -> Iterator[tuple[str, Literal["set"], int]]:
    for name, value in pairs:
        if (place := _place(value)) is not None:
            yield name, "set", place


def _compared(condition: Message) -> tuple[str, Literal["compared"], int] | None:
    if condition.WhichOneof("node") != "a_expr":
        return None
    part = condition.a_expr
    kind = part.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[part.kind].name
    if kind != _BY_OPERATOR or [name.string.sval for name in part.name] != [_EQUALS]:
        return None
    for side, other in ((part.lexpr, part.rexpr), (part.rexpr, part.lexpr)):
        if side.WhichOneof("node") == "column_ref" and (place := _place(other)) is not None:
            last = side.column_ref.fields[-1]
            return (last.string.sval, "compared", place) if last.HasField("string") else None
    return None


def _conjuncts(condition: Message) -> Iterator[Message]:
    pending = [condition]
    while pending:
        part = pending.pop()
        inner = part.bool_expr if part.WhichOneof("node") == "bool_expr" else None
        kind = inner.DESCRIPTOR.fields_by_name["boolop"].enum_type.values_by_number[inner.boolop].name if inner else ""
        if kind == "AND_EXPR" and inner is not None:
            pending.extend(inner.args)
        else:
            yield part


def _place(value: Message) -> int | None:
    """Return where a constant (with or without a cast) begins; None for anything else, and for the name of an object."""
    if value.WhichOneof("node") == "type_cast":
        cast = value.type_cast
        if cast.type_name.names[-1].string.sval.startswith("reg"):
            return None
        value = cast.arg
    if value.WhichOneof("node") == "a_const" and value.a_const.WhichOneof("val") in _VALUES:
        return int(value.a_const.location)
    return None


def _constants_by_place(tree: Message) -> list[tuple[int, Message]]:
    constants = {
        part.location: part for part in walk(tree) if kind_of(part) == "A_Const" and part.WhichOneof("val") in _VALUES
    }
    return sorted(constants.items(), key=lambda item: item[0])


def _tree_digest(statement: Statement, freed: Sequence[Constant]) -> str:
    """Return a digest of the statement's tree, with parameters in the place of the free constants."""
    tree = type(statement.node)()
    tree.CopyFrom(statement.node)
    places = {place: number for number, (place, _) in enumerate(_constants_by_place(tree), 1)}
    free = {constant.number for constant in freed}
    for node in list(_constant_nodes(tree)):
        number = places[node.a_const.location]
        if number in free:
            node.param_ref.number = number
    _clear_positions(tree)
    return hashlib.sha256(tree.SerializeToString(deterministic=True)).hexdigest()


def _constant_nodes(tree: Message) -> Iterator[Message]:
    """Yield the nodes of the grammar that wrap constants."""
    pending = [tree]
    while pending:
        message = pending.pop()
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            for part in [value] if hasattr(value, "ListFields") else value:
                if part.DESCRIPTOR.name == "Node" and part.WhichOneof("node") == "a_const":
                    if part.a_const.WhichOneof("val") in _VALUES:
                        yield part
                else:
                    pending.append(part)


def _clear_positions(tree: Message) -> None:
    pending = [tree]
    while pending:
        message = pending.pop()
        for name in POSITIONS:
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
        for field, value in message.ListFields():
            if field.message_type is not None:
                pending.extend([value] if hasattr(value, "ListFields") else value)


def _joined_with_and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
