"""Lets one process of all run the monitor when its time has come; the schedule of maintenance calls this every minute."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import structlog

from agent.errors import AgentError
from agent.monitoring.continuous_monitor import continuous_monitor
from agent.runtime import Runtime

_log = structlog.get_logger(__name__)


async def watch(runtime: Runtime) -> None:
    """Run the monitor for a tenant if it is due. Its failure is logged: maintenance goes on."""
    minutes = runtime.settings.monitor_minutes
    if not minutes:
        return
    try:
        await continuous_monitor.run_scheduled(timedelta(minutes=minutes), runtime=runtime)
    except (AgentError, psycopg.Error) as error:
        _log.warning("monitor_waits", tenant_id=runtime.tenant_id, error=str(error))
