"""The whole OpenAPI document, tried with generated requests: no server error, and every answer as the document says."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.generated_requests import GROUPS, OTHERS, send_generated

from agent.api.application import create_app
from agent.runtime import Runtime
from agent.settings import Settings


@pytest.mark.parametrize("group", [*GROUPS, OTHERS])
async def test_generated_requests_find_no_server_error_and_no_other_answer_than_documented(
    runtime: Runtime, tmp_path: Path, group: str
) -> None:
    """`python -m benchmarks openapi` sends many more."""
    found = await send_generated(runtime, group, tmp_path, phases="fuzzing", examples=4)
    assert found.right, found.output[-6_000:]


def test_each_model_of_the_document_has_a_name_of_its_own() -> None:
    """Where two share one, the document names them by their modules, and a generator of clients leaves routes out."""
    document = create_app(settings=Settings(_env_file=None), jobs=False).openapi()
    assert [name for name in document["components"]["schemas"] if name.startswith("agent__")] == []
