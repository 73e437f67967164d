"""Finds what planning may run of the expressions of checks, indexes, statistics and partitions. Pure.

A read does not run such an expression, but planning folds constants in it: it runs an immutable function whose arguments all
are, or become, constants. A call is never folded if one of its arguments certainly stays a column's value. Planning may also
replace a call of a function in SQL by its body and fold the constants in that: `is_plain_body` checks a body that is text. An
index's condition may run on rows too: if a query implies one side of an OR, the whole OR may be checked again for each row.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.errors import InvalidArguments
from agent.statements import allow_list as allowed
from agent.statements.known_extensions import FUNCTIONS_OF_EXTENSIONS
from agent.statements.parsed_trees import Node, parse_tree
from agent.statements.parser import Message, name_of, parse
from agent.statements.sizes import too_large

_CALLS = ("funcid", "aggfnoid", "winfnoid", "hashfuncid", "negfuncid")
_FIRST_USER_OBJECT = 16_384
# Nodes that give the value in their field `arg` another form.
_SAME_VALUE = frozenset({"RELABELTYPE", "COLLATEEXPR", "COERCEVIAIO"})
# What the body of a plain function may consist of.
_BODY_NODES = frozenset(
    [
        "SelectStmt", "ResTarget", "A_Expr", "A_Const", "A_ArrayExpr", "A_Indices", "A_Indirection", "BoolExpr", "Boolean",
        "BooleanTest", "CaseExpr", "CaseWhen", "CoalesceExpr", "ColumnRef", "FuncCall", "Float", "Integer", "List",
        "MinMaxExpr", "NullTest", "ParamRef", "String", "TypeCast", "TypeName",
    ]
)  # fmt: skip
# Operators that CASE, IN, BETWEEN and DISTINCT call without naming them.
_IMPLIED_OPERATORS = frozenset(["=", "<>", "<", ">", "<=", ">="])
# The fields of a SELECT that only returns values.
_SELECT_FIELDS = frozenset({"target_list", "limit_option", "op"})


def unfolded_functions(text: str, *, recheck: bool = False) -> frozenset[int]:
    """Return the functions that a tree calls and that planning with it does not run, because it folds none of their calls.

    With `recheck` the tree is an index's condition: calls inside of an OR may run for rows, so they are left out.
    """
    try:
        nodes = parse_tree(text)
    except ValueError:
        return frozenset()
    calls = [call for node in nodes for call in _calls(node, in_or=False, recheck=recheck)]
    folded = {number for number, unfolded in calls if not unfolded}
    return frozenset(number for number, _ in calls) - folded


def is_plain_body(text: str, named: frozenset[str]) -> bool:
    """Return whether the body of a function in SQL is one value, made of its arguments, constants and harmless functions.

    `named` are the names of users' functions, operators and types, any of which the body may mean.
    """
    try:
        statement = parse(text)
    except InvalidArguments:
        return False
    every_name = statement.names.functions | statement.names.operators | statement.names.types
    names = {name.name for name in every_name if name.schema != "pg_catalog"}
    if (names | _IMPLIED_OPERATORS) & named:
        return False
    return all(_is_plain_part(kind, part) for kind, part in statement.parts) and not too_large(statement)


def _is_plain_part(kind: str, part: Message) -> bool:
    if kind == "SelectStmt":
        return {name.name for name, _ in part.ListFields()} <= _SELECT_FIELDS
    if kind == "FuncCall":
        name = name_of(part.funcname).name
        return name in allowed.FUNCTIONS | FUNCTIONS_OF_EXTENSIONS
    if kind == "A_Indirection":
        return all(index.HasField("a_indices") for index in part.indirection)
    # `a.b` may call the function b with the row a.
    return kind in _BODY_NODES and not (kind == "ColumnRef" and len(part.fields) > 1)


def _calls(node: Node, *, in_or: bool, recheck: bool) -> Iterator[tuple[int, bool]]:
    """Yield the function's number of every call in a node, and whether the call is never folded."""
    for name in _CALLS:
        if number := node.number(name):
            yield number, node.kind == "FUNCEXPR" and not in_or and any(map(_stays_variable, node.nodes("args")))
    in_or = in_or or (recheck and _may_be_one_side(node))
    for child in node.children():
        yield from _calls(child, in_or=in_or, recheck=recheck)


def _may_be_one_side(node: Node) -> bool:
    return node.kind == "SCALARARRAYOPEXPR" or (node.kind == "BOOLEXPR" and node.text("boolop") != "and")


def _stays_variable(node: Node) -> bool:
    """Return whether planning cannot fold a value to a constant: it is a column's, or is certainly made from one."""
    if node.kind == "VAR":
        return True
    if node.kind in _SAME_VALUE:
        inner = node.node("arg")
        return inner is not None and _stays_variable(inner)
    if node.kind in {"COALESCEEXPR", "COALESCE"}:
        return any(map(_stays_variable, node.nodes("args")[:1]))
    if node.kind in {"FUNCEXPR", "OPEXPR"}:
        arguments = node.nodes("args")
        is_system = 0 < node.number("funcid" if node.kind == "FUNCEXPR" else "opno") < _FIRST_USER_OBJECT
        # A NULL argument would make the result the constant NULL.
        return (
            is_system
            and any(map(_stays_variable, arguments))
            and all(_stays_variable(item) or _is_value(item) for item in arguments)
        )
    return False


def _is_value(node: Node) -> bool:
    return node.kind == "CONST" and node.text("constisnull") == "false"
