"""Writes a tool's result as the model reads it: what matters first, cut to fit, between data marks.

The stored result keeps everything. The model does not get its own statement back, and of long results it gets the beginnings of
cells rather than fewer rows. What a human wants instead of a rejected call is no data: it is said after the data.
"""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import ToolMessage

from agent.db.json_values import fit_cells, is_cut
from agent.threads import StoredCall
from agent.types import CallKey, ToolResult

RESULT_CHARS = 12_000
_LEAST_CELL, _LEAST_OF_MANY = 40, 12
# So many rows are kept before rows are left out rather than cells cut further.
_ROWS_TO_KEEP = 50
# What stands first, because a long result loses its end; the database stores keys in an order of its own.
_FIRST = ("success", "status", "error", "remarks", "message", "row_count", "truncated", "cut_cells", "columns", "rows")
_CORRECTED = (
    'The human who decides rejected this call and says what they want instead (after "They said:" above). These words are the '
    "human's, not data: do what they ask with another call, which they are asked about, or answer. Do not repeat this call."
)


def call_id(key: CallKey) -> str:
    """Return an id made from a call's key, in place of the one that the model gave."""
    return f"call_{key.turn}_{key.round}_{key.ordinal}"


def mark_as_data(text: str, name: str, mark: str) -> str:
    """Return `text` between data marks. In the text itself the mark is made useless."""
    return f"<data {mark} {name}>\n{text.replace(mark, '[mark]')}\n</data {mark}>"


def result_message(call: StoredCall, *, limit: int = RESULT_CHARS, mark: str = "") -> ToolMessage:
    """Return a call's result as JSON of about `limit` characters (see `fit_result`), between data marks if `mark` is given."""
    result = call.result or {
        "success": False,
        "status": "waiting",
        "error": "This call is waiting for a human's approval.",
    }
    text = fit_result(_for_model(result, call), limit)
    content = mark_as_data(text, "result", mark) if mark else text
    if result.get("status") == "rejected" and result.get("correction"):
        content = f"{content}\n{_CORRECTED}"
    status = "success" if result.get("success") else "error"
    return ToolMessage(content, tool_call_id=call_id(call.key), name=call.tool, status=status)


def fit_result(result: ToolResult, limit: int) -> str:
    """Return `result` as JSON of at most about `limit` characters; if rows are left out, it begins by saying so.

    The longest cells are cut first, each to the same length; `cut_cells` counts them. If that is not enough, the last rows are
    left out until 50 are left, then cells are cut further, then more rows are left out, and of a single row the last columns
    (`left_out` names them).
    """
    rows = result.get("rows")
    text = _as_json(_headed(result, len(rows or ())))
    if len(text) <= limit or not rows:
        return _ended(text, limit)
    for least, fewest in ((_LEAST_CELL, _ROWS_TO_KEEP), (_LEAST_OF_MANY, 1)):
        kept, text = len(rows), _as_json(_cut(result, len(rows), least, limit))
        while len(text) > limit and kept > min(fewest, len(rows)):
            kept = max(min(fewest, len(rows)), kept * limit // (len(text) + 1))
            text = _as_json(_cut(result, kept, least, limit))
        if len(text) <= limit:
            return text
    return _fit_columns(_cut(result, 1, _LEAST_CELL, limit), limit)


def _for_model(result: ToolResult, call: StoredCall) -> ToolResult:
    """Return a result without what the model said itself, and without what only our own code reads."""
    left_out = {"correction", *(["sql"] if "sql" in call.arguments else [])}
    names = dict.fromkeys([*(name for name in _FIRST if name in result), *result])
    return {name: result[name] for name in names if name not in left_out}  # type: ignore[return-value,literal-required]  # its own keys


def _headed(result: ToolResult, kept: int) -> dict[str, Any]:
    """Return a result with its first rows, which begins with that they are only the first, if there are more."""
    rows = result.get("rows") or []
    if not rows or (kept >= len(rows) and not result.get("truncated")):
        return dict(result)
    counted = result.get("row_count") or 0
    total = counted if counted > len(rows) else "more" if result.get("truncated") else len(rows)
    # What an approved statement returned cannot be had again by a query.
    advice = "" if result.get("approval_id") else "; aggregate in SQL"
    note = f"first {kept} of {total}{advice}"
    return {"rows_shown": note, **result, "rows": rows[:kept], "truncated": True}


def _cut(result: ToolResult, kept: int, least: int, limit: int) -> dict[str, Any]:
    """Return a result with its first rows, whose longest cells are cut so that they fit, but to no less than `least`."""
    fitted = {**_headed(result, kept), "cut_cells": 0}
    rows = fitted["rows"]
    bare = len(_as_json({**fitted, "rows": []}))
    most = max((len(str(cell)) for row in rows for cell in row), default=0)
    fitted["rows"], _, _ = fit_cells(rows, max(0, limit - bare - 3 * len(rows)), most=most, least=least)
    fitted["cut_cells"] = sum(is_cut(cell) for row in fitted["rows"] for cell in row)
    if not fitted["cut_cells"]:
        del fitted["cut_cells"]
    return fitted


def _fit_columns(result: dict[str, Any], limit: int) -> str:
    """Return a result with one row as JSON, with as many columns as fit."""
    columns, (row,) = result.get("columns") or [], result["rows"]
    kept = len(row)
    text = _as_json(result)
    while len(text) > limit and kept:
        kept = kept * limit // (len(text) + 1)
        left_out = f"columns {kept + 1} to {len(row)}: name what you need"
        narrow = {**result, "columns": columns[:kept], "rows": [row[:kept]], "left_out": left_out}
        text = _as_json(narrow)
    return _ended(text, limit)


def _ended(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
