"""Follows marked columns through a statement: into the cells of its result, and into anything else that reveals them. Pure.

    the server's tree of a query, trees of views -> for each column of the result the marked columns behind it
                                                 -> the marked columns that are revealed in another way

The columns of secrets are marked. An operation that is not known to show a value unchanged, or not to use it, counts as
revealing it: a comparison, an order, a number of rows, an error. What cannot be followed counts as made of every marked column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.statements.parsed_trees import Node, parse_tree

MarkedColumn = tuple[int, int]
Marks = frozenset[MarkedColumn]
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NOTHING: Marks = frozenset()

_SELECT = "1"
_EXISTS, _ALL, _ANY, _EXPRESSION, _ARRAY = 0, 1, 2, 4, 6
_SUBLINK_PARAMETER, _SEVERAL_PARAMETER = 2, 3
_UNION = "1"
_TEXT_TYPES = frozenset({25, 1042, 1043})
_JSON_PARSED = "5"
_MOST_ROUNDS = 10
# Nodes that only pass on the values in them.
_PASSING = frozenset(
    {
        "RELABELTYPE", "COLLATEEXPR", "CONVERTROWTYPEEXPR", "COALESCEEXPR", "COALESCE", "ARRAYEXPR", "ARRAY", "ROWEXPR", "ROW",
        "FIELDSELECT", "NAMEDARGEXPR", "RETURNINGEXPR", "JSONVALUEEXPR", "JSONFORMAT", "JSONRETURNING", "TARGETENTRY", "BOOLEXPR",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """What a value is made of: the marked columns in `marks`.

    `bare` says that the value is a marked column itself, `whole` that it holds the column's value unchanged.
    """

    marks: Marks = _NOTHING
    whole: bool = True
    bare: bool = False
    constant: str | None = None


_UNMARKED = Cell()


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """The numbers, in one database, of the functions that `showing_functions` lists."""

    whole: frozenset[int] = frozenset()
    pieces: frozenset[int] = frozenset()
    counts: frozenset[int] = frozenset()
    equalities: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumns:
    """The columns of a result (`cells`, in order) with their `names`, and the other uses of marked columns.

    `revealed` are marked columns about which the statement reveals something beside showing them. `copied` are those that a
    write stores in a column that is not marked. `lookups` are the constants that one is compared with, as `type:bytes`. If the
    statement could not be `followed` there are no cells: each column may show any marked column.
    """

    cells: tuple[Cell, ...] = ()
    names: tuple[str, ...] = ()
    revealed: Marks = _NOTHING
    copied: Marks = _NOTHING
    lookups: frozenset[str] = frozenset()
    followed: bool = True

    @property
    def marks(self) -> Marks:
        """Return every marked column that the result shows."""
        return frozenset().union(*(cell.marks for cell in self.cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFacts:
    """The facts from the catalogs: `marked` columns, the `columns` of each relation, and the trees of `views`.

    `marked_functions` are functions whose results count as marked, each as (-number, 0). `opened` are columns of views that
    count as made of no marked column.
    """

    marked: Marks
    columns: Mapping[int, Sequence[int]]
    views: Mapping[int, str] = field(default_factory=dict)
    marked_functions: Marks = _NOTHING
    opened: Marks = _NOTHING
    functions: Functions = field(default_factory=Functions)


class _UnknownTree(Exception):
    """A tree holds something that this module does not know."""


def result_columns(tree: str, facts: CatalogFacts) -> ResultColumns:
    """Return what the result of the statement with this tree is made of."""
    if not facts.marked and not facts.marked_functions:
        return ResultColumns()
    flow = _Flow(facts)
    try:
        query = _query_of(tree)
        cells = flow.query(query, None)
        names = [entry.text("resname") for entry in _visible(_targets(query))]
    except (_UnknownTree, ValueError, RecursionError, IndexError):
        every = facts.marked | facts.marked_functions
        return ResultColumns(revealed=every, copied=every, followed=False)
    return ResultColumns(
        cells=tuple(cells), names=tuple(map(_unescaped, names)), revealed=frozenset(flow.revealed),
        copied=frozenset(flow.copied), lookups=frozenset(flow.lookups),
    )  # fmt: skip


@dataclass(slots=True)
class _Scope:
    """The range table and the CTEs of one query, inside of those of `outer`. `columns` has the cells of each table, once known."""

    query: Node
    outer: _Scope | None
    tables: list[Node]
    columns: dict[int, Callable[[int], Cell]] = field(default_factory=dict)
    ctes: dict[str, list[Cell]] = field(default_factory=dict)

    def above(self, levels: int) -> _Scope:
        """Return the scope so many levels outside of this one. Raises `_UnknownTree`."""
        scope: _Scope | None = self
        for _ in range(levels):
            scope = scope.outer if scope else None
        if scope is None:
            raise _UnknownTree
        return scope


class _Flow:
    """Follows marked columns through one statement."""

    def __init__(self, facts: CatalogFacts) -> None:
        self._facts = facts
        self._views: dict[int, list[Cell]] = {}
        # The values that the enclosing CASEs test, and the results of the enclosing sub-selects; the innermost last.
        self._tests: list[Cell] = []
        self._subselects: list[list[Cell]] = []
        self.revealed: set[MarkedColumn] = set()
        self.copied: set[MarkedColumn] = set()
        self.lookups: set[str] = set()

    def query(self, query: Node, outer: _Scope | None) -> list[Cell]:
        """Return the cells of a query's result, in order."""
        scope = _Scope(query, outer, query.nodes("rtable"))
        self._ctes(scope)
        for number in range(1, len(scope.tables) + 1):
            self._table(scope, number)
        for part in ("jointree", "havingQual", "mergeJoinCondition"):
            if (node := query.node(part)) is not None:
                self._conditions(node, scope)
        for part in ("limitCount", "limitOffset"):
            if (node := query.node(part)) is not None:
                self._reveal(self._cell(node, scope))
        entries = query.nodes("targetList")
        cells = {entry.text("resno"): self._cell(entry.node("expr"), scope) for entry in entries}
        if (operations := query.node("setOperations")) is not None:
            places = [entry.text("resno") for entry in _visible(entries)]
            cells |= zip(places, self._set(operations, scope), strict=True)
        self._orders(query, cells, scope)
        if query.text("commandType") == _SELECT:
            return [cells[entry.text("resno")] for entry in _visible(entries)]
        self._note_copies(query, scope)
        return [self._cell(entry.node("expr"), scope) for entry in _visible(_targets(query))]

    def _reveal(self, *cells: Cell) -> None:
        for cell in cells:
            self.revealed |= cell.marks

    # What a query reads.

    def _ctes(self, scope: _Scope) -> None:
        for cte in scope.query.nodes("cteList"):
            name, query = cte.text("ctename"), cte.node("ctequery")
            if query is None or cte.node("cycle_clause") or cte.node("search_clause"):
                raise _UnknownTree
            columns = len(cte.items("ctecolnames")) or len(_visible(_targets(query)))
            scope.ctes[name] = [_UNMARKED] * columns
            # A CTE may read itself, so its cells are calculated until they stay the same.
            for _ in range(_MOST_ROUNDS):
                cells = self.query(query, scope)
                if cells == scope.ctes[name]:
                    break
                scope.ctes[name] = cells
            else:
                raise _UnknownTree

    def _column(self, scope: _Scope, table: int, column: int) -> Cell:
        if column < 0:  # a system column
            return _UNMARKED
        return self._table(scope, table)(column)

    def _table(self, scope: _Scope, number: int) -> Callable[[int], Cell]:
        """Return a function from a column's number to its cell, for an entry of the range table; 0 is the whole row."""
        if number not in scope.columns:
            if not 0 < number <= len(scope.tables):
                raise _UnknownTree
            scope.columns[number] = self._of_table(scope, scope.tables[number - 1])
        return scope.columns[number]

    def _of_table(self, scope: _Scope, table: Node) -> Callable[[int], Cell]:
        for part in ("tablesample", "securityQuals"):
            for node in _below(table, part):
                self._reveal(self._cell(node, scope))
        kind = table.number("rtekind")
        if kind not in _TABLES:
            raise _UnknownTree
        return _TABLES[kind](self, table, scope)

    def _of_subquery(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        query = table.node("subquery")
        if query is None:
            raise _UnknownTree
        return _by_place(self.query(query, scope))

    def _of_join(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        aliases = table.items("joinaliasvars")
        return lambda column: self._of_expressions(aliases, column, scope)

    def _of_group(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        expressions = table.items("groupexprs")
        return lambda column: self._of_expressions(expressions, column, scope)

    def _of_values(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        rows = [row for row in table.items("values_lists") if isinstance(row, list)]
        columns = zip(*([self._cell(_node(item), scope) for item in row] for row in rows), strict=True)
        return _by_place([_union(cells) for cells in columns])

    def _of_cte(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        cells = scope.above(table.number("ctelevelsup")).ctes.get(table.text("ctename"))
        if cells is None:
            raise _UnknownTree
        return _by_place(cells)

    def _of_table_function(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        cell = self._each(table.children(), scope)
        self._reveal(cell)
        return lambda _: cell

    def _of_nothing(self, _table: Node, _scope: _Scope) -> Callable[[int], Cell]:
        return _by_place([])

    def _of_relation(self, table: Node, _scope: _Scope) -> Callable[[int], Cell]:
        number = table.number("relid")
        columns = self._facts.columns.get(number)
        if columns is None:
            raise _UnknownTree
        view_cells = self._of_view(number)

        def cell(column: int) -> Cell:
            if column == 0:
                return _union([cell(part) for part in columns])
            if (number, column) in self._facts.opened:
                return _UNMARKED
            own = frozenset({(number, column)}) & self._facts.marked
            if view_cells is None:
                return Cell(own, bare=True) if own else _UNMARKED
            behind = view_cells[column - 1]
            return Cell(behind.marks | own, whole=behind.whole, bare=behind.bare or bool(own)) if own else behind

        return cell

    def _of_view(self, number: int) -> list[Cell] | None:
        text = self._facts.views.get(number)
        if text is None:
            return None
        if number not in self._views:
            self._views[number] = []  # stops a view that reads itself
            # The view's owner decided what it compares and sorts by, so the statement reveals nothing by that.
            revealed, lookups = set(self.revealed), set(self.lookups)
            self._views[number] = self.query(_query_of(text), None)
            self.revealed, self.lookups = revealed, lookups
        return self._views[number]

    def _of_functions(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        cell = _union([self._cell(function.node("funcexpr"), scope) for function in table.nodes("functions")])
        return lambda _: cell

    def _of_expressions(self, expressions: list[object], column: int, scope: _Scope) -> Cell:
        if column == 0:
            return self._each((part for part in expressions if isinstance(part, Node)), scope)
        return self._cell(_node(expressions[column - 1]), scope)

    # What a query does with the values.

    def _conditions(self, node: Node, scope: _Scope) -> None:
        """Follow the conditions of a jointree, or a single condition."""
        if node.kind in {"FROMEXPR", "JOINEXPR"}:
            for part in node.children():
                self._conditions(part, scope)
        elif node.kind not in {"RANGETBLREF", "ALIAS"}:
            self._cell(node, scope)

    def _orders(self, query: Node, cells: Mapping[str, Cell], scope: _Scope) -> None:
        """Follow sorting and grouping: sorting reveals how values compare, grouping by an expression what they hold."""
        by_ref = {
            entry.text("ressortgroupref"): cells[entry.text("resno")]
            for entry in query.nodes("targetList")
            if entry.number("ressortgroupref")
        }
        self._order(query, by_ref, sorts="sortClause", groups=("groupClause", "distinctClause"))
        for window in query.nodes("windowClause"):
            self._order(window, by_ref, sorts="orderClause", groups=("partitionClause",))
            for part in ("startOffset", "endOffset"):
                if (node := window.node(part)) is not None:
                    self._reveal(self._cell(node, scope))

    def _order(self, node: Node, by_ref: Mapping[str, Cell], *, sorts: str, groups: Iterable[str]) -> None:
        for clause in node.nodes(sorts):
            self._reveal(by_ref.get(clause.text("tleSortGroupRef"), _UNMARKED))
        for name in groups:
            grouped = [by_ref.get(clause.text("tleSortGroupRef"), _UNMARKED) for clause in node.nodes(name)]
            self._reveal(*(cell for cell in grouped if not cell.bare))

    def _set(self, operation: Node, scope: _Scope) -> list[Cell]:
        """Return the cells of a UNION, INTERSECT or EXCEPT; all but UNION ALL compare the columns of both sides."""
        if operation.kind == "RANGETBLREF":
            entry = scope.tables[operation.number("rtindex") - 1]
            query = entry.node("subquery")
            if query is None:
                raise _UnknownTree
            column = self._table(scope, operation.number("rtindex"))
            return [column(place + 1) for place in range(len(_visible(_targets(query))))]
        left, right = operation.node("larg"), operation.node("rarg")
        if left is None or right is None:
            raise _UnknownTree
        pairs = list(zip(self._set(left, scope), self._set(right, scope), strict=True))
        if operation.text("op") != _UNION or operation.text("all") != "true":
            for first, second in pairs:
                if (first.marks or second.marks) and not (first.bare and second.bare):
                    self._reveal(first, second)
        return [_union(pair) for pair in pairs]

    def _note_copies(self, query: Node, scope: _Scope) -> None:
        """Note the marked columns that a write stores in columns that are not marked."""
        target = self._target(query, scope)
        entries = [*query.nodes("targetList")]
        if (conflict := query.node("onConflict")) is not None:
            entries += conflict.nodes("onConflictSet")
            for part in ("arbiterWhere", "onConflictWhere"):
                if (node := conflict.node(part)) is not None:
                    self._cell(node, scope)
        for action in query.nodes("mergeActionList"):
            entries += action.nodes("targetList")
            if (node := action.node("qual")) is not None:
                self._cell(node, scope)
        for entry in _visible(entries):
            cell = self._cell(entry.node("expr"), scope)
            if (target, entry.number("resno")) not in self._facts.marked:
                self.copied |= cell.marks

    def _target(self, query: Node, scope: _Scope) -> int:
        place = query.number("resultRelation")
        return scope.tables[place - 1].number("relid") if 0 < place <= len(scope.tables) else 0

    # Values.

    def _each(self, nodes: Iterable[Node], scope: _Scope) -> Cell:
        return _union([self._cell(node, scope) for node in nodes])

    def _cell(self, node: Node | None, scope: _Scope) -> Cell:
        """Return what a value is made of, and note what is revealed on the way to it."""
        if node is None:
            return _UNMARKED
        special = _SPECIAL.get(node.kind)
        if special is not None:
            return special(self, node, scope)
        cell = self._each(node.children(), scope)
        if node.kind not in _PASSING:
            self._reveal(cell)
            return Cell(cell.marks, whole=False)
        is_same = node.kind in {"RELABELTYPE", "COLLATEEXPR", "TARGETENTRY"}
        return cell if is_same else Cell(cell.marks, whole=cell.whole)

    def _variable(self, node: Node, scope: _Scope) -> Cell:
        return self._column(scope.above(node.number("varlevelsup")), node.number("varno"), node.number("varattno"))

    def _constant(self, node: Node, _scope: _Scope) -> Cell:
        return Cell(constant=f"{node.text('consttype')}:{node.text('constvalue')}")

    def _parameter(self, node: Node, _scope: _Scope) -> Cell:
        if node.number("paramkind") == _SEVERAL_PARAMETER:  # (a, b) = (SELECT ...)
            raise _UnknownTree
        if node.number("paramkind") != _SUBLINK_PARAMETER:
            return _UNMARKED
        return self._subselects[-1][node.number("paramid") - 1]

    def _null_test(self, node: Node, scope: _Scope) -> Cell:
        self._cell(node.node("arg"), scope)
        return _UNMARKED

    def _function(self, node: Node, scope: _Scope) -> Cell:
        return self._called(
            node.number("funcid"), self._each(node.children(), scope), sets=_is_true(node, "funcretset")
        )

    def _called(self, function: int, given: Cell, *, sets: bool = False) -> Cell:
        """Return the cell of a call with the arguments `given`; `sets` says that it returns several rows."""
        functions = self._facts.functions
        if given.marks and (sets or function not in functions.whole | functions.pieces):
            self._reveal(given)
        own = frozenset({(-function, 0)}) & self._facts.marked_functions
        return Cell(given.marks | own, whole=given.whole and function in functions.whole and not sets)

    def _operator(self, node: Node, scope: _Scope) -> Cell:
        arguments = [self._cell(argument, scope) for argument in node.nodes("args")]
        given, function = _union(arguments), node.number("opfuncid")
        if not given.marks or function not in self._facts.functions.equalities:
            return self._called(function, given)
        self._note_equality(arguments)
        if node.kind == "NULLIFEXPR":
            return Cell(arguments[0].marks, whole=arguments[0].whole)
        return Cell(given.marks, whole=False)

    def _note_equality(self, sides: Sequence[Cell]) -> None:
        """Note an equality: comparing marked columns with constants is a lookup, with anything else it reveals them."""
        if all(side.bare for side in sides):
            return
        constants = [side.constant for side in sides if side.constant is not None]
        if len(constants) + sum(side.bare for side in sides) == len(sides):
            self.lookups |= {part for constant in constants for part in constant.split("|")}
        else:
            self._reveal(*sides)

    def _array(self, node: Node, scope: _Scope) -> Cell:
        cells = [self._cell(element, scope) for element in node.nodes("elements")]
        constants = [cell.constant for cell in cells if cell.constant is not None]
        if cells and len(constants) == len(cells):
            return Cell(constant="|".join(constants))
        whole_array = _union(cells)
        return Cell(whole_array.marks, whole=whole_array.whole)

    def _aggregate(self, node: Node, scope: _Scope) -> Cell:
        function = node.number("aggfnoid") or node.number("winfnoid")
        entries = node.nodes("args")
        given = [self._cell(argument, scope) for argument in (*node.nodes("aggdirectargs"), *entries)]
        self._cell(node.node("aggfilter"), scope)
        by_ref = {
            entry.text("ressortgroupref"): cell
            for entry, cell in zip(entries, given[len(given) - len(entries) :], strict=True)
            if entry.number("ressortgroupref")
        }
        self._order(node, by_ref, sorts="aggorder", groups=("aggdistinct",))
        return _UNMARKED if function in self._facts.functions.counts else self._called(function, _union(given))

    def _case(self, node: Node, scope: _Scope) -> Cell:
        self._tests.append(self._cell(node.node("arg"), scope))
        cell = self._each((*node.nodes("args"), *filter(None, [node.node("defresult")])), scope)
        return Cell(cell.marks | self._tests.pop().marks, whole=cell.whole)

    def _when(self, node: Node, scope: _Scope) -> Cell:
        """Return the cell of a WHEN: its result also depends on its condition."""
        test, result = self._cell(node.node("expr"), scope), self._cell(node.node("result"), scope)
        return Cell(test.marks | result.marks, whole=result.whole and not test.marks)

    def _case_test(self, _node: Node, _scope: _Scope) -> Cell:
        if not self._tests:
            raise _UnknownTree
        return self._tests[-1]

    def _sublink(self, node: Node, scope: _Scope) -> Cell:
        query, kind = node.node("subselect"), node.number("subLinkType")
        if query is None:
            raise _UnknownTree
        cells = self.query(query, scope)
        if kind == _EXISTS:
            return _UNMARKED
        if kind in {_EXPRESSION, _ARRAY}:
            return _union(cells)
        self._subselects.append(cells)
        cell = self._cell(node.node("testexpr"), scope)
        self._subselects.pop()
        if kind not in {_ANY, _ALL}:
            self._reveal(cell)
        return Cell(cell.marks, whole=False)

    def _through_text(self, node: Node, scope: _Scope) -> Cell:
        """Return the cell of a cast through text: a cast to text never fails, but another one may, which reveals the value."""
        cell = self._each(node.children(), scope)
        if node.number("resulttype") not in _TEXT_TYPES:
            self._reveal(cell)
        return Cell(cell.marks, whole=cell.whole)

    def _element(self, node: Node, scope: _Scope) -> Cell:
        for part in ("refupperindexpr", "reflowerindexpr"):
            for index in node.nodes(part):
                self._reveal(self._cell(index, scope))
        cell = self._cell(node.node("refexpr"), scope)
        return Cell(cell.marks, whole=cell.whole)

    def _elements(self, node: Node, scope: _Scope) -> Cell:
        """Return the cell of an array's cast, which is given for one element."""
        cell = self._cell(node.node("arg"), scope)
        self._tests.append(Cell(cell.marks, whole=cell.whole))
        cast = self._cell(node.node("elemexpr"), scope)
        self._tests.pop()
        return Cell(cell.marks | cast.marks, whole=cast.whole)

    def _pieces(self, node: Node, scope: _Scope) -> Cell:
        return Cell(self._each(node.children(), scope).marks, whole=False)

    def _json(self, node: Node, scope: _Scope) -> Cell:
        cell = self._each(node.children(), scope)
        if node.text("type") == _JSON_PARSED:
            self._reveal(cell)
        return Cell(cell.marks, whole=cell.whole)


# The methods for entries of the range table, by rtekind.
_TABLES: Mapping[int, Callable[[_Flow, Node, _Scope], Callable[[int], Cell]]] = {
    0: _Flow._of_relation,
    1: _Flow._of_subquery,
    2: _Flow._of_join,
    3: _Flow._of_functions,
    4: _Flow._of_table_function,
    5: _Flow._of_values,
    6: _Flow._of_cte,
    8: _Flow._of_nothing,
    9: _Flow._of_group,
}
_SPECIAL: Mapping[str, Callable[[_Flow, Node, _Scope], Cell]] = {
    "VAR": _Flow._variable,
    "CONST": _Flow._constant,
    "PARAM": _Flow._parameter,
    "NULLTEST": _Flow._null_test,
    "FUNCEXPR": _Flow._function,
    "OPEXPR": _Flow._operator,
    "DISTINCTEXPR": _Flow._operator,
    "NULLIFEXPR": _Flow._operator,
    "SCALARARRAYOPEXPR": _Flow._operator,
    "ARRAYEXPR": _Flow._array,
    "ARRAY": _Flow._array,
    "AGGREF": _Flow._aggregate,
    "WINDOWFUNC": _Flow._aggregate,
    "CASEEXPR": _Flow._case,
    "CASE": _Flow._case,
    "CASEWHEN": _Flow._when,
    "WHEN": _Flow._when,
    "CASETESTEXPR": _Flow._case_test,
    "SUBLINK": _Flow._sublink,
    "COERCEVIAIO": _Flow._through_text,
    "SUBSCRIPTINGREF": _Flow._element,
    "JSONCONSTRUCTOREXPR": _Flow._json,
    "ARRAYCOERCEEXPR": _Flow._elements,
    "MINMAXEXPR": _Flow._pieces,
    "MINMAX": _Flow._pieces,
    "BOOLEANTEST": _Flow._pieces,
    "GROUPINGFUNC": lambda _flow, _node, _scope: _UNMARKED,
}


def _query_of(tree: str) -> Node:
    queries = [node for node in parse_tree(tree) if node.kind == "QUERY"]
    if len(queries) != 1:
        raise _UnknownTree
    return queries[0]


def _by_place(cells: Sequence[Cell]) -> Callable[[int], Cell]:
    return lambda column: cells[column - 1] if column else _union(cells)


def _union(cells: Iterable[Cell]) -> Cell:
    cells = list(cells)
    marked = [cell for cell in cells if cell.marks]
    if not marked:
        return cells[0] if len(cells) == 1 else _UNMARKED
    return Cell(
        frozenset().union(*(cell.marks for cell in marked)),
        whole=all(cell.whole for cell in marked),
        bare=all(cell.bare for cell in cells),
    )


def _targets(query: Node) -> list[Node]:
    return query.nodes("targetList" if query.text("commandType") == _SELECT else "returningList")


def _visible(entries: Iterable[Node]) -> list[Node]:
    return [entry for entry in entries if entry.text("resjunk") != "true"]


def _node(value: object) -> Node | None:
    return value if isinstance(value, Node) else None


def _below(node: Node, name: str) -> Iterable[Node]:
    inner = node.node(name)
    return inner.children() if inner is not None else node.nodes(name)


def _is_true(node: Node, name: str) -> bool:
    return node.text(name) == "true"


def _unescaped(name: str) -> str:
    return "" if name == "<>" else _ESCAPED.sub(r"\1", name)
