"""Finds the values that a statement writes where they matter (addresses, links, accounts, amounts). Pure.

In a column of such values every constant counts, so that `'eve@' || 'evil.example'` does not evade the check. A value that
the database copies from another column counts as that column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.provenance.columns import is_author, is_prose, kind_of_column
from agent.provenance.origins import Kind, Value, decimal_of, shapes_in
from agent.statements.parser import Message, Statement, kind_of, name_of, walk

# Functions whose later arguments say how a number is written, not what it is.
_SHAPING = frozenset({"round", "trunc", "ceil", "floor", "to_char", "lpad", "rpad"})
# Constants that change no amount where they stand: (constant, place).
_NEUTRAL = frozenset({("1", "share"), ("100", "divisor"), ("0", "default")})
_MOST_COUNTED = 31
# What a value of a kind has in it, and a name has not.
_MARKS = {"address": re.compile(r"@|\w\.\w"), "link": re.compile(r"[./:]"), "account": re.compile(r"\d")}
# How a condition compares where the compared constant says which rows are meant.
_PICKING = frozenset({"=", "~~", "~~*", "<", "<=", ">", ">=", "BETWEEN"})


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
            values = _values(item, name, node.relation, names)
            yield from (value for value in values if not _is_zero_amount(value) and not _is_author(value, name))
    if not select.values_lists:
        for place, target in enumerate(select.target_list):
            name = columns[place] if place < len(columns) else target.res_target.name
            values = _values(target.res_target.val, name, node.relation, names, own_row=False, select=select)
            yield from (value for value in values if not _is_author(value, name) and not _is_count(value, target))


def _merged(node: Message) -> Iterator[Value]:
    for clause in (item.merge_when_clause for item in node.merge_when_clauses):
        for place, target in enumerate(clause.target_list):
            value = clause.values[place] if place < len(clause.values) else target.res_target.val
            yield from _values(value, target.res_target.name, node.relation, frozenset(), own_row=False)


def _is_zero_amount(value: Value) -> bool:
    """Return whether a value is the amount 0, which gives nobody anything in a new row."""
    return value.kind == "amount" and not value.text.strip("0.")


def _is_count(value: Value, target: Message) -> bool:
    """Return whether an amount only says how often another row's amount is taken: price_per_day * 3."""
    if value.kind != "amount" or not value.text.isdecimal() or not 0 < int(value.text[:9]) <= _MOST_COUNTED:
        return False
    return bool(columns_in(target)) and all(
        name_of(part.name).name == "*" for part in walk(target) if kind_of(part) == "A_Expr"
    )


def _is_author(value: Value, column: str) -> bool:
    """Return whether a value only says from whom a new row comes, so that nothing goes there."""
    return is_author(column) and value.kind in {"address", "account", "text"}


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
    for constant in amounts_in(node) if kind == "amount" else constants_in(node):
        shapes = list(shapes_in(constant))
        yield from (Value(argument=argument, kind=shape, text=text) for shape, text in shapes)
        if kind is not None and not shapes and constant.strip() and not _is_name_in(node, constant, kind):
            numeric = kind == "amount" and decimal_of(constant) is not None
            yield Value(argument=argument, kind="amount" if numeric else "text", text=constant, names=names)
    if kind is not None:
        yield from _copied(node, column, relation, argument, own_row=own_row and kind == "amount", select=select)


def _is_name_in(node: Message, constant: str, kind: Kind) -> bool:
    """Return whether a column gets one constant as it is, which by its form is no value of the column's kind but a name."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    if node.WhichOneof("node") != "a_const":
        return False
    return decimal_of(constant) is None if kind == "amount" else not _MARKS[kind].search(constant)


def amounts_in(node: Message) -> Iterator[str]:
    """Yield the constants of an expression that decide about its amount.

    These are no amounts: the digits in round(x, 2), a 0 that stands for no value, 1 in price * (1 + tax), 100 in price / 100.
    """
    pending: list[tuple[Message, str]] = [(node, "")]
    while pending:
        part, place = pending.pop()
        kind = kind_of(part)
        if kind == "A_Const":
            text = constant_text(part)
            if text is not None and (text, place) not in _NEUTRAL:
                yield text
        elif kind == "A_Expr":
            sign = name_of(part.name).name
            inner = "share" if sign in {"+", "-"} and place == "factor" and not _is_of_ones(part) else ""
            inner = "factor" if sign in {"*", "/"} else inner
            pending += [(part.rexpr, "divisor" if sign == "/" else inner), (part.lexpr, inner)]
        elif kind == "FuncCall" and name_of(part.funcname).name in _SHAPING:
            pending += [(argument, "") for argument in part.args[:1]]
        elif kind != "TypeName":
            default = "default" if kind in {"CoalesceExpr", "MinMaxExpr"} else ""
            inner = place if kind in {"Node", "TypeCast"} else default
            pending += [(child, inner) for child in reversed(_children(part))]


def _is_of_ones(sum_: Message) -> bool:
    """Return whether a sum is of ones only: (1 + 1) is a factor, not a share."""
    constants = list(constants_in(sum_.lexpr)) + list(constants_in(sum_.rexpr))
    return not any(kind_of(part) == "ColumnRef" for part in walk(sum_)) and set(constants) <= {"1"}


def _children(message: Message) -> list[Message]:
    found: list[Message] = []
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            found += [value] if hasattr(value, "ListFields") else list(value)
    return found


def _copied(
    node: Message, column: str, relation: Message, argument: str, *, own_row: bool, select: Message | None
) -> Iterator[Value]:
    """Yield the columns that an expression takes its value from, but not the column itself.

    With `own_row`, other columns of the same row are left out too.
    """
    inner = next((part for part in walk(node) if kind_of(part) == "SelectStmt"), select)
    if inner is None and own_row:
        return
    picks = _picks_of(inner) if inner is not None else frozenset()
    tables = _tables(inner.from_clause) if inner is not None else {}
    tables = tables or {relation.relname: (relation.schemaname, relation.relname)}
    for part in walk(node):
        if kind_of(part) != "ColumnRef" or _is_excluded_row(part):
            continue
        source = _column(part, tables)
        if source is None or (source.table, source.name) != (relation.relname, column):
            place = str(source) if source else "of another table"
            yield Value(argument=argument, kind="copy", text=place, names=picks)


def _picks_of(select: Message) -> frozenset[str]:
    """Return the constants with which a SELECT of plain tables compares columns other than prose: they pick its rows."""
    if column_sources(select) is None:
        return frozenset()
    conditions = [part for part in conditions_of(select.where_clause) if part.WhichOneof("node") == "a_expr"]
    return frozenset(
        text for part in conditions if compares_values(part.a_expr) for text in constants_in(part) if text.strip()
    )


def conditions_of(where: Message, operation: str = "AND_EXPR") -> list[Message]:
    """Return the conditions that AND, or another operation, combines, at any depth."""
    pending, conditions = [where], []
    while pending:
        part = pending.pop()
        if part.WhichOneof("node") == "bool_expr" and _operation(part.bool_expr) == operation:
            pending += part.bool_expr.args
        elif part.WhichOneof("node"):
            conditions.append(part)
    return conditions


def _operation(expression: Message) -> str:
    return str(expression.DESCRIPTOR.fields_by_name["boolop"].enum_type.values_by_number[expression.boolop].name)


def compares_values(condition: Message) -> bool:
    """Return whether a condition says which values columns other than prose have, without a query inside."""
    if not _PICKING & {part.string.sval for part in condition.name}:
        return False
    columns = columns_in(condition)
    return (
        bool(columns)
        and not any(map(is_prose, columns))
        and all(kind_of(part) != "SubLink" for part in walk(condition))
    )


def columns_in(node: Message) -> list[str]:
    """Return the names of the columns in a part of a statement."""
    references = (part.fields[-1] for part in walk(node) if kind_of(part) == "ColumnRef" and part.fields)
    return [part.string.sval for part in references if part.HasField("string")]


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
    """Yield every number and text in a part of a statement, but not the length in the name of a type."""
    pending = [node]
    while pending:
        part = pending.pop()
        kind = kind_of(part)
        if kind == "A_Const":
            text = constant_text(part)
            if text is not None:
                yield text
        elif kind != "TypeName":
            pending += reversed(_children(part))


def constant_text(constant: Message) -> str | None:
    """Return a number or a text as it is written; None for other constants."""
    which = None if constant.isnull else constant.WhichOneof("val")
    if which == "ival":
        return str(constant.ival.ival)
    return str(getattr(getattr(constant, which), which)) if which in {"fval", "sval"} else None
