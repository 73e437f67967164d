"""What `agent status` says of settings that do nothing, and of an application that is another one than was discovered."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from tests.cases.hostile_statements import HOSTILE

from agent.approval.human_approval import human_approval_queue
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.runtime import Runtime
from agent.statements.assessment import assess_statement
from agent.statements.parser import parse
from agent.statements.reason_codes import exists
from agent.status import check_status

CHANGED = "structure has changed"


def denying(runtime: Runtime, deny: str) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update={"deny": deny}))


async def told(runtime: Runtime, deny: str) -> list[str]:
    status = await check_status(runtime.settings.model_copy(update={"deny": deny}))
    return [fix.problem for fix in status.fix]


async def test_a_name_in_the_deny_list_that_is_of_nothing_is_told_with_what_was_probably_meant(
    demo_runtime: Runtime,
) -> None:
    problems = await told(
        demo_runtime, "audit_logs, clients.vat_numbr, nosuch.table, clients, invoices.*, pg_stat_activity"
    )
    found = [problem for problem in problems if "AGENT_DENY names" in problem]
    assert len(found) == 3
    assert found[0].startswith("AGENT_DENY names 'audit_logs', and there is no table or view of that name")
    assert "Is 'audit_log' meant? A column is written table.column." in found[0]
    assert "Is 'clients.vat_number' meant?" in found[1]
    assert "'nosuch.table', and there is no table, view or column of that name" in found[2]


async def test_a_glob_that_fits_nothing_may_be_for_later(demo_runtime: Runtime) -> None:
    (problem,) = [one for one in await told(demo_runtime, "secret_*, client*") if "AGENT_DENY" in one]
    assert "'secret_*' in AGENT_DENY fits nothing now" in problem


async def test_a_denied_name_of_nothing_makes_no_changed_structure(demo_runtime: Runtime) -> None:
    await auto_discovery.discover_app_structure()
    problems = await told(demo_runtime, "nosuch.table")
    assert not any(CHANGED in problem or "discovered" in problem for problem in problems)
    problems = await told(demo_runtime, "audit_log")
    assert not any(CHANGED in problem for problem in problems)
    assert any("AGENT_DENY" in problem and "another one than when" in problem for problem in problems)
    other = denying(demo_runtime, "audit_log")
    await auto_discovery.discover_app_structure(runtime=other)
    assert not any("another one than when" in problem for problem in await told(demo_runtime, "audit_log"))
    assert any("another one than when" in problem for problem in await told(demo_runtime, ""))


async def test_a_structure_that_changed_is_still_noticed(demo_runtime: Runtime) -> None:
    await auto_discovery.discover_app_structure()
    with psycopg.connect(demo_runtime.settings.database_url.get_secret_value()) as conn:
        conn.execute("alter table clients add column more text")
    assert any(CHANGED in problem for problem in await told(demo_runtime, ""))


async def test_every_reason_that_a_statement_has_is_one_that_may_be_refused(demo_runtime: Runtime) -> None:
    unknown = set()
    for sql in HOSTILE:
        try:
            assessment = await assess_statement(parse(sql), runtime=demo_runtime)
        except AgentError:
            continue
        unknown |= {reason for reason in assessment.reasons if reason != "read" and not exists(reason)}
    assert unknown == set()


@pytest.mark.parametrize("sql", ["UPDATE clients SET notes = 'x'", "DELETE FROM audit_log"])
async def test_every_reason_that_a_trial_adds_is_too(demo_runtime: Runtime, sql: str) -> None:
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, by_model=True)
    approval = await human_approval_queue.get(asked["approval_id"])
    assert [reason for reason in approval.reasons if not exists(reason)] == []
