"""The whole OpenAPI document, tried with generated requests: no server error, and every answer as the document says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from agent.access import keys
from agent.runtime import Runtime
from agent.testing.served import served

_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


# What takes rights away from the caller would hide the other routes: it is tried in a run of its own.
_SHUTS_OUT = "^/api/(people|keys|controls)"


@pytest.mark.parametrize("chosen", ["--exclude-path-regex", "--include-path-regex"])
async def test_generated_requests_find_no_server_error_and_no_other_answer_than_documented(
    runtime: Runtime, tmp_path: Path, chosen: str
) -> None:
    secret = (await keys.create("fuzz", role="admin", runtime=runtime)).secret
    async with served(runtime) as client:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{client.base_url}/openapi.json",
            "--header", f"Authorization: Bearer {secret}", "--checks", _CHECKS, chosen, _SHUTS_OUT, "--max-examples", "4", "--seed", "1",
            "--phases", "examples,fuzzing", "--request-timeout", "60", "--suppress-health-check", "all", "--workers", "1", "--no-color",
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6_000:]
