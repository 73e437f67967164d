"""Send one approved mail, in a process that test_send_email.py kills: `mail_worker.py SETTINGS_AS_JSON APPROVAL`."""

from __future__ import annotations

import asyncio
import json
import sys

from agent.execution.safe_executor import safe_executor
from agent.runtime import open_runtime
from agent.settings import Settings


async def main(settings: Settings, approval: int) -> None:
    runtime = await open_runtime(settings)
    result = await safe_executor.run_approved(approval, runtime=runtime)
    print(json.dumps(result))
    await runtime.close()


asyncio.run(main(Settings(_env_file=None, **json.loads(sys.argv[1])), int(sys.argv[2])))
