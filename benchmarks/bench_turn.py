"""Measure a turn with one `execute_sql` read beside a bare `create_agent` that runs the same SQL, and long threads."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agent.chat import Answered, chat
from agent.demo.application import fill_demo
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import ScriptedChatModel, call, scripted_client
from benchmarks.report import Report

SQL = "SELECT status, count(*) FROM public.orders GROUP BY status"
TURNS = 120
LONG_THREAD = 200


def script(turns: int) -> list[Any]:
    return [
        step for _ in range(turns) for step in (call("execute_sql", sql=SQL), "There are some orders of each status.")
    ]


async def one_turn(runtime: Runtime, question: str, thread_id: str) -> None:
    async for event in chat.ask(question, thread_id=thread_id, runtime=runtime):
        if isinstance(event, Answered):
            assert event.error is None, event.error
            assert event.sources["statements"][0]["success"], event.sources


async def ours(runtime: Runtime, turns: int) -> list[float]:
    times = []
    for number in range(turns):
        started = time.perf_counter()
        await one_turn(runtime, f"How many orders are there of each status? ({number})", f"thread-{number}")
        times.append(time.perf_counter() - started)
    return times


async def bare(url: str, turns: int) -> list[float]:
    async with AsyncConnectionPool(
        url,
        min_size=1,
        max_size=4,
        open=False,
        kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": 0},
    ) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()

        @tool
        async def execute_sql(sql: str) -> list[dict[str, Any]]:
            """Run SQL."""
            async with pool.connection() as conn:
                return await (await conn.execute(sql)).fetchall()

        agent = create_agent(ScriptedChatModel(script=script(turns)), tools=[execute_sql], checkpointer=saver)
        times = []
        for number in range(turns):
            started = time.perf_counter()
            config = {"configurable": {"thread_id": f"thread-{number}"}}
            message = {"messages": [("user", f"How many orders are there of each status? ({number})")]}
            async for _ in agent.astream(
                message, config, stream_mode=["messages", "updates", "custom"], durability="sync"
            ):
                pass
            times.append(time.perf_counter() - started)
    return times


async def measure(report: Report) -> None:
    cluster = Cluster()
    try:
        settings = cluster.database(cluster.template("demo", fill_demo))
        turns = TURNS + 5
        bare_url = settings.database_url.get_secret_value()
        runtime = await open_runtime(settings, model=scripted_client(script(turns + LONG_THREAD + 5)))
        mine, theirs = [], []
        # In turns, so that a slow moment of the machine meets both.
        for _ in range(5):
            theirs += (await bare(bare_url, TURNS // 5 + 1))[1:]
            mine += (await ours(runtime, TURNS // 5 + 1))[1:]
        ratio = median(mine) / median(theirs)
        report.bar(
            "turn with one read / create_agent",
            bar="<= 2.0x",
            reached=f"{ratio:.2f}x ({median(mine) * 1000:.1f} ms / {median(theirs) * 1000:.1f} ms)",
            ok=ratio <= 2,
        )
        await long_thread(runtime, report)
        await runtime.close()
    finally:
        cluster.close()


SIZES = """
SELECT (SELECT count(*) FROM agents_checkpoints.checkpoints) AS checkpoints,
       (SELECT coalesce(sum(pg_column_size(b.*)), 0) FROM agents_checkpoints.checkpoint_blobs b) AS blobs,
       (SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM agents.turns t WHERE thread_id = 'long')
     + (SELECT coalesce(sum(pg_column_size(c.*)), 0) FROM agents.tool_calls c WHERE thread_id = 'long') AS rows
"""


async def long_thread(runtime: Runtime, report: Report) -> None:
    runtime = runtime.for_tenant("long-thread")
    times, sizes = [], {}
    for turn in range(1, LONG_THREAD + 1):
        started = time.perf_counter()
        await one_turn(runtime, f"How many orders are there of each status? ({turn})", "long")
        times.append(time.perf_counter() - started)
        if turn in (100, 200):
            async with runtime.transaction() as conn:
                sizes[turn] = await (await conn.execute(SIZES)).fetchone()
    first, last = median(times[1:11]), median(times[-10:])
    report.bar(
        "turn 200 / turn 1 of a thread",
        bar="<= 1.3x",
        reached=f"{last / first:.2f}x ({last * 1000:.1f} ms / {first * 1000:.1f} ms)",
        ok=last / first <= 1.3,
    )
    growth = sizes[200]["rows"] / sizes[100]["rows"]
    report.bar(
        "rows kept after 200 / 100 turns (linear: 2.0x)",
        bar="<= 2.2x",
        reached=f"{growth:.2f}x ({sizes[200]['rows'] / 1000:.0f} kB); checkpoints {sizes[100]['blobs'] / 1000:.0f} -> {sizes[200]['blobs'] / 1000:.0f} kB",
        ok=growth <= 2.2 and sizes[200]["blobs"] <= 2 * sizes[100]["blobs"] + 100_000,
    )
