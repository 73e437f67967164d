"""What the server could run of an expression that it only plans with: of a check, an index, statistics or a partition. Pure.

Such an expression is not run in a read, but planning simplifies it: a function that is called immutable runs there and then
when all its arguments are constants, or become so. A call is `shut` when one argument surely stays a column's value. A
function in SQL may be replaced by its body, whose constants are worked out too: `is_plain_body` looks at one that is text.
An index's condition is more: where a query implies one side of an OR, the whole of it may be checked again on each row.
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
# The same value in another form; what it is made of is in `arg`.
_SAME_VALUE = frozenset({"RELABELTYPE", "COLLATEEXPR", "COERCEVIAIO"})
_BODY = frozenset(
    [
        "SelectStmt", "ResTarget", "A_Expr", "A_Const", "A_ArrayExpr", "A_Indices", "A_Indirection", "BoolExpr", "Boolean",
        "BooleanTest", "CaseExpr", "CaseWhen", "CoalesceExpr", "ColumnRef", "FuncCall", "Float", "Integer", "List",
        "MinMaxExpr", "NullTest", "ParamRef", "String", "TypeCast", "TypeName",
    ]
)  # fmt: skip
# What a CASE, IN, BETWEEN or DISTINCT calls without naming it.
_IMPLIED = frozenset(["=", "<>", "<", ">", "<=", ">="])
# What of a SELECT may be there: the values that it shows.
_SELECT_FIELDS = frozenset({"target_list", "limit_option", "op"})


@dataclass(slots=True)
class _Node:
    """A node of a tree. A field's value is a list of what stands there: nodes, lists and words."""

    kind: str
    fields: dict[str, list[_Part]] = field(default_factory=dict)

    def word(self, name: str) -> str:
        """The single word of a field, or ''."""
        value = self.fields.get(name, [])
        return value[0] if len(value) == 1 and isinstance(value[0], str) else ""

    def number(self, name: str) -> int:
        """The number in a field, or 0."""
        word = self.word(name)
        return int(word) if word.isdigit() else 0

    def inner(self, name: str) -> list[_Node]:
        """The nodes of a field."""
        return list(_nodes(self.fields.get(name, [])))


_Part = str | _Node | list["_Part"]


def shut_calls(text: str, *, recheck: bool = False) -> frozenset[int]:
    """The functions that a tree calls and whose every call is shut, so that planning with it does not run them.

    With `recheck` it is an index's condition: what stands in an OR of it may run for rows.
    """
    calls = [*_calls(_read(text), in_or=False, recheck=recheck)]
    opened = {number for number, shut in calls if not shut}
    return frozenset(number for number, _ in calls) - opened


def is_plain_body(text: str, named: frozenset[str]) -> bool:
    """Whether the body of a function in SQL is one value made of its arguments, constants and harmless functions.

    `named` are the names of functions, operators and types of users, any of which it may mean.
    """
    try:
        statement = parse(text)
    except InvalidArguments:
        return False
    meant = statement.names.functions | statement.names.operators | statement.names.types
    names = {name.name for name in meant if name.schema != "pg_catalog"}
    known = not (names | _IMPLIED) & named and all(_is_plain_part(kind, part) for kind, part in statement.parts)
    return known and not too_large(statement)


def _is_plain_part(kind: str, part: Message) -> bool:
    if kind == "SelectStmt":
        return {name.name for name, _ in part.ListFields()} <= _SELECT_FIELDS
    if kind == "FuncCall":
        name = name_of(part.funcname).name
        return name in allowed.FUNCTIONS | FUNCTIONS_OF_EXTENSIONS
    if kind == "A_Indirection":
        return all(one.HasField("a_indices") for one in part.indirection)
    # `a.b` may be a function of a row.
    return kind in _BODY and not (kind == "ColumnRef" and len(part.fields) > 1)


def _calls(parts: Iterable[_Part], *, in_or: bool, recheck: bool) -> Iterator[tuple[int, bool]]:
    """Every call in a tree: the function's number, and whether it is shut."""
    for node in _nodes(parts):
        for name in _CALLS:
            if number := node.number(name):
                yield number, node.kind == "FUNCEXPR" and not in_or and any(map(_stays, node.inner("args")))
        inside = in_or or (recheck and _may_be_one_side(node))
        for value in node.fields.values():
            yield from _calls(value, in_or=inside, recheck=recheck)


def _may_be_one_side(node: _Node) -> bool:
    return node.kind == "SCALARARRAYOPEXPR" or (node.kind == "BOOLEXPR" and node.word("boolop") != "and")


def _stays(node: _Node) -> bool:
    """Whether planning cannot make a constant of a value: it is a column's, or surely made of one."""
    if node.kind == "VAR":
        return True
    if node.kind in _SAME_VALUE:
        return any(map(_stays, node.inner("arg")))
    if node.kind in {"COALESCEEXPR", "COALESCE"}:
        return any(map(_stays, node.inner("args")[:1]))
    if node.kind in {"FUNCEXPR", "OPEXPR"}:
        arguments = node.inner("args")
        system = 0 < node.number("funcid" if node.kind == "FUNCEXPR" else "opno") < _FIRST_USER_OBJECT
        # A NULL among them would make it NULL.
        return system and any(map(_stays, arguments)) and all(_stays(one) or _is_value(one) for one in arguments)
    return False


def _is_value(node: _Node) -> bool:
    return node.kind == "CONST" and node.word("constisnull") == "false"


def _read(text: str) -> list[_Part]:
    """The tree `text` as nodes."""
    top: list[_Part] = []
    stack: list[tuple[_Node | None, list[_Part]]] = [(None, top)]
    opening = False
    for word in _TOKEN.findall(text):
        node, into = stack[-1]
        if opening:
            made = _Node(word)
            into.append(made)
            stack.append((made, []))
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
