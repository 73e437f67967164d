"""Let dying processes race in shared conversations: new messages, repeated resumes, decisions, edits, changing rules.

Each process opens the agent with rules of its own (the risk from which a human is asked, and what is refused). It asks,
resumes, decides and runs left-over actions on a few shared threads, until it dies at some round trip or has finished. The
model always adds one row, and the application keeps every row that was added.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import signal
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime
from agent.settings import Settings
from agent.testing.scripted_model import call, scripted_client
from benchmarks.races import application_database, die_at_any_round_trip, own_database, passed_on

THREADS, PROCESSES = 3, 2
_HELD = (("human_approval_queue", "claimed_until"), ("threads", "lease_until"))
_FACTS = """
select (select count(*) from agents.agent_execution_log where action = 'execute_sql' and status = 'succeeded') as logged,
       (select count(*) from agents.agent_execution_log e join agents.human_approval_queue q on q.id = e.approval_id
         where e.status = 'succeeded' and q.status <> 'approved') as unauthorised,
       (select count(*) from agents.human_approval_queue q where q.status = 'approved'
           and not exists (select from agents.agent_execution_log e where e.approval_id = q.id
                            and e.status in ('succeeded', 'refused'))) as lost,
       (select count(*) from agents.tool_calls c join agents.human_approval_queue q using (tenant_id, thread_id, turn, round, ordinal)
          join agents.agent_execution_log e on e.approval_id = q.id
         where q.status <> 'edited' and c.status = 'done' and c.result->>'status' is distinct from e.status) as untold,
       (select count(*) from agents.agent_execution_log where status = 'refused') as refused,
       (select count(*) from agents.turns) as turns
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a race. `effects` and `logged` must be the same number, and the next three 0."""

    effects: int
    logged: int
    unauthorised: int
    lost: int
    untold: int
    refused: int
    turns: int
    kills: int
    seconds: float

    @property
    def wrong(self) -> int:
        return abs(self.effects - self.logged) + self.unauthorised + self.lost + self.untold


def fill(conn: psycopg.Connection) -> None:
    """Create the application: a table that keeps every effect."""
    conn.execute("create table public.effects (id bigint generated always as identity primary key, note text)")


async def converse(runtime: Runtime, *, processes: int, seed: int = 7) -> Outcome:
    """Run that many processes, two at a time, and return the result."""
    started, chance, kills = time.monotonic(), random.Random(seed), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.turns"])
    alive: list[Any] = []
    with own_database(runtime) as conn:
        for left in reversed(range(processes)):
            process = context.Process(
                target=_process, args=(passed_on(runtime.settings), _rules(chance), chance.random())
            )
            process.start()
            alive.append(process)
            while len(alive) >= (PROCESSES if left else 1):
                await asyncio.sleep(0.05)
                _time_passes(conn)
                kills += sum(one.exitcode == -signal.SIGKILL for one in alive)
                assert all(one.exitcode in {None, 0, -signal.SIGKILL} for one in alive), [one.exitcode for one in alive]
                alive = [one for one in alive if one.exitcode is None]
        for table, column in _HELD:  # all claims and leases run out, because no process is alive
            conn.execute(f"update agents.{table} set {column} = now() - interval '1 s' where {column} > now()")
        trusting = runtime.settings.model_copy(update={"refuse": "", "ask_from": "LOW"})
        last = await open_runtime(trusting, model=_model())
        for thread in range(THREADS):
            await _quietly(chat.finish(f"t{thread}", runtime=last))
        await safe_executor.execute_left_over(runtime=last)
        await last.close()
        row = conn.execute(_FACTS).fetchone()
    with application_database(runtime) as conn:
        added = conn.execute("select count(*) from public.effects").fetchone()
    assert row is not None
    assert added is not None
    names = ("logged", "unauthorised", "lost", "untold", "refused", "turns")
    return Outcome(
        effects=added[0], **dict(zip(names, row, strict=True)), kills=kills, seconds=time.monotonic() - started
    )


def _time_passes(conn: psycopg.Connection) -> None:
    """Let some claims and leases run out, as those of dead processes do."""
    for table, column in _HELD:
        conn.execute(
            f"update agents.{table} set {column} = now() - interval '1 s' where ctid in"
            f" (select ctid from agents.{table} where {column} > now() and random() < 0.05 for update skip locked)"
        )


def _rules(chance: random.Random) -> dict[str, str]:
    return {
        "ask_from": chance.choice(["LOW", "HIGH", "CRITICAL"]),
        "refuse": chance.choice(["", "", "", "write:insert"]),
    }


def _model() -> Any:
    def step(messages: list[Any]) -> Any:
        if messages[-1].type == "tool":
            return "Added."
        return call("execute_sql", sql="insert into effects (note) values ('one more')")

    return scripted_client([step], repeat_last=True)


def _process(values: dict[str, Any], rules: dict[str, str], seed: float) -> None:
    asyncio.run(_live(Settings(_env_file=None, **{**values, **rules}), random.Random(seed)))


async def _live(settings: Settings, chance: random.Random) -> None:
    runtime = await open_runtime(settings, model=_model())
    die_at_any_round_trip(0.002, chance)
    for _ in range(12):
        thread = f"t{chance.randrange(THREADS)}"
        await asyncio.gather(*(_quietly(_something(thread, chance, runtime)) for _ in range(2)))
    await runtime.close()


async def _something(thread: str, chance: random.Random, runtime: Runtime) -> None:
    what = chance.choice(["ask", "ask", "resume", "decide", "decide", "left over"])
    if what == "ask":
        await chat.answer("Add one, called 'one more'", thread_id=thread, runtime=runtime)
    elif what == "resume":
        await chat.finish(thread, runtime=runtime)
    elif what == "left over":
        await safe_executor.execute_left_over(runtime=runtime)
    for pending in await human_approval_queue.get_pending_approvals(runtime=runtime):
        decision = chance.choice(["approve", "approve", "reject", "edit"])
        edited = {"sql": "insert into effects (note) values ('another one')"} if decision == "edit" else None
        await safe_executor.decide(pending["id"], decision, arguments=edited, runtime=runtime)
        if chance.random() < 0.5:
            await safe_executor.run_approved(pending["id"], runtime=runtime)


async def _quietly(work: Any) -> None:
    """Await `work` and ignore the agent's errors: busy threads and late decisions are normal in a race."""
    try:
        await work
    except AgentError:
        await asyncio.sleep(0.01)
