"""Create objects that would shadow the system's in a statement that looks up its names in their schema first.

The server logs each statement as it has understood it, and so tells which functions the agent's own SQL calls, with which
types. For each call whose types no function of the system has exactly, a shadow with exactly these types is created. It does
the same as the system's, and writes into the server's log that it ran, which no rollback takes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

MARK = "a shadow ran:"
LOG_TREES = ("debug_print_parse = on", "debug_pretty_print = off")
# Shadows that an attacker would try first.
WELL_KNOWN = frozenset({
    ("aggregate", "array_agg", ("text",), "text[]"),
    ("function", "concat", ("name", "name", "boolean"), "text"),
    ("aggregate", "jsonb_agg", ("jsonb",), "jsonb"),
    ("function", "format", ("text", "text"), "text"),
    ("function", "unnest", ("name[]",), "setof name"),
    ("operator", ">=", ("oid", "integer"), "boolean"),
})  # fmt: skip
_TOKEN = re.compile(r"[{}()\[\]]|:[a-z_]+|<>|\\.|(?:\\.|[^\s{}()\[\]\\])+")
_TREE = re.compile(r"(?:DETAIL:|parse tree:)\s*(\{QUERY .*)$")
_NOISE = re.compile(r":(?:stmt_)?(?:location|len) -?\d+ ?|:constvalue \d+ \[[^\]]*\] ?")
_RESULTS = {
    "VAR": "vartype", "CONST": "consttype", "PARAM": "paramtype", "FUNCEXPR": "funcresulttype", "AGGREF": "aggtype",
    "WINDOWFUNC": "wintype", "OPEXPR": "opresulttype", "DISTINCTEXPR": "opresulttype", "NULLIFEXPR": "opresulttype",
    "RELABELTYPE": "resulttype", "COERCEVIAIO": "resulttype", "ARRAYCOERCEEXPR": "resulttype", "CASEEXPR": "casetype",
    "CASETESTEXPR": "typeId", "COALESCEEXPR": "coalescetype", "MINMAXEXPR": "minmaxtype", "ARRAYEXPR": "array_typeid",
    "ROWEXPR": "row_typeid", "SQLVALUEFUNCTION": "type", "COERCETODOMAIN": "resulttype", "FIELDSELECT": "resulttype",
    "SUBSCRIPTINGREF": "refrestype", "CONVERTROWTYPEEXPR": "resulttype",
}  # fmt: skip
_BOOLEANS = {"BOOLEXPR", "NULLTEST", "BOOLEANTEST", "SCALARARRAYOPEXPR"}
_IMPLICIT = {
    "FUNCEXPR": "funcformat", "RELABELTYPE": "relabelformat", "COERCEVIAIO": "coerceformat",
    "ARRAYCOERCEEXPR": "coerceformat",
}  # fmt: skip
_BOOL = 16
_END = ""

Call = tuple[str, int, tuple[int, ...], int]


@dataclass(slots=True, eq=False)
class Node:
    """One node of a logged tree."""

    kind: str
    fields: dict[str, Any]

    def number(self, name: str) -> int:
        """Return a field that is one number, or 0."""
        value = self.fields.get(name)
        return int(value[0]) if value and isinstance(value[0], str) and value[0].lstrip("-").isdigit() else 0


def calls_in(log: Path) -> set[Call]:
    """Return every call of a system function or operator in the log: (kind, oid, types of the arguments, type of the result)."""
    lines = log.read_text(errors="replace").replace("\n\t", " ").splitlines()
    trees = {_NOISE.sub("", match[1]) for line in lines if (match := _TREE.search(line))}
    return {call for tree in trees for node in _nodes(_read(iter(_TOKEN.findall(tree)))) for call in _calls(node)}


def _read(tokens: Iterator[str]) -> Any:
    """Return the value that begins at the next token."""
    for token in tokens:
        if token == "{":
            return _read_node(tokens)
        if token in {"(", "["}:
            items = []
            while (item := _read(tokens)) not in (")", "]", _END):
                items.append(item)
            return items
        return token
    return _END


def _read_node(tokens: Iterator[str]) -> Node:
    kind = next(tokens)
    fields: dict[str, Any] = {}
    name = ""
    while (item := _read(tokens)) not in ("}", _END):
        if isinstance(item, str) and item.startswith(":"):
            name = item[1:]
            fields[name] = []
        elif name:
            fields[name].append(item)
    return Node(kind, fields)


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
        for field in value.fields.values():
            yield from _nodes(field)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _list(node: Node, name: str) -> list[Any]:
    value = node.fields.get(name) or []
    return value[0] if value and isinstance(value[0], list) else value


def _calls(node: Node) -> Iterator[Call]:
    if node.kind == "FUNCEXPR" and node.number("funcformat") in {0, 3}:
        yield "function", node.number("funcid"), _types(node), node.number("funcresulttype")
    elif node.kind == "WINDOWFUNC":
        yield "aggregate", node.number("winfnoid"), _types(node), node.number("wintype")
    elif node.kind == "AGGREF":
        types = tuple(int(item) for item in _list(node, "aggargtypes") if isinstance(item, str) and item.isdigit())
        yield "aggregate", node.number("aggfnoid"), types, node.number("aggtype")
    elif node.kind in {"OPEXPR", "DISTINCTEXPR", "NULLIFEXPR"}:
        yield "operator", node.number("opno"), _types(node), 0
    elif node.kind == "SCALARARRAYOPEXPR":
        yield "any", node.number("opno"), _types(node), 0


def _types(node: Node) -> tuple[int, ...]:
    return tuple(_type(item) for item in _list(node, "args"))


def _type(node: Any) -> int:
    """Return the type of a value as it was written, before the server cast it to what a function takes."""
    if not isinstance(node, Node):
        return 0
    inner = [item for item in (*_list(node, "arg"), *_list(node, "args")) if isinstance(item, Node)]
    if node.kind in _IMPLICIT and node.number(_IMPLICIT[node.kind]) == 2 and inner:
        return _type(inner[0])
    if node.kind == "NAMEDARGEXPR":
        return _type(inner[0])
    if node.kind in _BOOLEANS:
        return _BOOL
    if node.kind == "SUBLINK":
        return _type_of_sublink(node)
    return node.number(_RESULTS.get(node.kind, ""))


def _type_of_sublink(node: Node) -> int:
    if node.number("subLinkType") not in {4, 6}:
        return _BOOL
    (query,) = node.fields["subselect"]
    entries = [item for item in _list(query, "targetList") if isinstance(item, Node)]
    number = _type(entries[0].fields["expr"][0])
    return -number if node.number("subLinkType") == 6 else number


_NAMED = """
SELECT CASE r.what WHEN 'any' THEN 'operator' ELSE r.what END AS what, coalesce(p.proname, o.oprname)::text AS name,
       ARRAY(SELECT CASE WHEN a.number < 0 THEN format_type((-a.number)::oid, NULL) || '[]'
                         WHEN r.what = 'any' AND a.place = 2
                           THEN format_type(coalesce(nullif((SELECT y.typelem FROM pg_type y WHERE y.oid = a.number::oid), 0), a.number::oid), NULL)
                         ELSE format_type(a.number::oid, NULL) END
               FROM unnest(r.types::int8[]) WITH ORDINALITY AS a (number, place) ORDER BY a.place) AS types,
       CASE WHEN p.proretset THEN 'setof ' ELSE '' END
         || format_type(coalesce(nullif(r.result, 0), p.prorettype, o.oprresult), NULL) AS result
  FROM unnest(%(whats)s::text[], %(numbers)s::oid[], %(types)s::text[], %(results)s::oid[]) AS r (what, number, types, result)
  LEFT JOIN pg_proc p ON r.what IN ('function', 'aggregate') AND p.oid = r.number
  LEFT JOIN pg_operator o ON r.what IN ('operator', 'any') AND o.oid = r.number
 WHERE r.number < 16384 AND r.number > 0
"""

# The shadow exists already, has a type that does not exist yet, or is of a kind that SQL cannot create.
_NOT_CREATABLE = (
    psycopg.errors.DuplicateFunction, psycopg.errors.UndefinedObject, psycopg.errors.InvalidSchemaName,
    psycopg.errors.InvalidFunctionDefinition, psycopg.errors.SyntaxError, psycopg.errors.DatatypeMismatch,
    psycopg.errors.FeatureNotSupported,
)  # fmt: skip

Shadow = tuple[str, str, tuple[str, ...], str]


def named(calls: set[Call], conn: psycopg.Connection) -> set[Shadow]:
    """Return the shadows of these calls: (kind, name, types of the arguments, type of the result)."""
    known = [call for call in calls if all(call[2])]
    columns = {
        "whats": [call[0] for call in known], "numbers": [call[1] for call in known],
        "types": ["{" + ",".join(map(str, call[2])) + "}" for call in known], "results": [call[3] for call in known],
    }  # fmt: skip
    rows = conn.execute(_NAMED, columns).fetchall()
    # A literal takes the type that it is compared with or passed as.
    return {
        (what, name, tuple("text" if one == "unknown" else one for one in types), result)
        for what, name, types, result in rows
    } | WELL_KNOWN


def cast_shadows(shadows: set[Shadow], schema: str, conn: psycopg.Connection) -> int:
    """Create the shadows in `schema`, and return their number. One with exactly the system's types shadows nothing."""
    created = 0
    for number, (what, name, types, result) in enumerate(sorted(shadows)):
        try:
            with conn.transaction():
                for statement in _statements(what, name, types, result, schema, number):
                    conn.execute(statement)
        except _NOT_CREATABLE:
            continue
        created += 1
    return created


def traces(log: Path, start: int = 0) -> list[str]:
    """Return the shadows that ran, each once, from the log after its first `start` characters."""
    text = log.read_text(errors="replace")[start:]
    return sorted(set(re.findall(rf"LOG: +{MARK} (.*)$", text, re.MULTILINE)))  # not where a statement is quoted


def _statements(what: str, name: str, types: tuple[str, ...], result: str, schema: str, number: int) -> Iterator[str]:
    """Yield the statements that create one shadow."""
    shadow, helper = (sql.Identifier(schema, identifier).as_string() for identifier in (name, f"shadow_{number}"))
    signature, message = ", ".join(types), f"{MARK} {name}({', '.join(types)})".replace("'", "")
    values = [f"${place}" for place in range(1, len(types) + 1)]
    system = f"pg_catalog.{sql.Identifier(name).as_string()}({', '.join(values)})"  # the shadow calls what it shadows
    if what == "operator":
        system = f" operator(pg_catalog.{name}) ".join(["", *values] if len(values) == 1 else values)
    answer = f"return query select * from {system}" if result.startswith("setof") else f"return {system}"
    body = f"begin raise log '%', '{message}'; {answer}; end"
    if what == "function":
        yield f"create function {shadow}({signature}) returns {result} language plpgsql as $shadow${body}$shadow$"
    elif what == "aggregate":
        state = ", ".join((result, *types))
        body = f"begin raise log '%', '{message}'; return $1; end"
        yield f"create function {helper}({state}) returns {result} language plpgsql as $shadow${body}$shadow$"
        yield f"create aggregate {shadow}({signature or '*'}) (sfunc = {helper}, stype = {result})"
    else:
        sides = [f"rightarg = {types[0]}"] if len(types) == 1 else [f"leftarg = {types[0]}", f"rightarg = {types[1]}"]
        yield f"create function {helper}({signature}) returns {result} language plpgsql as $shadow${body}$shadow$"
        yield f'create operator "{schema}".{name} ({", ".join(sides)}, function = {helper})'
