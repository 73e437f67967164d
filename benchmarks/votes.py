"""Let 16 people in four processes decide each request at the same moment: votes, edits, and decisions just before its end.

An administrator's connection counts the results from the agent's own rows.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings

PROCESSES, PEOPLE = 4, 4
Kind = Literal["vote", "edit", "expiry"]
_WRONG = {
    # Two different people must have approved a CRITICAL request, with one row for each.
    "vote": """
select count(*) from agents.human_approval_queue q
 where risk_level = 'CRITICAL' and not (status = 'approved' and cardinality(approved_by) = 2 and approved_by[1] <> approved_by[2]
   and (select array_agg(d.decided_by order by d.id) from agents.approval_decisions d where d.approval_id = q.id) = approved_by)""",
    # One edit must have replaced the request and been executed once, and the request itself never.
    "edit": """
select count(*) from agents.human_approval_queue q
 where replaces is null and not (status = 'edited'
   and (select count(*) from agents.human_approval_queue n where n.replaces = q.id and n.status = 'approved') = 1
   and (select array_agg(e.status) from agents.agent_execution_log e where e.approval_id = q.id) = '{edited}'
   and (select array_agg(e.status) from agents.agent_execution_log e join agents.human_approval_queue n on n.id = e.approval_id
         where n.replaces = q.id) = '{succeeded}')""",
    # The request must be decided before its end or expired, and one row of the log must say the same.
    "expiry": """
select count(*) from agents.human_approval_queue q
 where not (case status when 'rejected' then decided_at < expires_at when 'expired' then decided_at >= expires_at else false end
   and (select array_agg(e.status) from agents.agent_execution_log e where e.approval_id = q.id) = array[q.status])""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """The result of a race: the number of requests that ended wrongly, and the number for each final status."""

    wrong: int
    statuses: dict[str, int]


def fill(conn: psycopg.Connection) -> None:
    """Create the application: a table to change."""
    conn.execute("create table public.items (id int primary key, note text)")
    conn.execute("insert into public.items select n from generate_series(1, 2000) n")


async def race(runtime: Runtime, kind: Kind, rounds: int, *, seed: int = 7) -> Raced:
    """Let 16 people decide each of `rounds` requests at once."""
    if kind == "vote":
        await people.add(runtime.user, ["admin"], runtime=runtime)
        for name in _names():
            await people.add(name, ["approver"], runtime=runtime)
    asked = [await _ask(kind, number, runtime) for number in range(1, rounds + 1)]
    context = multiprocessing.get_context("forkserver")
    barrier = context.Barrier(PROCESSES + 1)
    values = _passed_on(runtime.settings)
    processes = [
        context.Process(target=_decider, args=(values, kind, asked, place, barrier), daemon=True)
        for place in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    await asyncio.to_thread(_start_each, runtime, kind, asked, barrier, random.Random(seed))
    for process in processes:
        await asyncio.to_thread(process.join)
    if any(process.exitcode for process in processes):
        raise RuntimeError("a decider failed")
    await human_approval_queue.get_pending_approvals(runtime=runtime)  # expires undecided requests
    with _own(runtime) as conn:
        (wrong,) = conn.execute(_WRONG[kind]).fetchone()
        statuses = conn.execute("select status, count(*) from agents.human_approval_queue group by 1").fetchall()
    return Raced(wrong=wrong, statuses=dict(statuses))


def _start_each(runtime: Runtime, kind: Kind, asked: Sequence[int], barrier: Any, chance: random.Random) -> None:
    with _own(runtime) as conn:
        for approval in asked:
            if kind == "expiry":
                conn.execute(
                    "update agents.human_approval_queue set expires_at = clock_timestamp() + %s * interval '1 ms' where id = %s",
                    [chance.uniform(5, 80), approval],
                )
            barrier.wait(60)


def _names(place: int | None = None) -> list[str]:
    places = range(PROCESSES) if place is None else [place]
    return [f"person {one}.{number}" for one in places for number in range(PEOPLE)]


async def _ask(kind: Kind, number: int, runtime: Runtime) -> int:
    if kind == "edit":
        sql = f"UPDATE items SET note = 'asked' WHERE id = {number}"
        return (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime))["approval_id"]
    risk = "CRITICAL" if kind == "vote" else "LOW"
    request = await human_approval_queue.request(
        "act", {}, risk_level=risk, executable=False, timeout=3600, runtime=runtime
    )
    return request.id


def _decider(values: str, kind: Kind, asked: Sequence[int], place: int, barrier: Any) -> None:
    asyncio.run(_decide_each(Settings(_env_file=None, **json.loads(values)), kind, asked, place, barrier))


async def _decide_each(settings: Settings, kind: Kind, asked: Sequence[int], place: int, barrier: Any) -> None:
    runtime = await open_runtime(settings)
    with use_runtime(runtime):
        for number, approval in enumerate(asked, start=1):
            await asyncio.to_thread(barrier.wait, 60)
            await asyncio.gather(*(_decide(kind, number, approval, name) for name in _names(place)))
    await runtime.close()


async def _decide(kind: Kind, number: int, approval: int, name: str) -> None:
    decision = {"vote": "approve", "edit": "edit", "expiry": "reject"}[kind]
    arguments = {"sql": f"UPDATE items SET note = '{name}' WHERE id = {number}"} if kind == "edit" else None
    try:
        decided = await safe_executor.decide(approval, decision, decided_by=name, arguments=arguments)
    except AgentError:
        return
    if kind == "edit":
        await safe_executor.run_approved(decided.id)


def _passed_on(settings: Settings) -> str:
    values = {"home": str(settings.home), "user": settings.user}
    for name in ("database_url", "secret"):
        values[name] = getattr(settings, name).get_secret_value()
    return json.dumps(values)


def _own(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)
