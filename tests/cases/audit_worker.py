"""Seal the audit log again and again until the process is killed: `audit_worker.py SETTINGS_AS_JSON`."""

import asyncio
import json
import sys

from agent.audit.log import audit_log
from agent.runtime import open_runtime
from agent.settings import Settings


async def main() -> None:
    runtime = await open_runtime(Settings(_env_file=None, **json.loads(sys.argv[1])))
    print("ready", flush=True)
    while True:
        if await audit_log.seal(runtime=runtime) == 0:
            await asyncio.sleep(0.005)


asyncio.run(main())
