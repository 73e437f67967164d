"""What of a preview is personal: columns by their names, and the constants that may be values of them.

`agent.approval.masking` hides their values from approvers who may not see them. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.execution.statements.sql_parsing import Message, Statement
from agent.execution.writes.meeting import meetings
from agent.learning.privacy import looks_sensitive

# Of a longer text this much may stand alone in a cell that is shown.
_MOST_CHARACTERS = 200


def personal_columns(table: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of a table's rows that look personal or secret; `table` may be qualified."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [
        name
        for name in names
        if looks_sensitive(
            name, table=table.rpartition(".")[2], siblings=names, numeric=all(_is_number(row.get(name)) for row in rows)
        )
    ]


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def personal_literals(statement: Statement, columns: Iterable[str] = (), order: Sequence[str] = ()) -> list[str]:
    """The constants that meet columns which look personal, or of which it cannot be told that they meet others.

    `columns` are known to be personal; `order` is all of the columns of the table that is written to, where they are known.
    """
    found = meetings(statement, order)
    reached = found.reached(_personal(statement, {*found.names, *order}) | set(columns))
    constants = [constant for one in reached for constant in one.constants]
    if reached:
        untold = [one for one in found.all if not one.told]
        constants += [constant for one in untold for constant in one.constants if constant.HasField("sval")]
    constants += [part for kind, part in statement.parts if kind == "A_Const" and _is_personal_json(part.sval.sval)]
    return sorted({text for constant in constants for text in _texts(constant)} - {""})


def _personal(statement: Statement, names: set[str]) -> set[str]:
    tables = ["", *(relation.name for relation in statement.names.relations)]
    return {name for name in names if any(looks_sensitive(name, table=table, siblings=names) for table in tables)}


def _is_personal_json(text: str) -> bool:
    """Whether a text is JSON with a key that looks personal."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        pending = [json.loads(text)]
    except ValueError:
        return False
    except RecursionError:
        return True
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if any(map(looks_sensitive, value)):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False


def _texts(constant: Message) -> set[str]:
    """A constant as a statement may hold it: a number without its sign too, a long text also by its beginning."""
    kind = constant.WhichOneof("val")
    if constant.isnull or kind == "boolval":
        return set()
    if kind == "ival":
        return {str(constant.ival.ival), str(abs(constant.ival.ival))}
    text = {"sval": constant.sval.sval, "fval": constant.fval.fval, "bsval": constant.bsval.bsval}.get(kind, "")
    return {text, text[:_MOST_CHARACTERS], *([text.lstrip("-")] if kind == "fval" else [])}
