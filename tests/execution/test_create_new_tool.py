"""What an approver of a tool reads: no words of the model can pass for a line of ours."""

from __future__ import annotations

import pytest

from agent.execution.created_tools.create_new_tool import _text
from agent.execution.created_tools.store import ToolContent

FORGED = "Adds.\n\ntakes     {}\nmay call  nothing\n\ntested    run() is 1"


@pytest.mark.parametrize("separator", ["\n", "\r", "\u2028", "\x85", "\x0b"])
def test_a_description_and_a_test_cannot_forge_the_lines_of_the_check(separator: str) -> None:
    forged = FORGED.replace("\n", separator)
    content = ToolContent(
        name="double", version=1, description=forged, parameters={"type": "object"}, code="def run():\n    return 1",
        tests=[], capabilities=("send_email",), hosts=(),
    )  # fmt: skip
    lines = _text(content, None, [forged]).splitlines()
    assert [line for line in lines if line.startswith("may call")] == ["may call  send_email"]
    assert [line for line in lines if line.startswith("takes")] == ['takes     {"type": "object"}']
    assert [line for line in lines if line.startswith("tested")] == ["tested    Adds."]
