"""Freeze windows, the recovery point, the bound of rows and break-glass, also for what was approved before."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.audit.log import audit_log
from agent.chat import chat
from agent.errors import ActionRefused, AgentStopped, ConditionNotMet, DecisionRefused, InvalidInput
from agent.execution.controls import controls
from agent.execution.guards import recovery
from agent.execution.guards.break_glass import end_break_glass, open_break_glass
from agent.execution.guards.conditions import needs_recovery_point
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals, executions
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client
from agent.threads import threads
from agent.worker import Worker

TABLES = """
create table public.items (id int primary key, n int);
insert into public.items select i, 0 from generate_series(1, 10) i;
alter table public.items owner to agent_actor;
create function public.bump() returns int language plpgsql as
  'begin update public.items set n = n + 1; return 1; end';
"""
READ = "SELECT count(*) FROM items"
ONE = "UPDATE items SET n = 1 WHERE id = 9"
SOME = "UPDATE items SET n = 1 WHERE id < 4"
DDL = "ALTER TABLE items ADD more int"
NOW = "00:00-24:00"


@pytest.fixture
async def shop(cluster: Cluster) -> AsyncIterator[Runtime]:
    settings = cluster.database(cluster.template("guards", lambda conn: conn.execute(TABLES)), user="ada")
    async with running(settings) as runtime:
        yield runtime


def with_settings(runtime: Runtime, **values: Any) -> Runtime:
    settings = type(runtime.settings).model_validate({**runtime.settings.model_dump(), **values})
    return replace(runtime, settings=settings, cached={})


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


def one(runtime: Runtime, sql: str) -> Any:
    with admin(runtime) as conn:
        return conn.execute(sql).fetchone()[0]


async def ask(sql: str, runtime: Runtime) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    assert result["status"] == "waiting", result
    return int(result["approval_id"])


async def name_people(runtime: Runtime) -> None:
    for name, roles in (("ada", ["admin"]), ("bo", ["approver"]), ("cy", ["approver"]), ("di", ["operator"])):
        await people.add(name, roles, runtime=runtime)


def printing(text: str) -> str:
    return f"{sys.executable} -c 'print(\"{text}\")'"


def age(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


async def test_in_a_freeze_nothing_is_changed_tried_or_asked_and_reads_run(shop: Runtime) -> None:
    earlier = await ask(SOME, shop)
    frozen = with_settings(shop, freeze=f"{NOW} Europe/Berlin")
    for sql in (ONE, SOME, DDL, "SELECT bump()", "SELECT n FROM items FOR UPDATE"):
        result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=frozen)
        assert result["status"] == "refused", result
        assert "AGENT_FREEZE" in result["error"]
    with pytest.raises(ConditionNotMet, match="AGENT_FREEZE"):  # an edit is a new proposal
        await safe_executor.decide(earlier, "edit", arguments={"sql": ONE}, runtime=frozen)
    mail = {"to": ["anna@partner.example"], "subject": "Hello", "body": "Hello Anna."}
    out = with_settings(frozen, email_outbox="/nowhere")
    assert (await safe_executor.execute("send_email", mail, wait=False, runtime=out))["status"] == "refused"
    assert (await safe_executor.execute("execute_sql", {"sql": READ}, runtime=frozen))["success"]
    looked = {
        sql: (await executions.preflight("execute_sql", {"sql": sql}, runtime=frozen)).held_up_by for sql in (READ, ONE)
    }
    assert looked[READ] == ""
    assert "AGENT_FREEZE" in looked[ONE]
    assert [row.id for row in await human_approval_queue.history(runtime=shop)] == [earlier]
    assert one(shop, "select sum(n) from items") == 0


async def test_what_was_approved_before_a_freeze_is_carried_out_after_it_by_a_worker(shop: Runtime) -> None:
    number = await ask(SOME, shop)
    frozen = with_settings(shop, freeze=NOW)
    await human_approval_queue.decide(number, "approve", via="api", runtime=shop)
    for _ in range(2):
        result = await safe_executor.run_approved(number, runtime=frozen)
        assert not result["success"]
        assert "after that by itself" in result["error"]
    worker = Worker(frozen)
    running_worker = asyncio.create_task(worker.run())
    with admin(shop) as conn:
        conn.execute("update agents.open_work set ready_at = now()")
        await asyncio.sleep(1.5)
        worker.stop()
        await running_worker
        assert one(shop, "select sum(n) from items") == 0
        assert conn.execute("select subject, ready_at > now() from agents.open_work").fetchall() == [
            (str(number), True)
        ]
    await _work(shop, lambda: _changed(shop))
    assert one(shop, "select sum(n) from items") == 3


async def test_a_conversation_is_told_that_its_change_waits_and_the_change_is_done_after_the_freeze(
    shop: Runtime,
) -> None:
    asking = replace(shop, model=scripted_client([call("execute_sql", sql=SOME), "It waits."]), cached={})
    waiting = await chat.answer("Change some items", thread_id="t", runtime=asking)
    frozen = with_settings(asking, freeze=NOW)
    (request,) = waiting.approvals
    outcome = await approvals.decide_and_run(request.id, HumanDecision(decision="approve"), via="api", runtime=frozen)
    assert "after that by itself" in outcome.result["error"]
    await _work(frozen, lambda: _answered(frozen))
    assert one(shop, "select sum(n) from items") == 0
    (told,) = await threads.calls("t", 1, runtime=shop)
    assert "AGENT_FREEZE" in told.result["error"]
    await _work(shop, lambda: _changed(shop))
    assert one(shop, "select sum(n) from items") == 3
    (told,) = await threads.calls("t", 1, runtime=shop)
    assert told.result["success"], "what the conversation was told is corrected"
    await safe_executor.execute_left_over(runtime=shop)
    assert one(shop, "select sum(n) from items") == 3


async def _answered(runtime: Runtime) -> bool:
    return (await threads.turns("t", runtime=runtime))[-1]["status"] == "done"


async def _changed(runtime: Runtime) -> bool:
    return bool(one(runtime, "select sum(n) from items"))


async def _work(runtime: Runtime, until: Callable[[], Awaitable[bool]]) -> None:
    """Let a worker work at once on what waits, until a condition holds."""
    with admin(runtime) as conn:
        conn.execute("update agents.open_work set ready_at = now()")
    worker = Worker(runtime)
    task = asyncio.create_task(worker.run())
    for _ in range(400):
        if await until():
            break
        await asyncio.sleep(0.05)
    worker.stop()
    await task


async def test_in_a_window_of_two_approvers_even_one_row_needs_two_people_and_one_yes_of_before_is_not_enough(
    shop: Runtime,
) -> None:
    window = with_settings(shop, freeze=f"{NOW} approvers=2")
    result = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False, runtime=window)
    assert result["status"] == "refused", "nobody is named who could be the second"
    before = await ask(SOME, shop)
    await name_people(shop)
    await human_approval_queue.decide(before, "approve", decided_by="bo", runtime=shop)
    assert not (await safe_executor.run_approved(before, runtime=window))["success"]
    number = await ask(ONE, window)
    assert (await human_approval_queue.get(number, runtime=shop)).votes_needed == 2
    await human_approval_queue.decide(number, "approve", decided_by="bo", runtime=shop)
    assert (await safe_executor.run_approved(number, runtime=window))["status"] == "waiting"
    await human_approval_queue.decide(number, "approve", decided_by="cy", runtime=shop)
    assert (await safe_executor.run_approved(number, runtime=window))["success"]
    assert one(shop, "select sum(n) from items") == 1
    assert (await safe_executor.run_approved(before, runtime=shop))["success"]


async def test_changes_of_tables_need_a_fresh_backup_when_they_are_asked_about_and_when_they_run(
    shop: Runtime, tmp_path: Path
) -> None:
    told = tmp_path / "newest"
    guarded = with_settings(shop, recovery_max_age=24, recovery_command=f"cat {told}")
    told.write_text(age(25))
    refused = await safe_executor.execute("execute_sql", {"sql": DDL}, wait=False, runtime=guarded)
    assert refused["status"] == "refused", refused
    assert "younger than 24 h" in refused["error"]
    await ask(SOME, guarded)  # a change of rows needs none
    told.write_text(age(1) + "\nmore\n")
    number = await ask(DDL, guarded)
    preview = (await human_approval_queue.get(number, runtime=shop)).preview
    assert any(text.startswith("Recovery point: the newest backup is of 20") for text in preview.conditions)
    await human_approval_queue.decide(number, "approve", runtime=shop)
    told.write_text(age(30))
    waits = await safe_executor.run_approved(number, runtime=guarded)
    assert not waits["success"]
    assert "younger than 24 h" in waits["error"]
    told.write_text(age(0.1))
    assert (await safe_executor.run_approved(number, runtime=guarded))["success"]
    assert one(shop, "select count(*) from information_schema.columns where table_name = 'items'") == 3


@pytest.mark.parametrize(
    "command",
    [
        "",
        "/no/such/program",
        "false",
        printing(""),
        printing("yesterday"),
        printing("2026-11-29T10:00:00"),
        printing("2099-01-01T00:00:00Z"),
        printing("0001-01-01T00:00:00+14:00"),
        "sh -c 'yes | head -c 9000000; exit 0'",
        f"sh -c 'echo {age(0)}; exit 3'",
        "sh -c 'sleep 60 & sleep 60'",
        f"{printing(age(0))} ; true" + " '",
        "echo $(date)",
    ],
    ids=map(str, range(13)),
)
async def test_a_backup_that_nobody_can_be_sure_of_is_none(
    shop: Runtime, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_SECONDS", 1.5)
    if command.endswith(" '"):
        with pytest.raises(ValueError, match="quotation mark"):
            with_settings(shop, recovery_command=command)
        return
    guarded = with_settings(shop, recovery_max_age=24, recovery_command=command)
    result = await safe_executor.execute("execute_sql", {"sql": DDL}, wait=False, runtime=guarded)
    assert result["status"] == "refused", result
    assert "AGENT_RECOVERY" in result["error"]
    assert await human_approval_queue.history(runtime=shop) == []


def test_what_is_critical_or_may_change_tables_needs_a_recovery_point() -> None:
    needs = [
        ("HIGH", ["write:alter-table"]), ("HIGH", ["write:create-index"]), ("CRITICAL", ["write:update"]), ("HIGH", ["write:call"]),
        ("HIGH", ["function:public.bump"]), ("HIGH", ["write:into"]), ("HIGH", ["write:update", "function:public.bump"]),
    ]  # fmt: skip
    assert all(needs_recovery_point(risk, reasons) for risk, reasons in needs)
    rows = [
        ("HIGH", ["write:update", "no-where", "rows:many"]),
        ("LOW", ["write:insert", "one-row"]),
        ("HIGH", ["lock:rows"]),
    ]
    assert not any(needs_recovery_point(risk, reasons) for risk, reasons in rows)


async def test_more_rows_than_the_bound_are_refused_whoever_approved_them(shop: Runtime) -> None:
    bounded = with_settings(shop, max_changed_rows=2)
    refused = await safe_executor.execute("execute_sql", {"sql": SOME}, wait=False, runtime=bounded)
    assert "AGENT_MAX_CHANGED_ROWS" in refused["error"]
    before = await ask(SOME, shop)
    # What a function changes is not known before it runs.
    by_function = await ask("SELECT bump()", bounded)
    for number in (before, by_function):
        await human_approval_queue.decide(number, "approve", runtime=shop)
        for _ in range(2):
            result = await safe_executor.run_approved(number, runtime=bounded)
            assert result["status"] == "refused", result
            assert "AGENT_MAX_CHANGED_ROWS" in result["error"]
    assert one(shop, "select sum(n) from items") == 0
    assert await ask("UPDATE items SET n = 1 WHERE id < 3", bounded)


async def test_only_a_named_admin_breaks_the_glass_with_a_reason_and_for_a_time(shop: Runtime) -> None:
    with pytest.raises(DecisionRefused, match="named admin"):
        await open_break_glass("nobody is named", runtime=shop)
    await name_people(shop)
    for name in ("bo", "di", "nobody"):
        with pytest.raises(DecisionRefused, match="named admin"):
            await open_break_glass("incident 7", runtime=replace(shop, user=name))
    for reason, minutes in ((" \n", 15), ("incident", 0), ("incident", 241), ("incident", float("nan"))):
        with pytest.raises(InvalidInput):
            await open_break_glass(reason, minutes=minutes, runtime=shop)
    assert await shop.all("select id from agents.break_glass") == []
    with pytest.raises(psycopg.errors.CheckViolation):
        await shop.execute(
            "insert into agents.break_glass (opened_by, reason, expires_at) values ('ada', 'x', now() + interval '1 day')"
        )
    await open_break_glass("incident 7", runtime=shop)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await shop.execute("update agents.break_glass set expires_at = now() + interval '3 hours'")


async def test_break_glass_lifts_the_conditions_and_nothing_else_and_everybody_is_told(shop: Runtime) -> None:
    await name_people(shop)
    guarded = with_settings(
        shop,
        freeze=NOW,
        recovery_max_age=1,
        recovery_command=printing(age(9)),
        refuse="write:delete",
        environment="production",
    )
    waiting = await ask(SOME, shop)
    await human_approval_queue.decide(waiting, "approve", decided_by="bo", runtime=shop)
    assert not (await safe_executor.run_approved(waiting, runtime=guarded))["success"]
    older = await ask(ONE, with_settings(shop, ask_from="LOW"))
    await open_break_glass("incident 7", minutes=5, runtime=guarded)
    told = (await approvals.view(older, runtime=guarded)).conditions
    assert any("incident 7" in text for text in told), "also beside a preview from before"
    assert (await safe_executor.run_approved(waiting, runtime=guarded))["success"]
    number = await ask(DDL, guarded)
    request = await human_approval_queue.get(number, runtime=shop)
    assert request.summary.startswith("[production, break-glass] ")
    assert request.preview.conditions[0] == "Environment: production."
    assert "incident 7" in request.preview.conditions[1]
    assert request.preview.conditions[2].startswith("NO recovery point")
    forbidden = {"sql": "DELETE FROM items WHERE id = 1"}
    assert (await safe_executor.execute("execute_sql", forbidden, wait=False, runtime=guarded))["status"] == "refused"
    await human_approval_queue.decide(number, "approve", decided_by="bo", runtime=shop)
    await controls.set_read_only(True, runtime=shop)
    with pytest.raises(AgentStopped):
        await controls.check(writing=True, runtime=guarded)
    assert not (await safe_executor.run_approved(number, runtime=guarded))["success"]
    await controls.set_read_only(False, runtime=shop)
    notice, _ = (await human_approval_queue.notices(runtime=shop))[0]
    assert (notice.kind, notice.approval_id, notice.recipients) == ("break-glass", None, ("ada", "bo", "cy", "di"))
    assert "incident 7" in notice.text
    assert await end_break_glass(runtime=replace(shop, user="di"))
    assert not await end_break_glass(runtime=shop)
    assert not (await safe_executor.run_approved(number, runtime=guarded))["success"]
    report = await audit_log.verify(runtime=shop)
    assert report.whole, report.findings
    with admin(shop) as conn:
        events = conn.execute(
            "select event, content ->> 'opened_by', content ->> 'ended_by' from agents.audit_log where subject = 'break_glass' order by sequence"
        ).fetchall()
    assert events == [("inserted", "ada", None), ("updated", "ada", "di")]


async def test_break_glass_ends_by_itself_for_another_tenant_and_with_the_admin(shop: Runtime) -> None:
    await name_people(shop)
    await people.add("eve", ["admin"], runtime=shop)
    frozen = with_settings(shop, freeze=NOW)
    await open_break_glass("a moment", runtime=shop)
    await ask(ONE, with_settings(frozen, ask_from="LOW"))
    with admin(shop) as conn:
        conn.execute("update agents.break_glass set opened_at = now() - interval '1 h', expires_at = now()")
    with pytest.raises(ConditionNotMet):
        await _propose(frozen)
    await open_break_glass("incident 7", runtime=replace(shop, user="eve"))
    with use_runtime(frozen.for_tenant("b")), pytest.raises(ConditionNotMet):
        await _propose(frozen.for_tenant("b"))
    await people.remove("eve", runtime=shop)
    with pytest.raises(ConditionNotMet):
        await _propose(frozen)


async def _propose(runtime: Runtime) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": ONE}, wait=False, runtime=runtime)
    if "AGENT_FREEZE" in result.get("error", ""):
        raise ConditionNotMet(result["error"])
    raise AssertionError(result)


async def test_a_program_that_was_started_for_the_backup_does_not_live_on(
    shop: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_SECONDS", 0.5)
    noted = tmp_path / "pid"
    command = f"sh -c 'sleep 60 & echo $! > {noted}; wait'"
    point = await recovery.newest_backup(with_settings(shop, recovery_command=command))
    assert point.at is None
    for _ in range(100):
        if not _lives(int(noted.read_text())):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it lives on")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_refusal_of_rows_says_so_to_an_edit_too(shop: Runtime) -> None:
    bounded = with_settings(shop, max_changed_rows=2)
    number = await ask("UPDATE items SET n = 1 WHERE id < 3", bounded)
    with pytest.raises(ActionRefused, match="AGENT_MAX_CHANGED_ROWS"):
        await safe_executor.decide(number, "edit", arguments={"sql": SOME}, runtime=bounded)
