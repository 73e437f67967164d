"""Scheduled jobs: one of several processes runs each tick, a kill loses none, and no row can bring code in."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.jobs import Jobs
from agent.runtime import Runtime


async def test_maintenance_expires_what_nobody_answered_and_refuses_rows_that_bring_code(runtime: Runtime) -> None:
    other = runtime.for_tenant("b")
    waits = await human_approval_queue.request("call_api", {}, timeout=0.2, runtime=other)
    jobs = Jobs(runtime, maintenance="* * * * * *")
    await jobs.start()
    try:
        end = time.monotonic() + 30
        row = None
        while time.monotonic() < end and (row is None or row["status"] != "expired"):
            await asyncio.sleep(0.1)
            row = await other.one(
                "select status from agents.human_approval_queue where tenant_id = %(tenant_id)s and id = %(id)s",
                id=waits.id,
            )
        assert row == {"status": "expired"}
        async with runtime.db.connection("agent_app") as conn:
            with pytest.raises(psycopg.errors.CheckViolation):
                await conn.execute(
                    "update agents_jobs.workflow_status set serialization = 'py_pickle', inputs = 'gASVHwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU'"
                )
    finally:
        await jobs.stop()
