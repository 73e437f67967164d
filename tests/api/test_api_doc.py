"""docs/api.md: every curl line runs as it stands against a served demo, and answers without an error."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.testing.served import served

DOC = Path(__file__).parents[2] / "docs" / "api.md"
SCRIPT = ["14 clients are active.", "Hello.", call("execute_sql", sql="UPDATE clients SET name = 'Acme'"), "Done."]


def commands() -> list[str]:
    """Return the curl commands of the document, each on one line."""
    blocks = re.findall(r"```bash\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    lines = re.split(r"\n(?=curl|agent)", "\n".join(block.replace("\\\n", " ") for block in blocks))
    return [line.partition("   #")[0].strip() for line in lines if line.startswith("curl")]


async def test_every_curl_line_of_the_document_works(demo_runtime: Runtime) -> None:
    lines = commands()
    assert len(lines) >= 7
    async with served(replace(demo_runtime, model=scripted_client(SCRIPT), cached={})) as client:
        for line in lines:
            output = await run(await filled(line, client), client)
            assert '"status":4' not in output, (line, output)
            assert '"status":5' not in output, (line, output)
            assert output, line


async def filled(line: str, client: httpx.AsyncClient) -> str:
    """Put what earlier answers named in the place of the document's words in capitals."""
    if "BINDING" in line:
        (waiting, *_) = (await client.get("/api/approvals")).json()["items"]
        line = line.replace("approvals/1/", f"approvals/{waiting['id']}/").replace("BINDING", waiting["binding"])
    if "STREAM" in line:
        headers = {"Accept": "text/event-stream"}
        answer = await client.post(
            "/api/executions/preflight", json={"action": "execute_sql", "arguments": {"sql": "select 1"}}
        )
        assert answer.status_code == 200
        streamed = await client.post("/api/chat", json={"message": "hello", "thread_id": "other"}, headers=headers)
        line = line.replace("STREAM:17", "STREAM:1").replace("STREAM", streamed.headers["x-stream-id"])
    return line


async def run(line: str, client: httpx.AsyncClient) -> str:
    """Run a command of the document against this test's server."""
    text = line.replace("http://127.0.0.1:8080", str(client.base_url).rstrip("/"))
    process = await asyncio.create_subprocess_shell(
        text, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        pytest.fail(f"it does not end: {line}")
    assert process.returncode == 0, (line, errors)
    return output.decode()
