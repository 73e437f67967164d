"""Says whether a statement returns nothing but numbers of rows. Pure."""

from __future__ import annotations

from agent.errors import ModelError
from agent.statements.parser import Name, name_of, parse

_COUNTS = (Name("", "count"), Name("pg_catalog", "count"))


def returns_only_counts(sql: str) -> bool:
    """Return whether `sql` is one SELECT of which every column is a call of count()."""
    try:
        statement = parse(sql)
    except ModelError:
        return False
    select = statement.node
    if statement.kind != "SelectStmt" or select.values_lists or select.HasField("larg") or not select.target_list:
        return False
    values = [target.res_target.val for target in select.target_list]
    return all(
        value.WhichOneof("node") == "func_call" and name_of(value.func_call.funcname) in _COUNTS for value in values
    )
