"""What is done for every tenant every minute: expire and remind approvals, seal the audit log, forget what is kept for a time, and watch."""

from __future__ import annotations

from agent.analytics import AnalyticsService
from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.db import load_queries
from agent.execution.undo.undo import forget_old
from agent.jobs.monitoring import watch
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.threads import threads

_QUERIES = load_queries(__package__)


async def maintain(tenant_id: str, runtime: Runtime) -> None:
    """Do one tenant's maintenance. It may run twice: each part does what is still to be done."""
    of_tenant = runtime.for_tenant(tenant_id)
    await human_approval_queue.pending(runtime=of_tenant)  # expires and reminds
    await audit_log.seal(runtime=of_tenant)
    await forget_old(runtime=of_tenant)
    await AgentSyncService(of_tenant).apply_retention()
    await threads.forget_rights(runtime=of_tenant)
    await of_tenant.execute(_QUERIES["forget_old_requests"])
    await watch(of_tenant)
    await AnalyticsService(of_tenant).upkeep()
