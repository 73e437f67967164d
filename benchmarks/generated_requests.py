"""Send generated requests to every route of the OpenAPI document: no server error, and each answer as the document says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from agent.access import keys
from agent.runtime import Runtime
from agent.testing.served import served

# Groups of routes by their paths. What takes rights away from the caller would hide the other routes, so it has its own run.
GROUPS = {
    "shuts-out": "^/api/(people|keys|controls)",
    "sync": "^/api/agent-sync",
    "analytics": "^/(analytics|agents|ml)",
    "integration": "^/api/v1/integration",
    "memories": "^/api/(memories|knowledge|learning-runs|threads|chat)",
}
OTHERS = "others"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What a run of schemathesis found: whether all answers were right, and what it printed."""

    right: bool
    output: str

    @property
    def sent(self) -> str:
        """How many requests were generated and passed, as schemathesis says it."""
        return next((line.strip() for line in self.output.splitlines() if " generated, " in line), "none")


async def send_generated(runtime: Runtime, group: str, folder: Path, *, phases: str, examples: int) -> Generated:
    """Serve the API, and let schemathesis try the routes of a group as an admin."""
    secret = (await keys.create("fuzz", role="admin", runtime=runtime)).secret
    (folder / "schemathesis.toml").write_text(_CONFIG)
    chosen = (
        ("--exclude-path-regex", "|".join(GROUPS.values()))
        if group == OTHERS
        else ("--include-path-regex", GROUPS[group])
    )
    settings = runtime.settings.model_copy(update={"rate_limit": "100000/minute"})
    async with served(replace(runtime, settings=settings, cached={})) as client:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{client.base_url}/openapi.json",
            "--header", f"Authorization: Bearer {secret}", "--checks", _CHECKS, *chosen, "--max-examples", str(examples), "--seed", "1",
            "--phases", phases, "--request-timeout", "20", "--suppress-health-check", "all", "--workers", "1", "--no-color",
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    return Generated(right=process.returncode == 0, output=output.decode())
