"""Shows results to another program's model: masked for the caller, as far as AGENT_DATA_SHARING lets them out, and cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp_types import CallToolResult, TextContent

from agent.approval.people import people
from agent.approval.views import result_for_viewer
from agent.graph.results_for_model import fit_result
from agent.graph.sharing import shared
from agent.mcp.callers import Caller
from agent.types import ToolResult

_MOST_CHARACTERS = 24_000


async def shown(result: ToolResult, caller: Caller, *, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """Return a tool's result as the caller's model may see it."""
    runtime = caller.runtime
    seen = result_for_viewer(await people.membership(runtime=runtime), result)
    seen = shared(seen, runtime.data_sharing, tool=tool, arguments=dict(arguments))
    failed = not seen.get("success") and seen.get("status") not in {"waiting", "running"}
    return text_result(fit_result(seen, _MOST_CHARACTERS), failed=failed)


def document(values: Mapping[str, Any], *, failed: bool = False) -> CallToolResult:
    """Return values as JSON."""
    text = json.dumps(
        {name: value for name, value in values.items() if value not in (None, "", [])}, ensure_ascii=False, default=str
    )
    return text_result(text, failed=failed)


def text_result(text: str, *, failed: bool = False) -> CallToolResult:
    """Return a text as a tool's result."""
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return CallToolResult(content=[TextContent(type="text", text=cut)], is_error=failed)
