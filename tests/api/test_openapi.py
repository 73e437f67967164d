"""The whole OpenAPI document, tried with generated requests: no server error, and every answer as the document says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.access import keys
from agent.api.application import create_app
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.served import served

_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# A long poll has nothing to wait for. To generate each wrong type is what takes time: fuzzing sends some of them.
_CONFIG = """
[parameters]
"query.wait" = 0
[phases.coverage]
unexpected-methods = []
generate-duplicate-query-parameters = false
[phases.coverage.generation]
mode = "positive"
"""
# What takes rights away from the caller would hide the other routes: it is tried in a run of its own.
_SHUTS_OUT = "^/api/(people|keys|controls)"
_SYNC = "^/api/agent-sync"


@pytest.mark.parametrize(
    "chosen",
    [
        ("--include-path-regex", _SHUTS_OUT),
        ("--include-path-regex", _SYNC),
        ("--exclude-path-regex", f"{_SHUTS_OUT}|{_SYNC}"),
    ],
    ids=["shuts-out", "sync", "others"],
)
async def test_generated_requests_find_no_server_error_and_no_other_answer_than_documented(
    runtime: Runtime, tmp_path: Path, chosen: tuple[str, str]
) -> None:
    secret = (await keys.create("fuzz", role="admin", runtime=runtime)).secret
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    settings = runtime.settings.model_copy(update={"rate_limit": "100000/minute"})
    async with served(replace(runtime, settings=settings, cached={})) as client:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{client.base_url}/openapi.json",
            "--header", f"Authorization: Bearer {secret}", "--checks", _CHECKS, *chosen, "--max-examples", "3", "--seed", "1",
            "--phases", "coverage,fuzzing", "--request-timeout", "20", "--suppress-health-check", "all", "--workers", "1", "--no-color",
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6_000:]


def test_each_model_of_the_document_has_a_name_of_its_own() -> None:
    """Where two share one, the document names them by their modules, and a generator of clients leaves routes out."""
    document = create_app(settings=Settings(_env_file=None), jobs=False).openapi()
    assert [name for name in document["components"]["schemas"] if name.startswith("agent__")] == []
