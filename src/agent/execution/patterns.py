"""What "always allow this" means: which later actions an approved one stands for. Pure.

Of an INSERT, UPDATE, DELETE or MERGE the parse tree counts, with constants in its conditions and values taken out; what is
an argument of a function, or the name of something, stays. Of any other statement the whole tree counts, and of any other
tool every argument but those that the approver freed. Texts are never compared by parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.approval.permissions import Permission
from agent.approval.records import digest
from agent.errors import InvalidInput
from agent.execution.statements.sql_parsing import POSITIONS, Message, Statement
from agent.types import RISK_LEVELS, RiskLevel

_FREED_KINDS = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_VALUES = ("ival", "fval", "sval", "bsval")
# Below these a constant is not a value of the data: it may name a sequence, a table, a server, or code.
_KEPT_BELOW = frozenset({"FuncCall", "TypeName", "DefElem"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Always:
    """How an approver allows more of the same: for `seconds`; `free` arguments may differ, constants `keep` may not.

    Constants of a statement are numbered from 1 as the pattern shows them; arguments are named.
    """

    seconds: float
    free: tuple[str, ...] = ()
    keep: tuple[int, ...] = ()


def pattern_of_statement(
    statement: Statement, objects: Sequence[str], *, policy: str, always: Always
) -> dict[str, Any]:
    """The pattern of a statement; `objects` are the relations that its names stand for. Raises `InvalidInput`."""
    if always.free:
        raise InvalidInput("The constants of a statement are free unless they are kept; no argument can be freed.")
    tree, constants = _without_constants(statement)
    wrong = [number for number in always.keep if not 1 <= number <= len(constants)]
    if wrong:
        raise InvalidInput(f"There is no constant {wrong[0]}: the pattern {written(tree)!r} has {len(constants)}.")
    kept = {str(number): constants[number - 1] for number in always.keep}
    return {
        "statement": written(tree), "tree": _hash(tree), "kept": kept, "objects": sorted(objects), "policy": policy
    }  # fmt: skip


def pattern_of_arguments(arguments: Mapping[str, Any], *, policy: str, always: Always) -> dict[str, Any]:
    """The pattern of another tool's call. Raises `InvalidInput`."""
    if always.keep:
        raise InvalidInput(
            "Only the constants of a statement are numbered: name the arguments that may differ instead."
        )
    wrong = [name for name in always.free if name not in arguments]
    if wrong:
        raise InvalidInput(f"There is no argument {wrong[0]!r} to free: they are {', '.join(arguments)}.")
    fixed = {name: value for name, value in arguments.items() if name not in always.free}
    return {"arguments": fixed, "free": sorted(always.free), "policy": policy}


def fits_statement(pattern: Mapping[str, Any], statement: Statement, objects: Sequence[str], *, policy: str) -> bool:
    """Whether a statement is one that the pattern stands for."""
    tree, constants = _without_constants(statement)
    return (
        pattern.get("tree") == _hash(tree)
        and pattern.get("objects") == sorted(objects)
        and pattern.get("policy") == policy
        and all(constants[int(number) - 1] == value for number, value in pattern["kept"].items())
    )


def fits_arguments(pattern: Mapping[str, Any], arguments: Mapping[str, Any], *, policy: str) -> bool:
    """Whether a call of another tool is one that the pattern stands for."""
    free = set(pattern.get("free", ()))
    if (
        "arguments" not in pattern
        or pattern.get("policy") != policy
        or set(arguments) != {*pattern["arguments"], *free}
    ):
        return False
    fixed = {name: value for name, value in arguments.items() if name not in free}
    return digest(fixed) == digest(pattern["arguments"])


def within(permission: Permission, *, risk: RiskLevel, reasons: Sequence[str], shown: Mapping[str, Any]) -> bool:
    """Whether what was tried stays inside what was allowed: its risk, its reasons, its number of rows, its tables.

    A value that neither the user nor a trusted place gave is never allowed in advance.
    """
    rows = rows_of(shown)
    return (
        risk != "CRITICAL"
        and not shown.get("origins")
        and set(reasons) <= set(permission.pattern.get("reasons", ()))
        and RISK_LEVELS.index(risk) <= RISK_LEVELS.index(permission.risk_ceiling)
        and rows is not None
        and rows <= permission.most_rows
        and set(tables_of(shown)) <= set(permission.tables)
    )


def rows_of(shown: Mapping[str, Any]) -> int | None:
    """How many rows a preview found to change, triggers and cascades included; None where they were not counted."""
    if shown.get("row_count", 0) is None:
        return None
    tables = sum(changed_in(table) for table in shown.get("tables", ()))
    return max(tables, int(shown.get("row_count", 0)))


def changed_in(table: Mapping[str, Any]) -> int:
    """How many rows of one table a preview found to change."""
    return int(table["inserted"] + table["updated"] + table["deleted"])


def tables_of(shown: Mapping[str, Any]) -> tuple[str, ...]:
    """The tables that a preview found to change."""
    return tuple(sorted(table["table"] for table in shown.get("tables", ())))


def written(tree: Message) -> str:
    """A statement's tree as SQL, for people."""
    from postgast import PgQueryError, deparse, parse

    result = parse("SELECT")
    wrapper = result.stmts[0].stmt
    field = next(f for f in wrapper.DESCRIPTOR.fields if f.message_type.name == tree.DESCRIPTOR.name)
    getattr(wrapper, field.name).CopyFrom(tree)
    try:
        return str(deparse(result))
    except PgQueryError:
        return str(tree.DESCRIPTOR.name)


def _without_constants(statement: Statement) -> tuple[Message, list[Any]]:
    """The statement's tree with parameters in the place of its constants, and the constants."""
    tree = type(statement.node)()
    tree.CopyFrom(statement.node)
    constants: list[Any] = []
    if statement.kind in _FREED_KINDS:
        for node in list(_constants(tree)):
            constants.append(_value(node.a_const))
            node.param_ref.number = len(constants)
    _clear_positions(tree)
    return tree, constants


def _constants(message: Message) -> Iterator[Message]:
    """The nodes of constants that are values of the data, in the order of the tree."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            if part.DESCRIPTOR.name != "Node":
                inner = part
            elif part.WhichOneof("node") == "a_const":
                if part.a_const.WhichOneof("val") in _VALUES:
                    yield part
                continue
            else:
                inner = getattr(part, part.WhichOneof("node"))
            if inner.DESCRIPTOR.name not in _KEPT_BELOW and not _names_an_object(inner):
                yield from _constants(inner)


def _names_an_object(message: Message) -> bool:
    """Whether it is a cast of a name to what it names: 'clients'::regclass."""
    if message.DESCRIPTOR.name != "TypeCast" or not message.type_name.names:
        return False
    return bool(message.type_name.names[-1].string.sval.startswith("reg"))


def _value(constant: Message) -> list[Any]:
    kind = constant.WhichOneof("val")
    inner = getattr(constant, kind)
    return [kind, getattr(inner, kind)]


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


def _hash(tree: Message) -> str:
    return hashlib.sha256(tree.SerializeToString(deterministic=True)).hexdigest()
