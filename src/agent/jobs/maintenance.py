"""What is done for every tenant every minute: expire and remind approvals, seal the audit log, forget what is kept for a time, and watch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.analytics import AnalyticsService
from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.db import load_queries
from agent.execution.undo.undo import forget_old
from agent.jobs.monitoring import watch
from agent.optimization import SelfLearningOrchestrationService
from agent.orchestration.worker import upkeep as keep_plans
from agent.runtime import Runtime
from agent.sync import AgentSyncService
from agent.threads import threads

_QUERIES = load_queries(__package__)


async def maintain(tenant_id: str, runtime: Runtime) -> None:
    """Do one tenant's maintenance. It may run twice: each part does what is still to be done.

    A part that fails stops no other one. Raises an `ExceptionGroup` at the end, so that the job counts as failed.
    """
    of_tenant = runtime.for_tenant(tenant_id)
    parts: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: human_approval_queue.pending(runtime=of_tenant),  # expires and reminds
        lambda: audit_log.seal(runtime=of_tenant),
        lambda: forget_old(runtime=of_tenant),
        AgentSyncService(of_tenant).apply_retention,
        lambda: threads.forget_rights(runtime=of_tenant),
        lambda: of_tenant.execute(_QUERIES["forget_old_requests"]),
        lambda: watch(of_tenant),
        AnalyticsService(of_tenant).upkeep,
        lambda: keep_plans(runtime=of_tenant),
        SelfLearningOrchestrationService(of_tenant).upkeep,
    )
    failures: list[Exception] = []
    for part in parts:
        try:
            await part()
        except Exception as error:  # raised with the others when all parts have run
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"maintenance of tenant {tenant_id!r} failed in part", failures)
