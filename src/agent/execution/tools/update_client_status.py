"""Builds the UPDATE of `update_client_status`: the clients' table and its status column are found, never assumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from psycopg import sql

from agent.db.paths import rows_as_application
from agent.errors import InvalidArguments
from agent.execution.tools.arguments import UpdateClientStatus
from agent.execution.tools.query_data import quoted
from agent.learning.discovery.structure import Relation
from agent.learning.named_relations import Column, NamedRelation, check_text, every_relation, find_relation, suggestion
from agent.runtime import Runtime

_TABLE_WORDS = ("client", "customer", "account")
_STATUS_WORDS = ("status", "state", "stage")
_NAME_WORDS = ("name", "title", "company", "label")
_MOST_CANDIDATES = 10
_CHECK_VALUES = re.compile(r"'((?:[^']|'')*)'")


async def update_statement(arguments: UpdateClientStatus, runtime: Runtime) -> str:
    """Return the statement for one row by primary key. Raises `InvalidArguments` that lists the candidates or the values."""
    if (arguments.client_id is None) == (arguments.client_name is None):
        raise InvalidArguments("Pass either client_id or client_name.")
    relation = await _clients(runtime)
    status = _status_column(relation)
    value = _checked_status(arguments.status, status, relation)
    key = sql.Identifier(relation.key[0])
    client = arguments.client_id
    if client is None:
        client = await _client_named(arguments.client_name or "", relation, runtime)
    return sql.SQL("UPDATE {} SET {} = {} WHERE {} = {}").format(
        relation.identifier, sql.Identifier(status.name), quoted(value, status), key, quoted(client, relation.column(relation.key[0]))
    ).as_string()  # fmt: skip


def may_be_clients(table: Relation) -> bool:
    """Return whether `_clients` may choose this table, as discovery knows it."""
    has_status = any(_is_status_name(column["name"]) and not column["generated"] for column in table["columns"])
    return _rank(table["name"]) is not None and len(table["primary_key"]) == 1 and has_status


async def _clients(runtime: Runtime) -> NamedRelation:
    """Return the table of clients: it has a word for them in its name, a status column and a single-column key.

    Of tables that share a name, only the one that the bare name means is considered.
    """
    async with runtime.app.connection("agent_reader") as conn:
        rows = await every_relation(conn)
    chosen = runtime.settings.chosen_schemas
    names = {row["name"].casefold() for row in rows if not chosen or row["schema"] in chosen}
    ranked = sorted((rank, len(name), name) for name in names if (rank := _rank(name)) is not None)
    for _, _, name in ranked:
        relation = await find_relation(name, runtime=runtime)
        if len(relation.key) == 1 and any(_is_status(column) for column in relation.columns):
            return relation
    raise InvalidArguments(
        "No table of clients with a status column and a primary key was found. Use execute_sql with the right table."
    )


def _rank(name: str) -> int | None:
    folded = name.casefold()
    for rank, word in enumerate(_TABLE_WORDS):
        if folded in {word, f"{word}s"}:
            return rank
    for rank, word in enumerate(_TABLE_WORDS):
        if word in folded:
            return 10 + rank
    return None


def _is_status(column: Column) -> bool:
    return not column.generated and _is_status_name(column.name)


def _is_status_name(name: str) -> bool:
    return any(word in name.casefold() for word in _STATUS_WORDS)


def _status_column(relation: NamedRelation) -> Column:
    candidates = [column for column in relation.columns if _is_status(column)]
    return min(candidates, key=lambda column: (column.name.casefold() != "status", not column.labels, len(column.name)))


def _checked_status(value: str | int, column: Column, relation: NamedRelation) -> str | int:
    check_text(str(value), "status")
    allowed = column.labels or _values_of_check(column, relation)
    if not allowed or str(value) in allowed:
        return value
    folded = [item for item in allowed if item.casefold() == str(value).casefold()]
    if len(folded) == 1:
        return folded[0]
    raise InvalidArguments(
        f"{value!r} is not a status of {relation}. {suggestion(str(value), allowed)} Allowed: {', '.join(allowed)}."
    )


def _values_of_check(column: Column, relation: NamedRelation) -> tuple[str, ...]:
    for check in relation.checks:
        if re.search(rf'\b{re.escape(column.name)}\b|"{re.escape(column.name)}"', check) and "ANY" in check:
            return tuple(value.replace("''", "'") for value in _CHECK_VALUES.findall(check))
    return ()


def _name_columns(relation: NamedRelation) -> list[Column]:
    texts = [column for column in relation.columns if column.category == "S"]
    return [column for column in texts if any(word in column.name.casefold() for word in _NAME_WORDS)]


async def _client_named(name: str, relation: NamedRelation, runtime: Runtime) -> Any:
    check_text(name, "client_name")
    columns = _name_columns(relation)
    if not columns:
        raise InvalidArguments(f"{relation} has no column with names. Pass client_id.")
    for comparison in (sql.SQL("lower({}) = lower({})"), sql.SQL("strpos(lower({}), lower({})) > 0")):
        clients = await _find(name, columns, comparison, relation, runtime)
        if len(clients) == 1:
            return clients[0][0]
        if clients:
            listed = "; ".join(f"{key}: {label}" for key, label in clients)
            raise InvalidArguments(f"{name!r} fits several clients. Pass the client_id of one: {listed}.")
    raise InvalidArguments(f"There is no client called {name!r} in {relation}. Look the name up with query_data.")


async def _find(
    name: str, columns: Sequence[Column], comparison: sql.SQL, relation: NamedRelation, runtime: Runtime
) -> list[tuple[Any, Any]]:
    """Return the keys and labels of the clients whose name compares so, at most `_MOST_CANDIDATES`."""
    condition = sql.SQL(" OR ").join(
        comparison.format(sql.Identifier(column.name), sql.Literal(name)) for column in columns
    )
    query = sql.SQL("SELECT {}::text AS key, {}::text AS label FROM {} WHERE {} ORDER BY 2, 1 LIMIT {}").format(
        sql.Identifier(relation.key[0]), sql.Identifier(columns[0].name), relation.identifier, condition,
        sql.Literal(_MOST_CANDIDATES),
    )  # fmt: skip
    async with runtime.app.connection("agent_reader") as conn:
        rows = await rows_as_application(conn, query)
    return [(row["key"], row["label"]) for row in rows]
