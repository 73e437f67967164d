"""Finds what planning may run of the expressions of checks, indexes, statistics and partitions. Pure.

A read does not run such an expression, but planning folds constants in it: it runs an immutable function whose arguments all
are, or become, constants. A call is never folded if one of its arguments certainly stays a column's value. Planning may also
replace a call of a function in SQL by its body and fold the constants in that: `is_plain_body` checks a body that is text. An
index's condition may run on rows too: if a query implies one side of an OR, the whole OR may be checked again for each row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.errors import InvalidArguments
from agent.statements import allow_list as allowed
from agent.statements.known_extensions import FUNCTIONS_OF_EXTENSIONS
from agent.statements.parser import Message, name_of, parse
from agent.statements.sizes import too_large

_TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+")
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


@dataclass(slots=True)
class _Node:
    """A node of a tree. The value of a field is a list of nodes, lists and words."""

    kind: str
    fields: dict[str, list[_Part]] = field(default_factory=dict)

    def word(self, name: str) -> str:
        """Return the single word of a field, or ''."""
        value = self.fields.get(name, [])
        return value[0] if len(value) == 1 and isinstance(value[0], str) else ""

    def number(self, name: str) -> int:
        """Return the number in a field, or 0."""
        word = self.word(name)
        return int(word) if word.isdigit() else 0

    def inner(self, name: str) -> list[_Node]:
        """Return the nodes of a field."""
        return list(_nodes(self.fields.get(name, [])))


_Part = str | _Node | list["_Part"]


def unfolded_functions(text: str, *, recheck: bool = False) -> frozenset[int]:
    """Return the functions that a tree calls and that planning with it does not run, because it folds none of their calls.

    With `recheck` the tree is an index's condition: calls inside of an OR may run for rows, so they are left out.
    """
    calls = [*_calls(_nodes_of(text), in_or=False, recheck=recheck)]
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


def _calls(parts: Iterable[_Part], *, in_or: bool, recheck: bool) -> Iterator[tuple[int, bool]]:
    """Yield the function's number of every call in a tree, and whether the call is never folded."""
    for node in _nodes(parts):
        for name in _CALLS:
            if number := node.number(name):
                yield number, node.kind == "FUNCEXPR" and not in_or and any(map(_stays_variable, node.inner("args")))
        inside = in_or or (recheck and _may_be_one_side(node))
        for value in node.fields.values():
            yield from _calls(value, in_or=inside, recheck=recheck)


def _may_be_one_side(node: _Node) -> bool:
    return node.kind == "SCALARARRAYOPEXPR" or (node.kind == "BOOLEXPR" and node.word("boolop") != "and")


def _stays_variable(node: _Node) -> bool:
    """Return whether planning cannot fold a value to a constant: it is a column's, or is certainly made from one."""
    if node.kind == "VAR":
        return True
    if node.kind in _SAME_VALUE:
        return any(map(_stays_variable, node.inner("arg")))
    if node.kind in {"COALESCEEXPR", "COALESCE"}:
        return any(map(_stays_variable, node.inner("args")[:1]))
    if node.kind in {"FUNCEXPR", "OPEXPR"}:
        arguments = node.inner("args")
        is_system = 0 < node.number("funcid" if node.kind == "FUNCEXPR" else "opno") < _FIRST_USER_OBJECT
        # A NULL argument would make the result the constant NULL.
        return (
            is_system
            and any(map(_stays_variable, arguments))
            and all(_stays_variable(item) or _is_value(item) for item in arguments)
        )
    return False


def _is_value(node: _Node) -> bool:
    return node.kind == "CONST" and node.word("constisnull") == "false"


def _nodes_of(text: str) -> list[_Part]:
    """Parse the text of a tree into nodes."""
    top: list[_Part] = []
    stack: list[tuple[_Node | None, list[_Part]]] = [(None, top)]
    opening = False
    for word in _TOKEN.findall(text):
        node, into = stack[-1]
        if opening:
            new = _Node(word)
            into.append(new)
            stack.append((new, []))
            opening = False
        elif word == "{":
            opening = True
        elif word == "(":
            inside: list[_Part] = []
            into.append(inside)
            stack.append((None, inside))
        elif word in "})":
            if len(stack) > 1:
                stack.pop()
        elif word[0] == ":" and node is not None:
            values: list[_Part] = []
            node.fields[word[1:]] = values
            stack[-1] = (node, values)
        else:
            into.append(word)
    return top


def _nodes(parts: Iterable[_Part]) -> Iterator[_Node]:
    for part in parts:
        if isinstance(part, _Node):
            yield part
        elif isinstance(part, list):
            yield from _nodes(part)
