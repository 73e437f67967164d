"""Writes runs as CSV or as JSON, one object a line, for whoever may see them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

from agent.analytics.service import AnalyticsService
from agent.analytics.views import shown
from agent.errors import InvalidInput
from agent.runtime import Runtime, current_runtime

Form = Literal["csv", "json"]
COLUMNS = (
    "id", "agent_name", "task_id", "task_type", "execution_time", "success", "error_message", "resource_usage", "steps", "cost_usd", "tokens",
    "propensity", "timestamp", "logged_at",
)  # fmt: skip


async def written(service: AnalyticsService, form: Form, *, runtime: Runtime) -> AsyncIterator[tuple[str, int]]:
    """Yield the text of some runs at a time, with their number; a CSV begins with its columns."""
    if form == "csv":
        yield _csv([dict(zip(COLUMNS, COLUMNS, strict=True))]), 0
    async for page in service.export():
        rows = await shown(page, runtime=runtime)
        text = _csv(rows) if form == "csv" else "".join(json.dumps(row, default=str) + "\n" for row in rows)
        yield text, len(rows)


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell of a table; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    text = json.dumps(value) if isinstance(value, list | dict) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


async def write_file(path: str, service: AnalyticsService) -> int:
    """Write every run to a new file, and return how many. Raises `InvalidInput` for a file that is there or cannot be made."""
    runtime, count = await current_runtime(), 0
    form: Form = "csv" if path.endswith(".csv") else "json"
    try:
        with Path(path).open("x", encoding="utf-8", newline="") as file:  # noqa: ASYNC230  # a command has nothing else to do
            async for text, rows in written(service, form, runtime=runtime):
                file.write(text)
                count += rows
    except OSError as error:
        raise InvalidInput(
            f"{path!r} cannot be made ({error.strerror}): name a new file in a folder that is there."
        ) from error
    return count
