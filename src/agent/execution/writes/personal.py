"""What of a preview is personal: columns by their names, and the constants that a statement compares with them or puts there.

`agent.approval.masking` hides their values from approvers who may not see them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.execution.statements.sql_parsing import Message, Statement, kind_of, walk
from agent.learning.privacy import looks_sensitive

_MOST_LITERALS = 200
_MOST_CHARACTERS = 200
_MOST_PARTS = 50_000


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


def personal_literals(statement: Statement, columns: Iterable[str] = ()) -> list[str]:
    """The constants beside columns that look personal: compared with them, assigned to them, or inserted into them."""
    known = set(columns)
    found: set[str] = set()
    left = _MOST_PARTS
    for name, value in _beside_columns(statement):
        if name not in known and not looks_sensitive(name):
            continue
        for part in walk(value):
            found.add(_text(part))
            left -= 1
        if left < 0:  # nested beyond reading: then every constant is one
            found = {_text(part) for _, part in statement.parts}
            break
    return sorted(text[:_MOST_CHARACTERS] for text in found if text)[:_MOST_LITERALS]


def _beside_columns(statement: Statement) -> Iterator[tuple[str, Message]]:
    for kind, part in statement.parts:
        if kind == "A_Expr":
            for name in (*_names(part.lexpr), *_names(part.rexpr)):
                yield name, part.lexpr
                yield name, part.rexpr
        elif kind == "ResTarget" and part.name:
            yield part.name, part.val
        elif kind == "InsertStmt":
            names = [column.res_target.name for column in part.cols]
            for row in part.select_stmt.select_stmt.values_lists:
                yield from zip(names, row.list.items, strict=False)


def _names(side: Message) -> list[str]:
    """The columns that one side of an operator is made of: bare, cast, or in a function's call."""
    while side.WhichOneof("node") == "type_cast":
        side = side.type_cast.arg
    sides = side.func_call.args if side.WhichOneof("node") == "func_call" else [side]
    fields = [part.column_ref.fields for part in sides if part.WhichOneof("node") == "column_ref"]
    return [names[-1].string.sval for names in fields if names and names[-1].HasField("string")]


def _text(constant: Message) -> str:
    if kind_of(constant) != "A_Const" or constant.isnull:
        return ""
    kind = constant.WhichOneof("val")
    if kind == "ival":
        return str(constant.ival.ival)
    return str({"sval": constant.sval.sval, "fval": constant.fval.fval, "bsval": constant.bsval.bsval}.get(kind, ""))
