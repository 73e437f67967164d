"""Builds the SELECT of `query_data`: every identifier is one that exists, every value a quoted literal."""

from __future__ import annotations

import math

from psycopg import sql

from agent.errors import InvalidArguments
from agent.execution.tools.argument_types import as_list
from agent.execution.tools.arguments import Filter, QueryData, Scalar
from agent.learning.named_relations import BuiltStatement, Column, NamedRelation, check_text, find_relation
from agent.privacy.sensitive import DenyList
from agent.runtime import Runtime

_WHOLE = frozenset({"smallint", "integer", "bigint", "oid"})
_COMPARISONS = {
    "=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "like": "LIKE", "ilike": "ILIKE",
}  # fmt: skip


async def select_statement(arguments: QueryData, runtime: Runtime) -> BuiltStatement:
    """Return the statement, with a note on the chosen table where others have its name.

    Raises `InvalidArguments` for a name that does not exist.
    """
    relation = await find_relation(arguments.table, runtime=runtime)
    columns = _columns(arguments, relation, runtime.settings.deny)
    statement = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(sql.Identifier(column) for column in columns), relation.identifier
    )
    if arguments.filters:
        conditions = [_condition(item, relation) for item in arguments.filters]
        statement += sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions)
    if arguments.order_by:
        orders = [
            sql.SQL("{} {}").format(
                sql.Identifier(relation.column(order.column).name),
                sql.SQL("DESC NULLS LAST") if order.direction == "desc" else sql.SQL("ASC"),
            )
            for order in arguments.order_by
        ]
        statement += sql.SQL(" ORDER BY ") + sql.SQL(", ").join(orders)
    limit = min(arguments.limit or runtime.settings.max_rows + 1, runtime.settings.max_rows + 1)
    text = (statement + sql.SQL(" LIMIT {}").format(sql.Literal(limit))).as_string()
    return BuiltStatement(sql=text, note=relation.note)


def _columns(arguments: QueryData, relation: NamedRelation, deny: str) -> list[str]:
    if arguments.columns:
        return [relation.column(name).name for name in arguments.columns if name != "*"] or [
            column.name for column in relation.columns
        ]
    denied, place = DenyList.parse(deny), (relation.schema, relation.name)
    allowed = [column.name for column in relation.columns if not denied.column(*place, column.name)]
    # If the whole table is denied, select every column: the policy then refuses the statement with its reason.
    return allowed or [column.name for column in relation.columns]


def _condition(item: Filter, relation: NamedRelation) -> sql.Composable:
    column = relation.column(item.column)
    name = sql.Identifier(column.name)
    if item.op in {"is_null", "not_null"}:
        return sql.SQL("{} IS NULL" if item.op == "is_null" else "{} IS NOT NULL").format(name)
    if item.op == "in":
        values = _listed(item)
        if not 1 <= len(values) <= 1000:
            raise InvalidArguments(f"`in` on {column.name!r} needs a list of 1 to 1000 values.")
        return sql.SQL("{} IN ({})").format(name, sql.SQL(", ").join(quoted(value, column) for value in values))
    if item.op == "between":
        values = _listed(item)
        if len(values) != 2:
            raise InvalidArguments(f"`between` on {column.name!r} needs a list of two values.")
        return sql.SQL("{} BETWEEN {} AND {}").format(name, *(quoted(value, column) for value in values))
    if item.value is None or isinstance(item.value, list):
        raise InvalidArguments(
            f"{item.op!r} on {column.name!r} needs one value; use is_null for null and in for a list."
        )
    if item.op in {"like", "ilike"} and column.category != "S":
        return sql.SQL("{}::text {} {}").format(name, sql.SQL(_COMPARISONS[item.op]), quoted(item.value))
    return sql.SQL("{} {} {}").format(name, sql.SQL(_COMPARISONS[item.op]), quoted(item.value, column))


def _listed(item: Filter) -> list[Scalar]:
    """Return the list of values that a filter holds, also as a JSON text; [] for anything else."""
    values = as_list(item.value)
    scalars = isinstance(values, list) and all(isinstance(value, (str, int, float)) for value in values)
    return values if scalars else []


def quoted(value: Scalar, column: Column | None = None) -> sql.Composable:
    """Return a literal whose type the server chooses by the column.

    A number for a column of whole numbers stays a number, so that 1.5 equals none of its values. For any other column it is
    a quoted text, which the server reads in the column's type: the real number 1.1 is not the numeric 1.1.
    """
    if isinstance(value, bool):
        return sql.Literal(value)
    if isinstance(value, str):
        check_text(value, "value")
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _text(str(value))
    if column is None or column.base in _WHOLE:
        return sql.Literal(value)
    return _text(repr(value))


def _text(value: str) -> sql.SQL:
    # Doubling quotes is enough while standard_conforming_strings is on, and the session sets it.
    return sql.SQL("'" + value.replace("'", "''") + "'")
