"""Finds the values that a statement writes where they matter (addresses, links, accounts, amounts). Pure.

In a column of such values every constant counts, so that `'eve@' || 'evil.example'` does not evade the check. A value that
the database copies from another column counts as that column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
# Last words of columns that hold something else than their other words say: account_manager_id, email_sent_at.
_ATTRIBUTE_ENDS = word_set("id at on by count status type kind date name verified")


@dataclass(frozen=True, slots=True, order=True)
class Column:
    """A column as a statement names it; `schema` is '' where the statement names none."""

    schema: str
    table: str
    name: str

    def __str__(self) -> str:
        return ".".join(filter(None, (self.schema, self.table, self.name)))


def written_values(statement: Statement) -> list[Value]:
    """Return the values, each once, that a statement writes and that the user or a trusted source must have given.

    Of a statement that writes no rows, these are the addresses, links and accounts in its constants.
    """
    values: list[Value] = []
    names = frozenset(keys_of(statement))
    for kind, node in statement.parts:
        if kind == "UpdateStmt":
            values += _assigned(node.target_list, node.relation, names, joined=bool(node.from_clause))
        elif kind == "InsertStmt":
            values += _inserted(node, names)
            values += _assigned(node.on_conflict_clause.target_list, node.relation, names)
        elif kind == "MergeStmt":
            values += _merged(node)
    if statement.kind not in {"UpdateStmt", "InsertStmt", "DeleteStmt", "MergeStmt"}:
        constants = [constant for constant in constants_in(statement.node) if constant]
        values += [
            Value(argument="the text", kind=kind, text=text)
            for constant in constants
            for kind, text in shapes_in(constant)
        ]
    return list(dict.fromkeys(values))


def is_requested(statement: Statement, user_words: str) -> bool:
    """Return whether the user's words ask for what a change of one row does.

    They must hold each constant that it sets, or a word of the column's name where it sets none. A DELETE needs a word for
    deleting and an INSERT a word for adding. Words count by their stems ("pause it" asks for `paused`), numbers as they are
    written. The `written_values`, and the whole numbers of an INSERT, are not checked here.
    """
    user_stems = set(stems(user_words))
    if statement.kind == "DeleteStmt":
        return bool(user_stems & _DELETING)
    checked_elsewhere, user_text = {value.text for value in written_values(statement)}, f" {folded(user_words)} "

    def are_said(constants: Iterable[str]) -> bool:
        return all(
            text in checked_elsewhere or f" {folded(text)} " in user_text or _has_stems(text, user_stems)
            for text in constants
        )

    if statement.kind == "InsertStmt":
        texts = [text for text in constants_in(statement.node.select_stmt) if text.strip() and not text.isdigit()]
        return bool(user_stems & _ADDING) and are_said(texts)
    for target in (part.res_target for part in statement.node.target_list):
        constants = list(constants_in(target.val))
        if not constants and not user_stems & set(stems(target.name)):
            return False
        if not are_said(constants):
            return False
    return True


def _has_stems(text: str, user_stems: set[str]) -> bool:
    own = set(stems(text))
    return bool(own) and own <= user_stems


def column_sources(node: Message) -> list[Column | None] | None:
    """Return the table's column that each column of a SELECT shows unchanged.

    An item is None where that is not certain; the result is None where it is not certain for any of them.
    """
    if kind_of(node) != "SelectStmt" or node.HasField("with_clause") or node.values_lists or node.HasField("larg"):
        return None
    tables = _tables(node.from_clause)
    if not tables:
        return None
    return [_source(target.res_target.val, tables) for target in node.target_list]


def kind_of_column(name: str) -> Kind | None:
    """Return which kind of value a column holds, by its name; None if its values may come from anywhere."""
    own = list(words(name))
    if not own or own[-1] in _ATTRIBUTE_ENDS:
        return None
    return next((kind for kind, known in _COLUMNS if known & set(own)), None)


def keys_of(statement: Statement) -> Iterator[str]:
    """Yield the constants that select the rows of an UPDATE or DELETE."""
    for kind, node in statement.parts:
        if kind in {"UpdateStmt", "DeleteStmt"} and node.HasField("where_clause"):
            yield from constants_in(node.where_clause)


def numbers_inserted(statement: Statement) -> Iterator[str]:
    """Yield the whole numbers in an INSERT, which may be keys of other rows."""
    if statement.kind == "InsertStmt":
        yield from (text for text in constants_in(statement.node.select_stmt) if text.isdigit())


def _assigned(
    targets: Sequence[Message], relation: Message, names: frozenset[str], *, joined: bool = False
) -> Iterator[Value]:
    for target in targets:
        column = target.res_target
        yield from _values(_assigned_value(column.val), column.name, relation, names, own_row=not joined)


def _assigned_value(node: Message) -> Message:
    """Return the expression that one column gets in `(a, b) = (1, 2)`."""
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
            yield from (value for value in _values(item, name, node.relation, names) if not _is_zero_amount(value))
    if not select.values_lists:
        for place, target in enumerate(select.target_list):
            name = columns[place] if place < len(columns) else target.res_target.name
            yield from _values(target.res_target.val, name, node.relation, names, own_row=False, select=select)


def _merged(node: Message) -> Iterator[Value]:
    for clause in (item.merge_when_clause for item in node.merge_when_clauses):
        for place, target in enumerate(clause.target_list):
            value = clause.values[place] if place < len(clause.values) else target.res_target.val
            yield from _values(value, target.res_target.name, node.relation, frozenset(), own_row=False)


def _is_zero_amount(value: Value) -> bool:
    """Return whether a value is the amount 0, which gives nobody anything in a new row."""
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
    """Yield the columns that an expression takes its value from, but not the column itself.

    With `own_row`, other columns of the same row are left out too.
    """
    inner = next((part for part in walk(node) if kind_of(part) == "SelectStmt"), select)
    if inner is None and own_row:
        return
    tables = _tables(inner.from_clause) if inner is not None else {}
    tables = tables or {relation.relname: (relation.schemaname, relation.relname)}
    for part in walk(node):
        if kind_of(part) != "ColumnRef" or _is_excluded_row(part):
            continue
        source = _column(part, tables)
        if source is None or (source.table, source.name) != (relation.relname, column):
            yield Value(argument=argument, kind="copy", text=str(source) if source else "of another table")


def _is_excluded_row(reference: Message) -> bool:
    """Return whether a column is of the row that was to be inserted, which ON CONFLICT calls `excluded`."""
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
    """Return the (schema, table) of each item of FROM by its alias; empty if one of them is no plain table."""
    pending, tables = list(clause), {}
    while pending:
        item = pending.pop()
        kind = item.WhichOneof("node")
        if kind == "join_expr" and not item.join_expr.HasField("alias"):
            pending += [item.join_expr.larg, item.join_expr.rarg]
        elif kind == "range_var" and not item.range_var.alias.colnames:
            table = item.range_var
            tables[table.alias.aliasname or table.relname] = (table.schemaname, table.relname)
        else:
            return {}
    return tables


def constants_in(node: Message) -> Iterator[str]:
    """Yield every number and text in a part of a statement."""
    for part in walk(node):
        if kind_of(part) != "A_Const" or part.isnull:
            continue
        which = part.WhichOneof("val")
        if which == "ival":
            yield str(part.ival.ival)
        elif which in {"fval", "sval"}:
            yield str(getattr(getattr(part, which), which))
