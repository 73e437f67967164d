"""The values that a statement writes where they matter (addresses, links, accounts, amounts), and the columns it reads. Pure.

In such a column every constant counts, so that `'eve@' || 'evil.example'` is no way around; what the database copies from
another column counts as that column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.provenance.origins import Kind, Value, decimal_of, folded, shapes_in
from agent.statements.parser import Message, Statement, kind_of, walk
from agent.text.words import stems, word_set, words

_COLUMNS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("address", word_set("email emails mail recipient recipients")),
    ("link", word_set("url urls uri link links website webhook endpoint callback homepage")),
    ("account", word_set("iban bic swift account bank routing card")),
    (
        "amount",
        word_set(
            "amount price prices cost costs total balance budget fee fees salary wage payment paid refund credit debit "
            "discount rate limit tax vat deposit charge money"
        ),
    ),
)
_ADDING = frozenset(
    stems("add append book create enter insert log make new note open put record register save schedule store")
)
_DELETING = frozenset(stems("delete remove erase drop cancel purge discard"))
# A column that ends so tells something about it: account_manager_id, email_sent_at.
_ABOUT_IT = word_set("id at on by count status type kind date name verified")


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A column as a statement names it; `schema` is empty where it is not said."""

    schema: str
    table: str
    name: str

    def __str__(self) -> str:
        return ".".join(filter(None, (self.schema, self.table, self.name)))


def written_values(statement: Statement) -> list[Value]:
    """What the statement writes and that somebody should have said, each once."""
    found: list[Value] = []
    names = frozenset(keys_of(statement))
    for kind, node in statement.parts:
        if kind == "UpdateStmt":
            found += _assigned(node.target_list, node.relation, names, joined=bool(node.from_clause))
        elif kind == "InsertStmt":
            found += _inserted(node, names)
            found += _assigned(node.on_conflict_clause.target_list, node.relation, names)
        elif kind == "MergeStmt":
            found += _merged(node)
    if statement.kind not in {"UpdateStmt", "InsertStmt", "DeleteStmt", "MergeStmt"}:
        texts = [constant for constant in constants_in(statement.node) if constant]
        found += [Value(argument="the text", kind=kind, text=text) for one in texts for kind, text in shapes_in(one)]
    return list(dict.fromkeys(found))


def is_asked_for(statement: Statement, user_words: str) -> bool:
    """Whether the user's words hold what a change of one row does: what it sets, or the column where it sets no constant.

    Words count by their stems ("pause it" says `paused`), numbers as they stand. Its `written_values` are looked at apart.
    A DELETE must be asked for as one, and so must an INSERT, whose whole numbers are looked at with the rows that they name.
    """
    known = set(stems(user_words))
    if statement.kind == "DeleteStmt":
        return bool(known & _DELETING)
    apart, spoken = {value.text for value in written_values(statement)}, f" {folded(user_words)} "
    if statement.kind == "InsertStmt":
        texts = {one for one in constants_in(statement.node.select_stmt) if one.strip() and not one.isdigit()}
        return bool(known & _ADDING) and all(
            one in apart or f" {folded(one)} " in spoken or _has_stems(one, known) for one in texts
        )
    for target in (part.res_target for part in statement.node.target_list):
        constants = list(constants_in(target.val))
        if not constants and not known & set(stems(target.name)):
            return False
        if not all(one in apart or f" {folded(one)} " in spoken or _has_stems(one, known) for one in constants):
            return False
    return True


def _has_stems(text: str, known: set[str]) -> bool:
    own = set(stems(text))
    return bool(own) and own <= known


def column_sources(node: Message) -> list[Column | None] | None:
    """The column that each column of a SELECT shows as it is; None where that is not plain, for one or for all."""
    if kind_of(node) != "SelectStmt" or node.HasField("with_clause") or node.values_lists or node.HasField("larg"):
        return None
    tables = _tables(node.from_clause)
    if not tables:
        return None
    return [_source(target.res_target.val, tables) for target in node.target_list]


def kind_of_column(name: str) -> Kind | None:
    """What a column holds, by its name, if it is something that must not come from just anywhere."""
    own = list(words(name))
    if not own or own[-1] in _ABOUT_IT:
        return None
    return next((kind for kind, known in _COLUMNS if known & set(own)), None)


def _stems(text: str, spoken: set[str]) -> bool:
    own = set(words(text))
    return bool(own) and own <= spoken


def keys_of(statement: Statement) -> Iterator[str]:
    """Constants that say which rows are meant."""
    for kind, node in statement.parts:
        if kind in {"UpdateStmt", "DeleteStmt"} and node.HasField("where_clause"):
            yield from constants_in(node.where_clause)


def numbers_inserted(statement: Statement) -> Iterator[str]:
    """The whole numbers of new rows, which may name other rows."""
    if statement.kind == "InsertStmt":
        yield from (one for one in constants_in(statement.node.select_stmt) if one.isdigit())


def _assigned(
    targets: Sequence[Message], relation: Message, names: frozenset[str], *, joined: bool = False
) -> Iterator[Value]:
    for target in targets:
        column = target.res_target
        yield from _values(_assigned_value(column.val), column.name, relation, names, own_row=not joined)


def _assigned_value(node: Message) -> Message:
    """The part of `(a, b) = (1, 2)` that goes to one column."""
    if node.WhichOneof("node") != "multi_assign_ref":
        return node
    source = node.multi_assign_ref.source
    parts = source.row_expr.args if source.HasField("row_expr") else ()
    place = node.multi_assign_ref.colno - 1
    return parts[place] if place < len(parts) else source


def _inserted(node: Message, names: frozenset[str]) -> Iterator[Value]:
    select = node.select_stmt.select_stmt
    columns = [column.res_target.name for column in node.cols]
    for row in select.values_lists:
        for place, item in enumerate(row.list.items):
            name = columns[place] if place < len(columns) else ""
            yield from (one for one in _values(item, name, node.relation, names) if not _is_nothing(one))
    if not select.values_lists:
        for place, target in enumerate(select.target_list):
            name = columns[place] if place < len(columns) else target.res_target.name
            yield from _values(target.res_target.val, name, node.relation, names, own_row=False, select=select)


def _merged(node: Message) -> Iterator[Value]:
    for clause in (item.merge_when_clause for item in node.merge_when_clauses):
        for place, target in enumerate(clause.target_list):
            value = clause.values[place] if place < len(clause.values) else target.res_target.val
            yield from _values(value, target.res_target.name, node.relation, frozenset(), own_row=False)


def _is_nothing(value: Value) -> bool:
    """A new row's 0 gives nobody anything."""
    return value.kind == "amount" and not value.text.strip("0.")


def _values(
    node: Message,
    column: str,
    relation: Message,
    names: frozenset[str],
    *,
    own_row: bool = True,
    select: Message | None = None,
) -> Iterator[Value]:
    kind, argument = kind_of_column(column), f"{relation.relname}.{column}" if column else relation.relname
    for constant in constants_in(node):
        shapes = list(shapes_in(constant))
        yield from (Value(argument=argument, kind=shape, text=text) for shape, text in shapes)
        if kind is not None and not shapes and constant.strip():
            numeric = kind == "amount" and decimal_of(constant) is not None
            yield Value(argument=argument, kind="amount" if numeric else "text", text=constant, names=names)
    if kind is not None:
        yield from _copied(node, column, relation, argument, own_row=own_row and kind == "amount", select=select)


def _copied(
    node: Message, column: str, relation: Message, argument: str, *, own_row: bool, select: Message | None
) -> Iterator[Value]:
    """Columns that an expression takes its value from, but for the column itself and amounts of the same row."""
    inner = next((part for part in walk(node) if kind_of(part) == "SelectStmt"), select)
    if inner is None and own_row:
        return
    tables = _tables(inner.from_clause) if inner is not None else {}
    tables = tables or {relation.relname: (relation.schemaname, relation.relname)}
    for part in walk(node):
        if kind_of(part) != "ColumnRef" or _is_proposed(part):
            continue
        source = _column(part, tables)
        if source is None or (source.table, source.name) != (relation.relname, column):
            yield Value(argument=argument, kind="copy", text=str(source) if source else "of another table")


def _is_proposed(reference: Message) -> bool:
    """Whether it is a value of the new row itself, as ON CONFLICT names it."""
    return bool(reference.fields) and reference.fields[0].string.sval == "excluded"


def _source(node: Message, tables: dict[str, tuple[str, str]]) -> Column | None:
    return _column(node.column_ref, tables) if node.WhichOneof("node") == "column_ref" else None


def _column(reference: Message, tables: dict[str, tuple[str, str]]) -> Column | None:
    parts = [part.string.sval for part in reference.fields if part.HasField("string")]
    if len(parts) != len(reference.fields) or not 1 <= len(parts) <= 2:
        return None
    if len(parts) == 1:
        return Column(*next(iter(tables.values())), parts[0]) if len(tables) == 1 else None
    return Column(*tables[parts[0]], parts[1]) if parts[0] in tables else None


def _tables(clause: Sequence[Message]) -> dict[str, tuple[str, str]]:
    """Plain tables by the names that they go by; empty where something else is read too."""
    pending, found = list(clause), {}
    while pending:
        item = pending.pop()
        kind = item.WhichOneof("node")
        if kind == "join_expr" and not item.join_expr.HasField("alias"):
            pending += [item.join_expr.larg, item.join_expr.rarg]
        elif kind == "range_var" and not item.range_var.alias.colnames:
            table = item.range_var
            found[table.alias.aliasname or table.relname] = (table.schemaname, table.relname)
        else:
            return {}
    return found


def constants_in(node: Message) -> Iterator[str]:
    """Every number and text that stands in a part of a statement."""
    for part in walk(node):
        if kind_of(part) != "A_Const" or part.isnull:
            continue
        which = part.WhichOneof("val")
        if which == "ival":
            yield str(part.ival.ival)
        elif which in {"fval", "sval"}:
            yield str(getattr(getattr(part, which), which))
