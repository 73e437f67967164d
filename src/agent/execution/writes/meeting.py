"""Which columns and constants of a statement meet: compared, assigned, inserted, or parts of one expression.

It goes by names, whatever their scope, and finds too many meetings rather than too few. Pure, and not recursive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.execution.statements.sql_parsing import Message, Statement, kind_of, name_of, walk
from agent.learning.privacy import looks_sensitive

# The name of a column that nobody knows.
UNKNOWN = ""

_ALL = "*"
_WRITES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
# What only holds expressions together, and lets no value of one meet another's.
_HOLDERS = {
    "Node", "BoolExpr", "WithClause", "JoinExpr", "DeleteStmt", "MergeStmt", "ReturningClause", "SortBy", "RangeVar",
    "InferClause", "ExplainStmt", "RangeTableSample",
}  # fmt: skip
_OUTPUTS = ("target_list", "values_lists", "larg", "rarg")
# Sources of rows whose columns are not all named in the statement.
_SOURCES = {"RangeFunction", "RangeTableFunc", "JsonTable"}
_NAMED = {
    "ResTarget": "name", "NamedArgExpr": "name", "ColumnDef": "colname", "AlterTableCmd": "name", "Alias": "aliasname",
    "RangeTableFuncCol": "colname", "JsonTableColumn": "name",
}  # fmt: skip
_KEYS = {"A_Indices": "uidx", "JsonKeyValue": "key", "JsonFuncExpr": "pathspec"}
_INTO_JSON = {"->", "->>", "#>", "#>>", "#-", "@?", "@@"}


@dataclass(frozen=True, slots=True)
class Meeting:
    """`names` of columns, and personal keys of JSON, whose values meet `constants`; `row` is the name of the whole row.

    Not `told` is to which columns the constants belong.
    """

    names: frozenset[str]
    constants: tuple[Message, ...]
    told: bool
    row: str | None = None


@dataclass(frozen=True, slots=True)
class Meetings:
    """All of a statement's. `carriers` are columns by which constants come to where these are named."""

    all: list[Meeting] = field(default_factory=list)
    carriers: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """Every name at any meeting."""
        return {name for one in self.all for name in one.names}

    def reached(self, names: Collection[str]) -> list[Meeting]:
        """The meetings at which a constant may belong to one of these columns, there or by way of carriers."""
        reached: list[Meeting] = []
        new, left, spread = self.all, self.all, {*names, UNKNOWN}
        while new:
            new, left = _parted(left, lambda one: one.row in spread or not spread.isdisjoint(self._names(one)))
            reached += new
            spread.update(*(self._names(one) & self.carriers for one in new))
        return reached

    def _names(self, meeting: Meeting) -> frozenset[str]:
        return meeting.names | self.carriers if _ALL in meeting.names else meeting.names


def meetings(statement: Statement, order: Sequence[str] = ()) -> Meetings:
    """The meetings of a statement. `order` is the columns of the table that it writes to, where they are known."""
    writes = sum(kind in _WRITES for kind, _ in statement.parts)
    reading = _Reading(order=order if writes == 1 else (), ctes=statement.names.ctes)
    reading.pending.append(statement.node)
    while reading.pending:
        reading.read(reading.pending.pop())
    return reading.found


@dataclass(slots=True)
class _Reading:
    order: Sequence[str]
    ctes: frozenset[str]
    found: Meetings = field(default_factory=Meetings)
    pending: list[Message] = field(default_factory=list)

    def read(self, part: Message) -> None:
        kind = kind_of(part)
        match kind:
            case "SelectStmt":
                self._pair(self._rows(part))
            case "InsertStmt":
                self._insert(part.cols, self._rows(part.select_stmt))
                self._go_on(part, but=("relation", "cols", "select_stmt"))
            case "MergeWhenClause" if part.values:
                self._insert(part.target_list, [[("", value) for value in part.values]])
                self._go_on(part, but=("target_list", "values"))
            case "UpdateStmt" | "OnConflictClause" | "MergeWhenClause":
                self._assign(part.target_list)
                self._go_on(part, but=("target_list",))
            case "CommonTableExpr" | "RangeSubselect" | "CreateTableAsStmt" | "ViewStmt":
                self._derive(part, kind)
            case _ if kind in _SOURCES:
                self._meet(_source_names(part), [part], told=False, carries=True)
            case _ if kind in _HOLDERS:
                self._rename(part, kind)
                self._go_on(part)
            case _:
                self._meet((), [part])

    def _insert(self, cols: Sequence[Message], rows: list[list[tuple[str, Message]]]) -> None:
        targets = [_target_names(col.res_target) for col in cols] or [{name} for name in self.order]
        width = max(map(len, rows), default=0)
        self._pair(rows, [*targets, *({UNKNOWN} for _ in range(width - len(targets)))], carries=True)

    def _assign(self, targets: Sequence[Message]) -> None:
        for target in targets:
            self._meet(_target_names(target.res_target), self._assigned(target.res_target.val), carries=True)

    def _assigned(self, value: Message) -> list[Message]:
        """What one column is set to; of a row that is set as a whole, its part."""
        if value.WhichOneof("node") != "multi_assign_ref":
            return [value]
        source, at = value.multi_assign_ref.source, value.multi_assign_ref.colno - 1
        rows: list[list[Message]] = []
        if source.HasField("row_expr"):
            rows = [list(source.row_expr.args)]
        elif source.HasField("sub_link"):
            rows = [[output for _, output in row] for row in self._rows(source.sub_link.subselect)]
        if not rows or any(at >= len(row) or any(map(_is_star, row)) for row in rows):
            return [source]
        return [row[at] for row in rows]

    def _derive(self, part: Message, kind: str) -> None:
        """A query whose rows get a name, and perhaps its columns other names."""
        match kind:
            case "CommonTableExpr":
                query, row, names = part.ctequery, part.ctename, part.aliascolnames
            case "RangeSubselect":
                query, row, names = part.subquery, part.alias.aliasname, part.alias.colnames
            case "CreateTableAsStmt":
                query, row, names = part.query, part.into.rel.relname, part.into.col_names
            case _:
                query, row, names = part.query, part.view.relname, part.aliases
        self._pair(self._rows(query), [{name.string.sval} for name in names], row=row or None, carries=True)

    def _rename(self, part: Message, kind: str) -> None:
        """Other names for what comes from elsewhere: of a CTE's columns, or of all that is joined."""
        alias = getattr(part, "alias", None)
        if alias and alias.aliasname and (kind == "JoinExpr" or part.relname in self.ctes):
            whole = _ALL if kind == "JoinExpr" else part.relname
            self._meet([whole, alias.aliasname, *(name.string.sval for name in alias.colnames)], (), carries=True)

    def _rows(self, query: Message) -> list[list[tuple[str, Message]]]:
        """The rows that a query is written as, one for each arm: every output's own name and value. All else is pending."""
        query = _bare(query)
        if query is None:
            return []
        if kind_of(query) != "SelectStmt":
            self.pending.append(query)
            return [_outputs(query.returning_clause.exprs)] if kind_of(query) in _WRITES else []
        rows, arms = [], [query]
        while arms:
            arm = arms.pop()
            self._go_on(arm, but=_OUTPUTS)
            if arm.HasField("larg"):
                arms += [arm.rarg, arm.larg]
            rows += [[(f"column{at}", item) for at, item in enumerate(row.list.items, 1)] for row in arm.values_lists]
            rows += [_outputs(arm.target_list)] if arm.target_list else []
        return rows

    def _pair(
        self,
        rows: list[list[tuple[str, Message]]],
        targets: Sequence[Collection[str]] = (),
        *,
        row: str | None = None,
        carries: bool = False,
    ) -> None:
        """Each column of the rows meets its target; all of them do where a star stands for nobody knows how many."""
        starred = any(_is_star(value) for one in rows for _, value in one)
        columns = [[one[at] for one in rows if at < len(one)] for at in range(max(map(len, rows), default=0))]
        named = [{*_at(targets, at), *(name for name, _ in column if name)} for at, column in enumerate(columns)]
        named += [set(names) for names in targets[len(named) :]]
        if starred and (targets or carries):
            self._meet(set().union(*named), [value for one in rows for _, value in one], row=row, carries=carries)
            return
        for names, column in zip(named, columns, strict=False):
            self._meet(names, [value for _, value in column], row=row, carries=carries)

    def _meet(
        self,
        given: Iterable[str],
        values: Iterable[Message],
        *,
        told: bool = True,
        row: str | None = None,
        carries: bool = False,
    ) -> None:
        given = set(given)
        names, keys, constants = set(given), set[str](), []
        for kind, part in self._expressed(values):
            names.update(_names(kind, part))
            keys.update(key for key in _keys(kind, part) if looks_sensitive(key))
            if kind == "A_Const":
                constants.append(part)
        if carries:
            self.found.carriers.update({*given, row or _ALL} - {UNKNOWN, _ALL})
        if constants or carries or (names | keys) - {_ALL}:
            told = told and bool(names - {_ALL})
            self.found.all.append(Meeting(frozenset(names | keys), tuple(constants), told, row))

    def _expressed(self, values: Iterable[Message]) -> Iterator[tuple[str, Message]]:
        """Every part of expressions, of queries inside only what they return; what else these do is pending."""
        parts = list(values)
        while parts:
            part = parts.pop()
            kind = kind_of(part)
            if kind in _WRITES:
                self.pending.append(part)
            elif kind == "SelectStmt":
                self._go_on(part, but=_OUTPUTS)
                parts.extend(_children(part, only=_OUTPUTS))
            elif kind != "TypeName":
                if kind != "Node":
                    yield kind, part
                parts.extend(_children(part))

    def _go_on(self, part: Message, but: Collection[str] = ()) -> None:
        self.pending.extend(_children(part, but=but))


def _children(part: Message, *, only: Collection[str] = (), but: Collection[str] = ()) -> Iterator[Message]:
    for one, value in part.ListFields():
        if one.message_type is not None and one.name not in but and (not only or one.name in only):
            yield from [value] if hasattr(value, "ListFields") else value


def _bare(node: Message) -> Message | None:
    """A message without the grammar's wrapper; None where there is none."""
    if kind_of(node) != "Node":
        return node
    kind = node.WhichOneof("node")
    return getattr(node, kind) if kind else None


def _parted(found: Iterable[Meeting], is_one: Callable[[Meeting], bool]) -> tuple[list[Meeting], list[Meeting]]:
    parts: tuple[list[Meeting], list[Meeting]] = ([], [])
    for one in found:
        parts[0 if is_one(one) else 1].append(one)
    return parts


def _at(targets: Sequence[Collection[str]], at: int) -> Collection[str]:
    return targets[at] if at < len(targets) else ()


def _outputs(targets: Iterable[Message]) -> list[tuple[str, Message]]:
    results = [target.res_target for target in targets]
    return [(one.name or "".join(_names("ColumnRef", one.val.column_ref)), one.val) for one in results]


def _is_star(value: Message) -> bool:
    part = _bare(value)
    return part is not None and _ALL in _names(kind_of(part), part)


def _target_names(target: Message) -> set[str]:
    """A column that is written to, with the fields and keys of the part of it that is."""
    inner = (_bare(part) for part in target.indirection)
    within = {
        key for part in inner if part is not None for key in (*_keys(kind_of(part), part), getattr(part, "sval", ""))
    }
    return {target.name, *within} - {UNKNOWN}


def _source_names(source: Message) -> set[str]:
    """What the columns of a source may be called, as far as the statement says."""
    parts = [(kind_of(part), part) for part in walk(source)]
    functions = {name_of(part.funcname).name for kind, part in parts if kind == "FuncCall"}
    return functions.union(*(_names(kind, part) for kind, part in parts)) - {_ALL}


def _names(kind: str, part: Message) -> set[str]:
    """The columns that a part names by itself."""
    if kind in {"ColumnRef", "A_Indirection"}:
        last = (part.fields if kind == "ColumnRef" else part.indirection)[-1:]
        return {_ALL if name.HasField("a_star") else name.string.sval for name in last} - {UNKNOWN}
    names = {getattr(part, _NAMED[kind])} if kind in _NAMED else set()
    if kind == "Alias":
        names.update(name.string.sval for name in part.colnames)
    return names - {UNKNOWN}


def _keys(kind: str, part: Message) -> set[str]:
    """What may be a key of JSON, or a column that is called like a function."""
    if kind == "FuncCall":
        name = name_of(part.funcname).name
        return {name, *(_constant(one) for one in part.args if name.startswith("json"))} - {UNKNOWN}
    if kind == "A_Expr" and name_of(part.name).name in _INTO_JSON:
        return {_constant(part.rexpr)} - {UNKNOWN}
    return {_constant(getattr(part, _KEYS[kind]))} - {UNKNOWN} if kind in _KEYS else set()


def _constant(value: Message) -> str:
    while value.HasField("type_cast"):
        value = value.type_cast.arg
    return str(value.a_const.sval.sval)
