"""How large the values are that a statement makes, at most. Pure.

No setting of the server bounds a single value: `format('%500000000s', 'x')` takes half a gigabyte. So the size of each
expression is worked out from the statement, as so many characters and so many times the value of some column. It is an upper
bound, not an estimate: what is not known to be small counts as large, and asks.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from agent.statements.parser import Message, Statement, kind_of, name_of
from agent.statements.size_rules import (  # fmt: skip
    ARITHMETIC,
    COLLECTING,
    COLUMN,
    COMPARING,
    DIGITS,
    ELEMENT,
    FACTORS,
    HUGE,
    MAKERS,
    MOST_CHARACTERS,
    MOST_COLLECTED,
    MOST_COLUMNS,
    MOST_GROWN,
    MOST_OF_TABLES,
    NOTHING,
    NUMBER,
    NUMBERS,
    SHORT,
    TAKING_APART,
    WORD,
    Size,
    children,
    inner,
    largest,
    many,
    product,
    steps_of,
    total,
    whole,
)
from agent.statements.size_scopes import Rows, Scope, names_of, numbers_of, query_named, reads_tables, speaks_of, united


class _Sizes:
    """Goes through one statement. `problems` are the codes of what may be too large."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def check(self, size: Size, what: str) -> Size:
        """Note a value that is too large; what is made of it then counts as small, so that it is said once."""
        most = MOST_OF_TABLES if size.tables else MOST_COLUMNS
        if size.columns > most or size.fixed > MOST_CHARACTERS:
            self.problems.append(f"function:{what}:size")
            return COLUMN
        return size

    def query(self, node: Message, outer: Scope) -> Rows:
        """A SELECT, VALUES or set operation."""
        scope = outer.inside()
        self._with(node, scope)
        if node.HasField("larg"):
            return united(self.query(node.larg, scope), self.query(node.rarg, scope))
        if node.values_lists:
            lines = [total(self.all(row.list.items, scope)) for row in node.values_lists]
            cells = [self.value(cell, scope) for row in node.values_lists for cell in row.list.items]
            return Rows(value=largest(cells), row=largest(lines), count=len(node.values_lists))
        for number, item in enumerate(node.from_clause):
            self._item(item, scope, str(number))
        scope.parted = len(node.group_clause) > 0
        self.all([node.where_clause] if node.HasField("where_clause") else (), scope)
        before = scope.count
        sizes = [self.value(target, scope) for target in node.target_list]
        for name in (
            "group_clause",
            "having_clause",
            "window_clause",
            "sort_clause",
            "distinct_clause",
        ):
            self.all(many(getattr(node, name)), scope)
        made = math.prod([_series(target, self, scope).count for target in node.target_list] or [1])
        rows = Rows(
            value=largest(sizes), row=self.check(total(sizes), "concat"), count=product(before, made), stored=scope.stored,
            names=names_of(node.target_list),
        )  # fmt: skip
        limit = whole(node.limit_count) if node.HasField("limit_count") else None
        return (
            replace(rows, count=limit, stored=False)
            if limit is not None and (rows.stored or limit < rows.count)
            else rows
        )

    def _with(self, node: Message, scope: Scope) -> None:
        for one in node.with_clause.ctes if node.HasField("with_clause") else ():
            cte, query = one.common_table_expr, inner(one.common_table_expr.ctequery)
            names = tuple(part.string.sval for part in cte.aliascolnames) or None
            if kind_of(query) != "SelectStmt":
                self.all([query], scope)
                scope.queries[cte.ctename] = Rows()
            elif node.with_clause.recursive and speaks_of(query, cte.ctename):
                scope.queries[cte.ctename] = self._recursive(cte.ctename, query, names, scope)
            else:
                found = self.query(query, scope)
                scope.queries[cte.ctename] = replace(found, names=names or found.names)

    def _recursive(self, name: str, query: Message, names: tuple[str, ...] | None, scope: Scope) -> Rows:
        """A recursive query: a round may add to what it has, and not multiply it."""
        if not query.HasField("larg"):
            return Rows(value=HUGE, row=HUGE, count=math.inf)
        first = self.query(query.larg, scope)
        names = names or first.names
        rounds = scope.inside()
        rounds.queries[name] = Rows(names=names, numbers=numbers_of(query.larg, names))
        rounds.column, rounds.recursive = NOTHING, True
        found = _Sizes()
        grown = found.query(query.rarg, rounds)
        if grown.value.columns > 1 or grown.value.fixed > MOST_COLLECTED or found.problems:
            self.problems.append("function:recursion:size")
        stored = reads_tables(query.rarg, {name, *scope.queries})
        again = scope.inside()
        again.queries[name] = rounds.queries[name]
        self.query(query.rarg, again)
        return Rows(
            value=Size(max(first.value.columns, 1) * 4, first.value.fixed + MOST_COLLECTED / 4),
            row=Size(max(first.row.columns, 1) * 4, first.row.fixed + MOST_COLLECTED / 4),
            count=1 if stored else math.inf, stored=stored, names=names,
        )  # fmt: skip

    def _item(self, node: Message, scope: Scope, place: str) -> None:
        """An item of FROM, into the scope."""
        item = inner(node)
        kind = kind_of(item)
        if kind == "JoinExpr":
            self._item(item.larg, scope, f"{place}l")
            self._item(item.rarg, scope, f"{place}r")
            self.all(many(item.quals) if item.HasField("quals") else (), scope)
            return
        if kind == "RangeVar":
            known = None if item.schemaname else query_named(scope, item.relname)
            rows = known or Rows(value=scope.column, row=scope.column, stored=True)
            default = item.relname
        elif kind == "RangeSubselect":
            rows, default = self.query(inner(item.subquery), scope), place
        elif kind == "RangeFunction":
            rows, default = self._functions(item, scope), place
        elif kind == "RangeTableSample":
            self._item(item.relation, scope, place)
            return
        else:
            self.all(children(item), scope)
            rows, default = Rows(stored=True), place
        alias = item.alias if "alias" in item.DESCRIPTOR.fields_by_name and item.HasField("alias") else None
        if alias is not None and alias.colnames:
            rows = replace(rows, names=tuple(part.string.sval for part in alias.colnames), numbers=frozenset())
        key = alias.aliasname if alias is not None else default
        scope.items[key if key not in scope.items else f"{key} {place}"] = rows

    def _functions(self, item: Message, scope: Scope) -> Rows:
        calls = [part.list.items[0] for part in item.functions if part.HasField("list") and part.list.items]
        made = [_series(call, self, scope) for call in calls]
        sizes = [self.value(call, scope) for call in calls]
        return Rows(
            value=largest(sizes), row=total(sizes), count=max([one.count for one in made] or [1]),
            stored=any(one.stored for one in made),
        )  # fmt: skip

    def all(self, nodes: Iterable[Message], scope: Scope) -> list[Size]:
        return [self.value(node, scope) for node in nodes]

    def value(self, wrapped: Message, scope: Scope) -> Size:
        """The size of an expression."""
        node = inner(wrapped)
        kind = kind_of(node)
        known = _EXPRESSIONS.get(kind)
        if known is not None:
            return known(self, node, scope)
        if kind == "SelectStmt":
            return self.query(node, scope).row
        if kind in {"JsonArrayAgg", "JsonObjectAgg"}:
            return self.collected(total(self.all(children(node), scope)).times(2), scope, "json_agg")
        return total(self.all(children(node), scope))

    def collected(self, size: Size, scope: Scope, name: str) -> Size:
        """What an aggregate keeps of the rows that it is given."""
        count, stored = scope.count, scope.stored_around
        each = max(size.fixed, 1) if name == "string_agg" else size.fixed + ELEMENT
        many = stored and (each > MOST_COLLECTED or size.grown > MOST_GROWN or size.tables)
        if many or product(count, each) > MOST_CHARACTERS:
            self.problems.append(f"function:{name}:size")
            return COLUMN
        found = Size(size.columns * max(4, count), product(count, each), size.grown * max(1, count), size.tables)
        return self.check(found._replace(tables=1) if scope.stored and not scope.parted else found, name)


def too_large(statement: Statement) -> tuple[str, ...]:
    """Codes of the functions and operators that may make a value too large."""
    if not _makes_values(statement):
        return ()
    key = (statement.sql, statement.kind)
    if key not in _known:
        sizes = _Sizes()
        sizes.value(statement.node, Scope())
        _known[key] = tuple(dict.fromkeys(sizes.problems))
        if len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
    return _known[key]


def _makes_values(statement: Statement) -> bool:
    """Whether anything in a statement can make a large value: of most nothing can, and that is quickly seen."""
    functions = {name.name for name in statement.names.functions}
    operators = {name.name for name in statement.names.operators}
    if functions & (COLLECTING | MAKERS.keys() | FACTORS.keys()) or operators & {"||", "^"}:
        return True
    return any(
        kind in {"JsonArrayAgg", "JsonObjectAgg", "A_ArrayExpr"}
        or (kind == "TypeName" and len(part.typmods) > 0)
        or (kind == "WithClause" and part.recursive)
        or (kind == "SubLink" and part.sub_link_type == _array_link())
        or (kind == "A_Const" and part.HasField("fval"))
        or (kind == "A_Const" and len(part.sval.sval) > MOST_COLLECTED)
        for kind, part in statement.parts
    )


@cache
def _array_link() -> int:
    from postgast import parse as postgast_parse

    target = postgast_parse("SELECT ARRAY(SELECT 1)").stmts[0].stmt.select_stmt.target_list[0]
    return int(target.res_target.val.sub_link.sub_link_type)


_MOST_KNOWN = 500
_known: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()


def _constant(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    if node.HasField("fval"):
        mantissa, _, exponent = node.fval.fval.lower().partition("e")
        return Size(0, len(mantissa) + (min(abs(int(exponent)), DIGITS) if exponent else 0))
    if node.HasField("sval"):
        return Size(0, len(node.sval.sval))
    return Size(0, len(node.bsval.bsval) * 4 if node.HasField("bsval") else NUMBER)


def _column(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    words = [part.string.sval for part in node.fields if part.HasField("string")]
    return scope.column_of(words, starred=len(words) < len(node.fields))


def _cast(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    size, name = sizes.value(node.arg, scope), name_of(node.type_name.names).name
    arg = inner(node.arg)
    if name in {"numeric", "decimal"} and kind_of(arg) == "A_Const" and "e" in arg.sval.sval.lower():
        size = size._replace(fixed=size.fixed + DIGITS)
    if kind_of(arg) in {"RowExpr", "A_ArrayExpr", "SubLink"} or (scope.recursive and name not in NUMBERS):
        size = size.times(2)  # quotes are doubled
    lengths = [whole(part) for part in node.type_name.typmods]
    if name in {"bpchar", "char", "bit", "numeric", "decimal"} and lengths:
        size = size._replace(
            fixed=max(size.fixed, *(math.inf if length is None else abs(length) for length in lengths))
        )
    return sizes.check(size, name)


def _operator(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    name = name_of(node.name).name
    both = sizes.all([*many(node.lexpr), *many(node.rexpr)], scope)
    if name == "||":
        return sizes.check(total(both), "concat")
    if name == "^":
        return total([*both, Size(0, DIGITS)])
    kinds = node.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    if kinds[node.kind].name != "AEXPR_OP" or name in COMPARING:
        return WORD
    # A number has a most of digits, however many rounds a recursive query adds to it.
    return largest(both) if scope.recursive and name in ARITHMETIC else total(both)


def _link(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    sizes.all(many(node.testexpr) if node.HasField("testexpr") else (), scope)
    rows = sizes.query(inner(node.subselect), scope)
    kinds = node.DESCRIPTOR.fields_by_name["sub_link_type"].enum_type.values_by_number
    kind = kinds[node.sub_link_type].name
    if kind == "ARRAY_SUBLINK":
        return sizes.collected(rows.row, Scope(items={"": rows}), "array_agg")
    return rows.row if kind in {"EXPR_SUBLINK", "MULTIEXPR_SUBLINK"} else WORD


def _truth(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    sizes.all(children(node), scope)
    return WORD


def _either(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    return largest(sizes.all(children(node), scope))


def _call(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    qualified = name_of(node.funcname)
    name = qualified.name
    arguments = sizes.all(node.args, scope)
    sizes.all([*node.agg_order, *many(node.agg_filter)], scope)
    size = total(arguments)
    if qualified.schema in {"", "pg_catalog"}:
        if name in COLLECTING:
            return sizes.collected(size, scope, name)
        made = MAKERS.get(name)
        if name in SHORT:
            return Size(0, NUMBER * 4)
        size = made(node, arguments, size) if made is not None else size.times(FACTORS.get(name, 1))
    return sizes.check(size, name)


_EXPRESSIONS: Mapping[str, Callable[[_Sizes, Message, Scope], Size]] = {
    "A_Const": _constant, "ColumnRef": _column, "TypeCast": _cast, "A_Expr": _operator, "SubLink": _link, "FuncCall": _call,
    "BoolExpr": _truth, "NullTest": _truth, "BooleanTest": _truth, "CaseExpr": _either, "CoalesceExpr": _either,
    "MinMaxExpr": _either, "TypeName": lambda *_: NOTHING,
}  # fmt: skip


def _series(wrapped: Message, sizes: _Sizes, scope: Scope) -> Rows:
    """How many rows a call in FROM or in the list of targets makes."""
    node = inner(wrapped)
    if kind_of(node) == "ResTarget":
        node = inner(node.val)
    if kind_of(node) != "FuncCall":
        return Rows()
    name = name_of(node.funcname).name
    if name == "generate_series":
        return Rows(count=steps_of(node))
    if TAKING_APART.fullmatch(name):
        size = total(_Sizes().all(node.args, scope))
        return Rows(count=max(size.fixed, 1), stored=bool(size.columns))
    return Rows()
