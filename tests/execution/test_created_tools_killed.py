"""kill -9 of the agent in the middle of a tool: its effects happen once, none is lost, no process stays."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
from tests.cases.created_tool_cases import proposal

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.threads import RequestedCall, threads

KILLS = 6
EFFECTS = 4
CODE = """
import random

def run(effects: int) -> list[float]:
    made = []
    for number in range(effects):
        seen = query_data(table="counters", limit=50)["row_count"]
        execute_sql(sql=f"update counters set n = n + 1 where id = {number}")
        made.append(random.random() + seen)
    return made
"""


async def made_and_called(runtime: Runtime) -> None:
    answers = [{"function": "query_data", "value": {"row_count": 1}}, {"function": "execute_sql", "value": {}}]
    arguments: dict[str, Any] = proposal(
        "count_up",
        parameters={"type": "object", "properties": {"effects": {"type": "integer"}}, "required": ["effects"]},
        code=CODE,
        tests=[{"code": "assert len(run(effects=1)) == 1", "answers": answers}],
        capabilities=["query_data", "execute_sql"],
    )
    asked = await safe_executor.execute("create_new_tool", arguments, wait=False)
    await human_approval_queue.decide(asked["approval_id"], "approve")
    assert (await safe_executor.run_approved(asked["approval_id"]))["success"]
    await threads.begin_turn("t", "Count up.", owner=uuid4())
    await threads.store_round("t", 1, 1, [RequestedCall(tool="count_up", arguments={"effects": EFFECTS}, call_id="x")])


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


async def test_however_often_it_is_killed_every_effect_happens_once_and_the_tool_ends(runtime: Runtime) -> None:
    settings = runtime.settings
    url, secret = settings.database_url.get_secret_value(), settings.secret.get_secret_value()
    program = [
        sys.executable,
        str(Path(__file__).parents[1] / "cases" / "killed_tools.py"),
        str(settings.home),
        url,
        secret,
    ]
    chance = random.Random(11)
    left: list[psutil.Process] = []
    early = 0
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table public.counters (id int primary key, n int not null)")
        conn.execute("insert into public.counters select n, 0 from generate_series(0, 9) n")
        await made_and_called(runtime)
        for _ in range(KILLS):
            conn.execute(
                "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
            )
            process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            await asyncio.sleep(chance.uniform(0.02, 0.35))
            mine = family(psutil.Process(process.pid))
            left += mine
            process.kill()
            process.wait()
            process.stdout.close()
            early += conn.execute("select count(*) from agents.tool_calls where status <> 'done'").fetchone()[0]
        await asyncio.sleep(0.2)
        conn.execute(
            "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
        )
        done = await asyncio.to_thread(subprocess.run, program, check=True, stdout=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0
        counters = [n for (n,) in conn.execute("select n from public.counters order by id").fetchall()]
        ((result,),) = conn.execute("select result from agents.tool_calls").fetchall()
        asked = conn.execute("select count(*) from agents.human_approval_queue where action = 'execute_sql'").fetchone()
    assert result["success"], result
    assert counters == [1] * EFFECTS + [0] * (10 - EFFECTS)
    assert len(result["data"]) == EFFECTS
    assert asked[0] == EFFECTS
    assert early >= 3  # kills that came before the tool had its result
    deadline = time.monotonic() + 5
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)
