"""Count the files of `src/agent` that a question, a change and a memory pass through: a reader opens no more than these.

A file counts if one of its functions runs. The built-in model and the test helpers do not count.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType

import agent
from agent.chat import chat
from agent.demo.application import fill_demo
from agent.learning.memory import agent_memory
from agent.learning.semantic_search import semantic_search
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client
from benchmarks.report import Report

ROOT = Path(agent.__file__).parent
LEFT_OUT = ("testing/", "demo/", "providers/offline_model/")
READ = "SELECT count(*) FROM public.orders"
WRITE = "UPDATE clients SET status = 'paused' WHERE id < 4"


@contextmanager
def files_entered() -> Iterator[set[str]]:
    """Collect the files whose functions run inside the `with` block, in every thread."""
    found: set[CodeType] = set()

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found.add(frame.f_code)

    names: set[str] = set()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield names
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        for code in found:
            file = Path(code.co_filename)
            if code.co_name != "<module>" and file.is_relative_to(ROOT):
                name = str(file.relative_to(ROOT))
                if not name.startswith(LEFT_OUT):
                    names.add(name)


async def ask(question: str, runtime: Runtime) -> None:
    """Run one turn, to its end or until it asks a human."""
    async for _ in chat.ask(question, thread_id=question.replace(" ", "-"), runtime=runtime):
        pass


async def read(runtime: Runtime) -> None:
    """Follow a question to its answer."""
    await ask("How many orders are there", runtime)


async def write(runtime: Runtime) -> None:
    """Follow a change from its proposal and a human's approval to its row in the log."""
    await ask("Pause the first clients", runtime)
    (waiting,) = (await approvals.list_requests(runtime=runtime)).approvals
    done = await approvals.decide_and_run(
        waiting.approval.id, HumanDecision(decision="approve"), via="benchmark", runtime=runtime
    )
    assert done.result is not None
    assert done.result["success"], done.result


async def save(runtime: Runtime) -> None:
    """Save a memory."""
    await agent_memory.save("status 3 means paused", kind="fact", runtime=runtime)


async def search(runtime: Runtime) -> None:
    """Search memories."""
    assert await semantic_search.search_memories("what does status 3 mean", runtime=runtime)


async def measure(report: Report) -> None:
    """Count the files of each trip, on its second run: the first one opens pools and learns the schema."""
    cluster = Cluster()
    try:
        script = [call("execute_sql", sql=READ), "12.", call("execute_sql", sql=WRITE), "Done."]
        for trip in (read, write, save, search):
            settings = cluster.database(cluster.template("demo", fill_demo))
            async with running(settings, model=scripted_client(script[:2] * 2)) as runtime:
                await ask("How many clients are there", runtime)
                used = replace(runtime, model=scripted_client(script[2:] if trip is write else script[:2]))
                with files_entered() as files:
                    await trip(used)
            report.note(f"{trip.__name__}: {len(files)} files: {', '.join(sorted(files))}")
    finally:
        cluster.close()
