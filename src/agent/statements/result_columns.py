"""Which marked columns the cells of a result are made of, and what else a statement would tell of them. Pure.

    the server's tree of a query, trees of views -> for each column of the result the marked columns behind it
                                                 -> marked columns that something else than showing them is done with

Marked are the columns of secrets. What is not known to show a value as it is, or to leave it alone, counts as telling
about it: a comparison, an order, a number of rows, an error. What cannot be followed is made of every marked column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.statements.parsed_trees import Node, parse_tree

Origin = tuple[int, int]
Marks = frozenset[Origin]
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NOTHING: Marks = frozenset()

_SELECT = "1"
_EXISTS, _ALL, _ANY, _EXPRESSION, _ARRAY = 0, 1, 2, 4, 6
_SUBLINK_PARAMETER, _SEVERAL_PARAMETER = 2, 3
_UNION = "1"
_TEXT_TYPES = frozenset({25, 1042, 1043})
_JSON_PARSED = "5"
_MOST_ROUNDS = 10
# They hand on what they hold.
_PLAIN = frozenset(
    {
        "RELABELTYPE", "COLLATEEXPR", "CONVERTROWTYPEEXPR", "COALESCEEXPR", "COALESCE", "ARRAYEXPR", "ARRAY", "ROWEXPR", "ROW",
        "FIELDSELECT", "NAMEDARGEXPR", "RETURNINGEXPR", "JSONVALUEEXPR", "JSONFORMAT", "JSONRETURNING", "TARGETENTRY", "BOOLEXPR",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """What a value is made of. `bare` is a marked column itself, `whole` holds its value as it is."""

    marks: Marks = _NOTHING
    whole: bool = True
    bare: bool = False
    constant: str | None = None


_OPEN = Cell()


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """Functions that are known here, by their numbers in one database; see `showing_functions`."""

    whole: frozenset[int] = frozenset()
    pieces: frozenset[int] = frozenset()
    counts: frozenset[int] = frozenset()
    equalities: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumns:
    """`cells` are the result's columns in order, `names` what they are called.

    `told` are marked columns that the statement tells something about beside showing them, `copied` those that a write puts
    into a column that is not marked, `lookups` the bytes of constants that one is compared with. What could not be `followed`
    has no cells: any of them may be of any marked column.
    """

    cells: tuple[Cell, ...] = ()
    names: tuple[str, ...] = ()
    told: Marks = _NOTHING
    copied: Marks = _NOTHING
    lookups: frozenset[str] = frozenset()
    followed: bool = True

    @property
    def marks(self) -> Marks:
        """Every marked column that the result shows."""
        return frozenset().union(*(cell.marks for cell in self.cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the catalogs say: `marked` columns, the `columns` of each relation, and the trees of `views`.

    `makers` are functions whose results count as marked; each is written (-its number, 0). `opened` are columns of views that
    count as made of nothing that is marked.
    """

    marked: Marks
    columns: Mapping[int, Sequence[int]]
    views: Mapping[int, str] = field(default_factory=dict)
    makers: Marks = _NOTHING
    opened: Marks = _NOTHING
    functions: Functions = field(default_factory=Functions)


class _Untold(Exception):
    """A tree holds what is not known here."""


def result_columns(tree: str, known: Known) -> ResultColumns:
    """What the result of the statement with this tree is made of."""
    if not known.marked and not known.makers:
        return ResultColumns()
    flow = _Flow(known)
    try:
        query = _query_of(tree)
        cells = flow.query(query, None)
        names = [entry.text("resname") for entry in _shown(_targets(query))]
    except (_Untold, ValueError, RecursionError, IndexError):
        every = known.marked | known.makers
        return ResultColumns(told=every, copied=every, followed=False)
    return ResultColumns(
        cells=tuple(cells), names=tuple(map(_unescaped, names)), told=frozenset(flow.told), copied=frozenset(flow.copied),
        lookups=frozenset(flow.lookups),
    )  # fmt: skip


@dataclass(slots=True)
class _Scope:
    """The names of one query: its range table and CTEs, inside of those of `outer`."""

    query: Node
    outer: _Scope | None
    tables: list[Node]
    found: dict[int, Callable[[int], Cell]] = field(default_factory=dict)
    ctes: dict[str, list[Cell]] = field(default_factory=dict)

    def above(self, levels: int) -> _Scope:
        scope: _Scope | None = self
        for _ in range(levels):
            scope = scope.outer if scope else None
        if scope is None:
            raise _Untold
        return scope


class _Flow:
    """Follows marked columns through one statement."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._views: dict[int, list[Cell]] = {}
        self._tests: list[Cell] = []
        self._selected: list[list[Cell]] = []
        self.told: set[Origin] = set()
        self.copied: set[Origin] = set()
        self.lookups: set[str] = set()

    def query(self, query: Node, outer: _Scope | None) -> list[Cell]:
        """The cells of a query's result, in order."""
        scope = _Scope(query, outer, query.nodes("rtable"))
        self._ctes(scope)
        for number in range(1, len(scope.tables) + 1):
            self._table(scope, number)
        for part in ("jointree", "havingQual", "mergeJoinCondition"):
            if (node := query.node(part)) is not None:
                self._conditions(node, scope)
        for part in ("limitCount", "limitOffset"):
            if (node := query.node(part)) is not None:
                self._tell(self._cell(node, scope))
        entries = query.nodes("targetList")
        cells = {entry.text("resno"): self._cell(entry.node("expr"), scope) for entry in entries}
        if (operations := query.node("setOperations")) is not None:
            places = [entry.text("resno") for entry in _shown(entries)]
            cells |= zip(places, self._set(operations, scope), strict=True)
        self._orders(query, cells, scope)
        if query.text("commandType") == _SELECT:
            return [cells[entry.text("resno")] for entry in _shown(entries)]
        self._written(query, scope)
        return [self._cell(entry.node("expr"), scope) for entry in _shown(_targets(query))]

    def _tell(self, *cells: Cell) -> None:
        for cell in cells:
            self.told |= cell.marks

    # what a query reads

    def _ctes(self, scope: _Scope) -> None:
        for cte in scope.query.nodes("cteList"):
            name, query = cte.text("ctename"), cte.node("ctequery")
            if query is None or cte.node("cycle_clause") or cte.node("search_clause"):
                raise _Untold
            columns = len(cte.items("ctecolnames")) or len(_shown(_targets(query)))
            scope.ctes[name] = [_OPEN] * columns
            # One that reads itself: until nothing new comes.
            for _ in range(_MOST_ROUNDS):
                cells = self.query(query, scope)
                if cells == scope.ctes[name]:
                    break
                scope.ctes[name] = cells
            else:
                raise _Untold

    def _column(self, scope: _Scope, table: int, column: int) -> Cell:
        if column < 0:  # a system's column
            return _OPEN
        return self._table(scope, table)(column)

    def _table(self, scope: _Scope, number: int) -> Callable[[int], Cell]:
        """The columns of an entry of the range table, by their numbers; 0 is the whole row."""
        if number not in scope.found:
            if not 0 < number <= len(scope.tables):
                raise _Untold
            scope.found[number] = self._of_table(scope, scope.tables[number - 1])
        return scope.found[number]

    def _of_table(self, scope: _Scope, table: Node) -> Callable[[int], Cell]:
        for part in ("tablesample", "securityQuals"):
            for node in _below(table, part):
                self._tell(self._cell(node, scope))
        kind = table.number("rtekind")
        if kind not in _TABLES:
            raise _Untold
        return _TABLES[kind](self, table, scope)

    def _of_subquery(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        query = table.node("subquery")
        if query is None:
            raise _Untold
        return _by_place(self.query(query, scope))

    def _of_join(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        aliases = table.items("joinaliasvars")
        return lambda column: self._of_expressions(aliases, column, scope)

    def _of_group(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        expressions = table.items("groupexprs")
        return lambda column: self._of_expressions(expressions, column, scope)

    def _of_values(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        rows = [row for row in table.items("values_lists") if isinstance(row, list)]
        columns = zip(*([self._cell(_node(one), scope) for one in row] for row in rows), strict=True)
        return _by_place([_union(cells) for cells in columns])

    def _of_cte(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        found = scope.above(table.number("ctelevelsup")).ctes.get(table.text("ctename"))
        if found is None:
            raise _Untold
        return _by_place(found)

    def _of_table_function(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        cell = self._each(table.children(), scope)
        self._tell(cell)
        return lambda _: cell

    def _of_nothing(self, _table: Node, _scope: _Scope) -> Callable[[int], Cell]:
        return _by_place([])

    def _of_relation(self, table: Node, _scope: _Scope) -> Callable[[int], Cell]:
        number = table.number("relid")
        columns = self._known.columns.get(number)
        if columns is None:
            raise _Untold
        shown = self._of_view(number)

        def cell(column: int) -> Cell:
            if column == 0:
                return _union([cell(one) for one in columns])
            if (number, column) in self._known.opened:
                return _OPEN
            own = frozenset({(number, column)}) & self._known.marked
            if shown is None:
                return Cell(own, bare=True) if own else _OPEN
            behind = shown[column - 1]
            return Cell(behind.marks | own, whole=behind.whole, bare=behind.bare or bool(own)) if own else behind

        return cell

    def _of_view(self, number: int) -> list[Cell] | None:
        text = self._known.views.get(number)
        if text is None:
            return None
        if number not in self._views:
            self._views[number] = []  # a view that reads itself is none
            # What a view compares or sorts by is its owner's business, not the statement's.
            told, lookups = set(self.told), set(self.lookups)
            self._views[number] = self.query(_query_of(text), None)
            self.told, self.lookups = told, lookups
        return self._views[number]

    def _of_functions(self, table: Node, scope: _Scope) -> Callable[[int], Cell]:
        cells = [self._cell(one.node("funcexpr"), scope) for one in table.nodes("functions")]
        together = _union(cells)
        return lambda _: together

    def _of_expressions(self, expressions: list[object], column: int, scope: _Scope) -> Cell:
        if column == 0:
            return self._each((one for one in expressions if isinstance(one, Node)), scope)
        return self._cell(_node(expressions[column - 1]), scope)

    # what it does with it

    def _conditions(self, node: Node, scope: _Scope) -> None:
        """The quals of a jointree, or a condition."""
        if node.kind in {"FROMEXPR", "JOINEXPR"}:
            for part in node.children():
                self._conditions(part, scope)
        elif node.kind not in {"RANGETBLREF", "ALIAS"}:
            self._cell(node, scope)

    def _orders(self, query: Node, cells: Mapping[str, Cell], scope: _Scope) -> None:
        """What is sorted tells how its values compare, what is grouped by more than a column what they hold."""
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
                    self._tell(self._cell(node, scope))

    def _order(self, node: Node, by_ref: Mapping[str, Cell], *, sorts: str, groups: Iterable[str]) -> None:
        for clause in node.nodes(sorts):
            self._tell(by_ref.get(clause.text("tleSortGroupRef"), _OPEN))
        for name in groups:
            grouped = [by_ref.get(clause.text("tleSortGroupRef"), _OPEN) for clause in node.nodes(name)]
            self._tell(*(cell for cell in grouped if not cell.bare))

    def _set(self, operation: Node, scope: _Scope) -> list[Cell]:
        """UNION, INTERSECT, EXCEPT: but for UNION ALL they compare the columns of both sides."""
        if operation.kind == "RANGETBLREF":
            entry = scope.tables[operation.number("rtindex") - 1]
            query = entry.node("subquery")
            if query is None:
                raise _Untold
            column = self._table(scope, operation.number("rtindex"))
            return [column(place + 1) for place in range(len(_shown(_targets(query))))]
        left, right = operation.node("larg"), operation.node("rarg")
        if left is None or right is None:
            raise _Untold
        pairs = list(zip(self._set(left, scope), self._set(right, scope), strict=True))
        if operation.text("op") != _UNION or operation.text("all") != "true":
            for one, other in pairs:
                if (one.marks or other.marks) and not (one.bare and other.bare):
                    self._tell(one, other)
        return [_union(pair) for pair in pairs]

    def _written(self, query: Node, scope: _Scope) -> None:
        """Which marked columns a write puts into columns that are not."""
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
        for entry in _shown(entries):
            cell = self._cell(entry.node("expr"), scope)
            if (target, entry.number("resno")) not in self._known.marked:
                self.copied |= cell.marks

    def _target(self, query: Node, scope: _Scope) -> int:
        place = query.number("resultRelation")
        return scope.tables[place - 1].number("relid") if 0 < place <= len(scope.tables) else 0

    # values

    def _each(self, nodes: Iterable[Node], scope: _Scope) -> Cell:
        return _union([self._cell(node, scope) for node in nodes])

    def _cell(self, node: Node | None, scope: _Scope) -> Cell:
        """What a value is made of; what is done on the way to it is noted."""
        if node is None:
            return _OPEN
        special = _SPECIAL.get(node.kind)
        if special is not None:
            return special(self, node, scope)
        cell = self._each(node.children(), scope)
        if node.kind not in _PLAIN:
            self._tell(cell)
            return Cell(cell.marks, whole=False)
        return (
            cell if node.kind in {"RELABELTYPE", "COLLATEEXPR", "TARGETENTRY"} else Cell(cell.marks, whole=cell.whole)
        )

    def _variable(self, node: Node, scope: _Scope) -> Cell:
        return self._column(scope.above(node.number("varlevelsup")), node.number("varno"), node.number("varattno"))

    def _constant(self, node: Node, _scope: _Scope) -> Cell:
        return Cell(constant=f"{node.text('consttype')}:{node.text('constvalue')}")

    def _parameter(self, node: Node, _scope: _Scope) -> Cell:
        if node.number("paramkind") == _SEVERAL_PARAMETER:  # (a, b) = (SELECT ...)
            raise _Untold
        if node.number("paramkind") != _SUBLINK_PARAMETER:
            return _OPEN
        return self._selected[-1][node.number("paramid") - 1]

    def _null_test(self, node: Node, scope: _Scope) -> Cell:
        self._cell(node.node("arg"), scope)
        return _OPEN

    def _function(self, node: Node, scope: _Scope) -> Cell:
        return self._called(
            node.number("funcid"), self._each(node.children(), scope), sets=_is_true(node, "funcretset")
        )

    def _called(self, function: int, given: Cell, *, sets: bool = False) -> Cell:
        functions = self._known.functions
        if given.marks and (sets or function not in functions.whole | functions.pieces):
            self._tell(given)
        made = frozenset({(-function, 0)}) & self._known.makers
        return Cell(given.marks | made, whole=given.whole and function in functions.whole and not sets)

    def _operator(self, node: Node, scope: _Scope) -> Cell:
        arguments = [self._cell(one, scope) for one in node.nodes("args")]
        given, function = _union(arguments), node.number("opfuncid")
        if not given.marks:
            return self._called(function, given)
        if function in self._known.functions.equalities:
            self._compared(arguments)
            return (
                Cell(arguments[0].marks, whole=arguments[0].whole)
                if node.kind == "NULLIFEXPR"
                else Cell(given.marks, whole=False)
            )
        return self._called(function, given)

    def _compared(self, sides: Sequence[Cell]) -> None:
        """An equality tells of a marked column whether it is another one, or a constant: that is a lookup."""
        if all(side.bare for side in sides):
            return
        constants = [side.constant for side in sides if side.constant is not None]
        if len(constants) + sum(side.bare for side in sides) == len(sides):
            self.lookups |= {one for constant in constants for one in constant.split("|")}
        else:
            self._tell(*sides)

    def _array(self, node: Node, scope: _Scope) -> Cell:
        cells = [self._cell(one, scope) for one in node.nodes("elements")]
        constants = [cell.constant for cell in cells]
        if cells and all(one is not None for one in constants):
            return Cell(constant="|".join(one for one in constants if one is not None))
        together = _union(cells)
        return Cell(together.marks, whole=together.whole)

    def _aggregate(self, node: Node, scope: _Scope) -> Cell:
        function = node.number("aggfnoid") or node.number("winfnoid")
        entries = node.nodes("args")
        given = [self._cell(one, scope) for one in (*node.nodes("aggdirectargs"), *entries)]
        self._cell(node.node("aggfilter"), scope)
        by_ref = {
            entry.text("ressortgroupref"): cell
            for entry, cell in zip(entries, given[len(given) - len(entries) :], strict=True)
            if entry.number("ressortgroupref")
        }
        self._order(node, by_ref, sorts="aggorder", groups=("aggdistinct",))
        return _OPEN if function in self._known.functions.counts else self._called(function, _union(given))

    def _case(self, node: Node, scope: _Scope) -> Cell:
        self._tests.append(self._cell(node.node("arg"), scope))
        cell = self._each((*node.nodes("args"), *filter(None, [node.node("defresult")])), scope)
        return Cell(cell.marks | self._tests.pop().marks, whole=cell.whole)

    def _when(self, node: Node, scope: _Scope) -> Cell:
        """A case's result says what its condition was."""
        test, result = self._cell(node.node("expr"), scope), self._cell(node.node("result"), scope)
        return Cell(test.marks | result.marks, whole=result.whole and not test.marks)

    def _case_test(self, _node: Node, _scope: _Scope) -> Cell:
        if not self._tests:
            raise _Untold
        return self._tests[-1]

    def _sublink(self, node: Node, scope: _Scope) -> Cell:
        query, kind = node.node("subselect"), node.number("subLinkType")
        if query is None:
            raise _Untold
        cells = self.query(query, scope)
        if kind == _EXISTS:
            return _OPEN
        if kind in {_EXPRESSION, _ARRAY}:
            return _union(cells)
        self._selected.append(cells)
        cell = self._cell(node.node("testexpr"), scope)
        self._selected.pop()
        if kind not in {_ANY, _ALL}:
            self._tell(cell)
        return Cell(cell.marks, whole=False)

    def _through_text(self, node: Node, scope: _Scope) -> Cell:
        """A cast: any value has a text, but not every text is a value of another type."""
        cell = self._each(node.children(), scope)
        if node.number("resulttype") not in _TEXT_TYPES:
            self._tell(cell)
        return Cell(cell.marks, whole=cell.whole)

    def _element(self, node: Node, scope: _Scope) -> Cell:
        for part in ("refupperindexpr", "reflowerindexpr"):
            for index in node.nodes(part):
                self._tell(self._cell(index, scope))
        cell = self._cell(node.node("refexpr"), scope)
        return Cell(cell.marks, whole=cell.whole)

    def _elements(self, node: Node, scope: _Scope) -> Cell:
        """A cast of an array, by one of its elements."""
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
            self._tell(cell)
        return Cell(cell.marks, whole=cell.whole)


# By rtekind.
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
    "GROUPINGFUNC": lambda _flow, _node, _scope: _OPEN,
}


def _query_of(tree: str) -> Node:
    queries = [node for node in parse_tree(tree) if node.kind == "QUERY"]
    if len(queries) != 1:
        raise _Untold
    return queries[0]


def _by_place(cells: Sequence[Cell]) -> Callable[[int], Cell]:
    return lambda column: cells[column - 1] if column else _union(cells)


def _union(cells: Iterable[Cell]) -> Cell:
    cells = list(cells)
    marked = [cell for cell in cells if cell.marks]
    if not marked:
        return cells[0] if len(cells) == 1 else _OPEN
    return Cell(
        frozenset().union(*(cell.marks for cell in marked)),
        whole=all(cell.whole for cell in marked),
        bare=all(cell.bare for cell in cells),
    )


def _targets(query: Node) -> list[Node]:
    return query.nodes("targetList" if query.text("commandType") == _SELECT else "returningList")


def _shown(entries: Iterable[Node]) -> list[Node]:
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
