"""Finds the expressions of a statement that may make a value too large. Pure.

No setting of the server limits a single value: `format('%500000000s', 'x')` takes half a gigabyte. So the size of each
expression is calculated from the statement, as a number of characters and a number of times the value of some column. It is
an upper bound, not an estimate: an expression that is not known to be small counts as large, and a human is asked.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from agent.statements.parser import Message, Statement, kind_of, name_of
from agent.statements.size_rules import (  # fmt: skip
    AGGREGATES,
    ARITHMETIC,
    CALCULATIONS,
    COLUMN,
    COMPARISONS,
    DIGITS,
    ELEMENT,
    FACTORS,
    HUGE,
    MOST_CHARACTERS,
    MOST_COLLECTED,
    MOST_COLUMNS,
    MOST_GROWN,
    MOST_OF_TABLES,
    NOTHING,
    NUMBER,
    NUMBERS,
    ROW_FOR_EACH_PART,
    SHORT_RESULTS,
    SMALL,
    Size,
    as_list,
    children,
    constant_integer,
    largest,
    product,
    steps_of,
    total,
    unwrapped,
)
from agent.statements.size_scopes import Rows, Scope, column_names, number_columns, reads_tables, refers_to, union_of


class _Sizes:
    """Calculates the sizes in one statement. `problems` are the codes of the expressions that may be too large."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def check(self, size: Size, name: str) -> Size:
        """Note a value that is too large, and count it as small from then on, so that it is reported once."""
        most = MOST_OF_TABLES if size.tables else MOST_COLUMNS
        if size.columns > most or size.fixed > MOST_CHARACTERS:
            self.problems.append(f"function:{name}:size")
            return COLUMN
        return size

    def query(self, node: Message, outer: Scope) -> Rows:
        """Return the rows of a SELECT, VALUES or set operation."""
        scope = outer.inside()
        self._with(node, scope)
        if node.HasField("larg"):
            return union_of(self.query(node.larg, scope), self.query(node.rarg, scope))
        if node.values_lists:
            lines = [total(self.all(row.list.items, scope)) for row in node.values_lists]
            cells = [self.value(cell, scope) for row in node.values_lists for cell in row.list.items]
            return Rows(value=largest(cells), row=largest(lines), count=len(node.values_lists))
        for number, item in enumerate(node.from_clause):
            self._item(item, scope, str(number))
        scope.partial = len(node.group_clause) > 0
        self.all([node.where_clause] if node.HasField("where_clause") else (), scope)
        from_count = scope.count
        sizes = [self.value(target, scope) for target in node.target_list]
        for name in (
            "group_clause",
            "having_clause",
            "window_clause",
            "sort_clause",
            "distinct_clause",
        ):
            self.all(as_list(getattr(node, name)), scope)
        target_count = math.prod([_generated_rows(target, scope).count for target in node.target_list] or [1])
        rows = Rows(
            value=largest(sizes), row=self.check(total(sizes), "concat"), count=product(from_count, target_count),
            stored=scope.stored, names=column_names(node.target_list),
        )  # fmt: skip
        limit = constant_integer(node.limit_count) if node.HasField("limit_count") else None
        return (
            replace(rows, count=limit, stored=False)
            if limit is not None and (rows.stored or limit < rows.count)
            else rows
        )

    def _with(self, node: Message, scope: Scope) -> None:
        """Add the CTEs of a query to its scope."""
        for item in node.with_clause.ctes if node.HasField("with_clause") else ():
            cte, query = item.common_table_expr, unwrapped(item.common_table_expr.ctequery)
            names = tuple(part.string.sval for part in cte.aliascolnames) or None
            if kind_of(query) != "SelectStmt":
                self.all([query], scope)
                scope.queries[cte.ctename] = Rows()
            elif node.with_clause.recursive and refers_to(query, cte.ctename):
                scope.queries[cte.ctename] = self._recursive(cte.ctename, query, names, scope)
            else:
                rows = self.query(query, scope)
                scope.queries[cte.ctename] = replace(rows, names=names or rows.names)

    def _recursive(self, name: str, query: Message, names: tuple[str, ...] | None, scope: Scope) -> Rows:
        """Return the rows of a recursive query. Each round may add to a value, but must not multiply it."""
        if not query.HasField("larg"):
            return Rows(value=HUGE, row=HUGE, count=math.inf)
        first = self.query(query.larg, scope)
        names = names or first.names
        rounds = scope.inside()
        rounds.queries[name] = Rows(names=names, numbers=number_columns(query.larg, names))
        rounds.column, rounds.recursive = NOTHING, True
        one_round = _Sizes()
        grown = one_round.query(query.rarg, rounds)
        if grown.value.columns > 1 or grown.value.fixed > MOST_COLLECTED or one_round.problems:
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
        """Add an item of FROM to the scope; `place` names an item that has no name."""
        item = unwrapped(node)
        kind = kind_of(item)
        if kind == "JoinExpr":
            self._item(item.larg, scope, f"{place}l")
            self._item(item.rarg, scope, f"{place}r")
            self.all(as_list(item.quals) if item.HasField("quals") else (), scope)
            return
        if kind == "RangeVar":
            cte = None if item.schemaname else scope.queries.get(item.relname)
            rows = cte or Rows(value=scope.column, row=scope.column, stored=True)
            default = item.relname
        elif kind == "RangeSubselect":
            rows, default = self.query(unwrapped(item.subquery), scope), place
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
        generated = [_generated_rows(call, scope) for call in calls]
        sizes = [self.value(call, scope) for call in calls]
        return Rows(
            value=largest(sizes), row=total(sizes), count=max([rows.count for rows in generated] or [1]),
            stored=any(rows.stored for rows in generated),
        )  # fmt: skip

    def all(self, nodes: Iterable[Message], scope: Scope) -> list[Size]:
        """Return the sizes of several expressions."""
        return [self.value(node, scope) for node in nodes]

    def value(self, wrapped: Message, scope: Scope) -> Size:
        """Return the size of an expression."""
        node = unwrapped(wrapped)
        kind = kind_of(node)
        calculate = _EXPRESSIONS.get(kind)
        if calculate is not None:
            return calculate(self, node, scope)
        if kind == "SelectStmt":
            return self.query(node, scope).row
        if kind in {"JsonArrayAgg", "JsonObjectAgg"}:
            return self.collected(total(self.all(children(node), scope)).times(2), scope, "json_agg")
        return total(self.all(children(node), scope))

    def collected(self, size: Size, scope: Scope, name: str) -> Size:
        """Return the size of what the aggregate `name` collects from its rows, each of which gives a value of `size`."""
        count, stored = scope.count, scope.aggregates_stored
        each = max(size.fixed, 1) if name == "string_agg" else size.fixed + ELEMENT
        is_unlimited = stored and (each > MOST_COLLECTED or size.grown > MOST_GROWN or size.tables)
        if is_unlimited or product(count, each) > MOST_CHARACTERS:
            self.problems.append(f"function:{name}:size")
            return COLUMN
        result = Size(size.columns * max(4, count), product(count, each), size.grown * max(1, count), size.tables)
        return self.check(result._replace(tables=1) if scope.stored and not scope.partial else result, name)


def too_large(statement: Statement) -> tuple[str, ...]:
    """Return the codes of the functions and operators that may make a value too large."""
    if not _may_make_large_values(statement):
        return ()
    key = (statement.sql, statement.kind)
    if key not in _cache:
        sizes = _Sizes()
        sizes.value(statement.node, Scope())
        _cache[key] = tuple(dict.fromkeys(sizes.problems))
        if len(_cache) > _MOST_CACHED:
            _cache.popitem(last=False)
    return _cache[key]


def _may_make_large_values(statement: Statement) -> bool:
    """Return whether anything in a statement can make a large value: a quick answer, since most statements cannot."""
    functions = {name.name for name in statement.names.functions}
    operators = {name.name for name in statement.names.operators}
    if functions & (AGGREGATES | CALCULATIONS.keys() | FACTORS.keys()) or operators & {"||", "^"}:
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
    """Return the grammar's number for ARRAY(SELECT ...)."""
    from postgast import parse as postgast_parse

    target = postgast_parse("SELECT ARRAY(SELECT 1)").stmts[0].stmt.select_stmt.target_list[0]
    return int(target.res_target.val.sub_link.sub_link_type)


_MOST_CACHED = 500
_cache: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()


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
    arg = unwrapped(node.arg)
    if name in {"numeric", "decimal"} and kind_of(arg) == "A_Const" and "e" in arg.sval.sval.lower():
        size = size._replace(fixed=size.fixed + DIGITS)
    if kind_of(arg) in {"RowExpr", "A_ArrayExpr", "SubLink"} or (scope.recursive and name not in NUMBERS):
        size = size.times(2)  # the text form doubles quotes
    lengths = [constant_integer(part) for part in node.type_name.typmods]
    if name in {"bpchar", "char", "bit", "numeric", "decimal"} and lengths:
        size = size._replace(
            fixed=max(size.fixed, *(math.inf if length is None else abs(length) for length in lengths))
        )
    return sizes.check(size, name)


def _operator(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    name = name_of(node.name).name
    both = sizes.all([*as_list(node.lexpr), *as_list(node.rexpr)], scope)
    if name == "||":
        return sizes.check(total(both), "concat")
    if name == "^":
        return total([*both, Size(0, DIGITS)])
    kinds = node.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    if kinds[node.kind].name != "AEXPR_OP" or name in COMPARISONS:
        return SMALL
    # The digits of a number are limited, however many rounds of a recursive query add to it.
    return largest(both) if scope.recursive and name in ARITHMETIC else total(both)


def _sublink(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    sizes.all(as_list(node.testexpr) if node.HasField("testexpr") else (), scope)
    rows = sizes.query(unwrapped(node.subselect), scope)
    kinds = node.DESCRIPTOR.fields_by_name["sub_link_type"].enum_type.values_by_number
    kind = kinds[node.sub_link_type].name
    if kind == "ARRAY_SUBLINK":
        return sizes.collected(rows.row, Scope(items={"": rows}), "array_agg")
    return rows.row if kind in {"EXPR_SUBLINK", "MULTIEXPR_SUBLINK"} else SMALL


def _boolean(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    sizes.all(children(node), scope)
    return SMALL


def _one_of(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    return largest(sizes.all(children(node), scope))


def _call(sizes: _Sizes, node: Message, scope: Scope) -> Size:
    qualified = name_of(node.funcname)
    name = qualified.name
    arguments = sizes.all(node.args, scope)
    sizes.all([*node.agg_order, *as_list(node.agg_filter)], scope)
    size = total(arguments)
    if qualified.schema in {"", "pg_catalog"}:
        if name in AGGREGATES:
            return sizes.collected(size, scope, name)
        calculate = CALCULATIONS.get(name)
        if name in SHORT_RESULTS:
            return Size(0, NUMBER * 4)
        size = calculate(node, arguments, size) if calculate is not None else size.times(FACTORS.get(name, 1))
    return sizes.check(size, name)


_EXPRESSIONS: Mapping[str, Callable[[_Sizes, Message, Scope], Size]] = {
    "A_Const": _constant, "ColumnRef": _column, "TypeCast": _cast, "A_Expr": _operator, "SubLink": _sublink, "FuncCall": _call,
    "BoolExpr": _boolean, "NullTest": _boolean, "BooleanTest": _boolean, "CaseExpr": _one_of, "CoalesceExpr": _one_of,
    "MinMaxExpr": _one_of, "TypeName": lambda *_: NOTHING,
}  # fmt: skip


def _generated_rows(wrapped: Message, scope: Scope) -> Rows:
    """Return how many rows a call in FROM or in the list of targets makes."""
    node = unwrapped(wrapped)
    if kind_of(node) == "ResTarget":
        node = unwrapped(node.val)
    if kind_of(node) != "FuncCall":
        return Rows()
    name = name_of(node.funcname).name
    if name == "generate_series":
        return Rows(count=steps_of(node))
    if ROW_FOR_EACH_PART.fullmatch(name):
        size = total(_Sizes().all(node.args, scope))
        return Rows(count=max(size.fixed, 1), stored=bool(size.columns))
    return Rows()
