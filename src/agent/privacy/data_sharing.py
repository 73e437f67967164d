"""Decides what of the application's data a model provider is shown, by AGENT_DATA_SHARING. Pure.

    schema   names, types, keys, comments; no row, no number of rows
    counts   also how many rows there are, and what count() says
    masked   also rows, of which only numbers, true and false are shown
    rows     everything that a tool returned

People are shown the rows in any case: they are not told by the model. What a user says reaches the model, and what a human
answers for it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agent.privacy.masked_texts import MASK, masked_sql
from agent.privacy.masking import masked_value
from agent.privacy.sensitive import looks_sensitive
from agent.types import DataSharing, ToolResult, Trust

# Tools whose statement is the model's own; what others ran may name what they found.
_OWN_SQL = frozenset({"execute_sql", "query_data"})
# Tools whose errors are about names and rules. Those of others may quote rows.
_OWN_ERRORS = _OWN_SQL | {
    "describe_schema",
    "search_memory",
    "remember",
    "undo_change",
    "send_email",
    "create_new_tool",
}
_OWN_DATA = frozenset({"remember"})
# Who said no, or answered in a tool's place, said it to the model.
_BY_HUMANS = frozenset({"answered", "rejected"})
_KEPT = ("success", "status", "approval_id", "execution_id", "columns", "remarks")
_COUNTS = ("row_count", "truncated", "cut_cells")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)=\([^()]*\)")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_THE_USER_SEES = "(AGENT_DATA_SHARING); the user sees them. Say so, and do not try another way."
_NO_REASON = (
    "It did not succeed. AGENT_DATA_SHARING keeps the reason from you, because it may hold data; the user can see it."
)


def shared_result(
    result: ToolResult, level: DataSharing, *, tool: str, arguments: Mapping[str, Any], counted: bool = False
) -> ToolResult:
    """Return what the model provider is shown of a tool's result. `counted` says that every column is a count()."""
    if level == "rows":
        return result
    kept: dict[str, Any] = {name: result[name] for name in _KEPT if name in result}  # type: ignore[literal-required]  # its own keys
    if level != "schema":
        kept |= {name: result[name] for name in _COUNTS if name in result}  # type: ignore[literal-required]  # its own keys
    if sql := result.get("sql"):
        kept["sql"] = sql if tool in _OWN_SQL else masked_sql(sql)
    kept |= _texts(result, level, tool=tool, said=json.dumps(dict(arguments), ensure_ascii=False, default=str))
    if "data" in result and (tool in _OWN_DATA or result.get("status") == "answered"):
        kept["data"] = result["data"]
    elif "data" in result and level == "masked":
        kept["data"] = masked_value(result["data"])
    if "rows" in result:
        rows, told = _rows(result, level, tool=tool, counted=counted)
        kept |= {"rows": rows} if rows is not None else {}
        kept |= {"message": f"{told} {kept.get('message', '')}".strip()} if told else {}
    return cast("ToolResult", kept)


def shares_memory(trust: Trust | str, level: DataSharing) -> bool:
    """Return whether a memory is shown to a model provider: below `rows` only what a person told."""
    return level == "rows" or trust == "human"


def _texts(result: ToolResult, level: DataSharing, *, tool: str, said: str) -> dict[str, str]:
    """Return the result's error and message, without what may be values."""
    kept = {}
    if error := result.get("error"):
        kept["error"] = _without_values(error, said) if tool in _OWN_ERRORS else _NO_REASON
    message = result.get("message")
    if message and (tool == "describe_schema" or result.get("status") in _BY_HUMANS):
        kept["message"] = message
    elif message and level != "schema":
        kept["message"] = _without_values(message, said) if tool in _OWN_ERRORS else ""
    return {name: text for name, text in kept.items() if text}


def _without_values(text: str, said: str) -> str:
    """Return a text without what it quotes, except for what the call itself said."""
    return _QUOTED.sub(lambda found: found.group() if found.group()[1:-1] in said else f"'{MASK}'", text)


def _rows(result: ToolResult, level: DataSharing, *, tool: str, counted: bool) -> tuple[list[list[Any]] | None, str]:
    """Return the rows to show (None for none), and what the model is told of those that are not shown."""
    columns, rows = result.get("columns") or [], result["rows"]
    if tool == "search_memory":
        return [row for row in rows if shares_memory(row[columns.index("trust")], level)], ""
    if level == "masked":
        return _masked_rows(columns, rows), f"Texts and dates in its rows are masked {_THE_USER_SEES}"
    if level == "counts" and counted:
        return rows, ""
    return None, f"Its rows are not shown to you {_THE_USER_SEES}"


def _masked_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    sensitive = [looks_sensitive(str(name)) for name in columns]
    return [[_masked_cell(value, hidden=hidden) for value, hidden in zip(row, sensitive, strict=False)] for row in rows]


def _masked_cell(value: Any, *, hidden: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if not hidden and (isinstance(value, (int, float)) or (isinstance(value, str) and _DECIMAL.fullmatch(value))):
        return value
    return MASK
