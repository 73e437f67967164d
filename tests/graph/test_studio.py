"""LangGraph Studio's server, for real: a thread runs into an approval, and the queue's row decides, wherever it is decided."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime
from agent.testing.openai_server import OpenAIServer, text, tool_calls
from agent.threads import threads
from agent.worker import Worker

ROOT = Path(__file__).parents[2]
CHANGE = tool_calls(("execute_sql", {"sql": "update public.accounts set state = 'closed' where id = 2"}))


class Studio:
    """A client of the server's HTTP API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def ask(self, thread: str, question: str) -> Any:
        message = {"messages": [{"role": "user", "content": question}]}
        return await self.post(f"/threads/{thread}/runs/wait", assistant_id="agent", input=message)

    async def resume(self, thread: str, value: Any) -> Any:
        return await self.post(f"/threads/{thread}/runs/wait", assistant_id="agent", command={"resume": value})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def serving(runtime: Runtime, folder: Path, model: OpenAIServer) -> AsyncIterator[Studio]:
    """`langgraph dev` on this repository's langgraph.json, killed with -9 in the end."""
    settings, port = runtime.settings, free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "AGENT_HOME": str(folder / "home"),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "AGENT_SECRET": settings.secret.get_secret_value(),
        "AGENT_MODEL": "openai:scripted",
        "AGENT_EMBEDDER": "hashing:384",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": model.url,
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    }
    command = [
        str(Path(sys.executable).with_name("langgraph")),
        "dev",
        "--no-browser",
        "--no-reload",
        "--port",
        str(port),
    ]
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await wait_until_it_answers(client, process, folder / "server.log")
            yield Studio(client)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


@pytest.fixture
def folder(runtime: Runtime, tmp_path: Path) -> Path:
    """A fresh application that counts what is done to it, and a folder to serve from."""
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            """
            create table public.accounts (id int primary key, state text not null);
            insert into public.accounts values (1, 'open'), (2, 'open');
            create table public.effects (account int);
            create function public.count_effect() returns trigger language plpgsql as $$
              begin insert into public.effects values (new.id); return new; end $$;
            create trigger counted after update on public.accounts for each row execute function public.count_effect();
            grant insert on public.effects to agent_actor;
            """
        )
    shutil.copy(ROOT / "langgraph.json", tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / ".env").touch()
    return tmp_path


@pytest.fixture
async def studio(runtime: Runtime, folder: Path) -> AsyncIterator[Studio]:
    """`langgraph dev` on a fresh database, with a scripted model over HTTP."""
    async with OpenAIServer([CHANGE, text("Account 2 is closed.")]) as model, serving(runtime, folder, model) as studio:
        yield studio


async def wait_until_it_answers(client: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            if (await client.get("/ok")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.25)
    raise AssertionError(f"langgraph dev does not answer:\n{log.read_text()}")


def closed(runtime: Runtime) -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select id from public.accounts where state = 'closed'")]


async def test_a_studio_thread_waits_for_approval_and_resuming_it_decides_the_row(
    studio: Studio, runtime: Runtime
) -> None:
    (assistant,) = await studio.post("/assistants/search", graph_id="agent")
    schemas = (await studio.client.get(f"/assistants/{assistant['assistant_id']}/schemas")).json()
    assert list(schemas["input_schema"]["properties"]) == ["messages"]  # Studio's form
    thread = (await studio.post("/threads"))["thread_id"]
    state = await studio.ask(thread, "Close account 2")
    (asked,) = state["__interrupt__"]
    assert asked["value"]["action_requests"][0]["name"] == "execute_sql"
    assert asked["value"]["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    assert asked["value"]["preview"]
    assert closed(runtime) == []

    state = await studio.resume(thread, {"decisions": [{"type": "approve"}]})
    assert state["messages"][-1]["content"] == "Account 2 is closed."
    assert closed(runtime) == [2]
    (row,) = await human_approval_queue.history()
    assert (row.status, row.decided_via) == ("approved", "graph")


async def test_edits_rejections_and_answers_count_in_studio_as_they_do_anywhere(runtime: Runtime, folder: Path) -> None:
    other = {"sql": "update public.accounts set state = 'closed' where id = 1"}
    decisions = [
        {"type": "edit", "edited_action": {"name": "execute_sql", "args": other}},
        {"type": "reject", "message": "not this one"},
        {"type": "respond", "message": "It was closed by phone."},
    ]
    async with (
        OpenAIServer([answer for word in ("one", "two", "three") for answer in (CHANGE, text(word))]) as model,
        serving(runtime, folder, model) as studio,
    ):
        for decision, word in zip(decisions, ("one", "two", "three"), strict=True):
            thread = (await studio.post("/threads"))["thread_id"]
            await studio.ask(thread, "Close account 2")
            state = await studio.resume(thread, {"decisions": [decision]})
            assert state["messages"][-1]["content"] == word
            assert closed(runtime) == [1]
    assert sorted(row.status for row in await human_approval_queue.history()) == [
        "answered",
        "approved",
        "edited",
        "rejected",
    ]


async def test_a_decision_taken_on_the_command_line_is_collected_by_the_studio_thread(
    studio: Studio, runtime: Runtime
) -> None:
    thread = (await studio.post("/threads"))["thread_id"]
    state = await studio.ask(thread, "Close account 2")
    approval = state["__interrupt__"][0]["value"]["approval_id"]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "AGENT_HOME": str(runtime.settings.home),
        "DATABASE_URL": runtime.settings.database_url.get_secret_value(),
        "AGENT_SECRET": runtime.settings.secret.get_secret_value(),
        "AGENT_USER": "boss",
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "agent.cli.main", "approvals", "approve", str(approval)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert closed(runtime) == [2]

    # Whatever the thread is resumed with now, the row has the last word.
    state = await studio.resume(thread, {"type": "reject"})
    assert state["messages"][-1]["content"] == "Account 2 is closed."
    assert closed(runtime) == [2]
    (row,) = await human_approval_queue.history()
    assert (row.status, row.decided_by) == ("approved", "boss")


async def test_a_worker_goes_on_with_a_decided_thread_in_the_server(studio: Studio, runtime: Runtime) -> None:
    thread = (await studio.post("/threads"))["thread_id"]
    state = await studio.ask(thread, "Close account 2")
    approval = state["__interrupt__"][0]["value"]["approval_id"]
    settings = runtime.settings.model_copy(update={"langgraph_api_url": str(studio.client.base_url)})
    worker = Worker(replace(runtime, settings=settings, cached={}))
    running = asyncio.create_task(worker.run())
    await approvals.decide(approval, HumanDecision(decision="approve"), via="slack", runtime=runtime)
    for _ in range(300):
        found = (await studio.client.get(f"/threads/{thread}")).json()
        if found["status"] == "idle" and not found["interrupts"]:
            break
        await asyncio.sleep(0.1)
    worker.stop()
    await running
    assert (found["status"], found["values"]["messages"][-1]["content"]) == ("idle", "Account 2 is closed.")
    assert effects(runtime) == [2]
    assert (await threads.turns(thread, runtime=runtime))[-1]["status"] == "done"


def effects(runtime: Runtime) -> list[int]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        return [row[0] for row in conn.execute("select account from public.effects")]


async def test_resumes_that_race_and_a_server_that_is_killed_between_them_have_one_effect(
    runtime: Runtime, folder: Path
) -> None:
    approve = {"decisions": [{"type": "approve"}]}
    async with OpenAIServer([CHANGE, *[text("Account 2 is closed.")] * 20]) as model:
        async with serving(runtime, folder, model) as studio:
            thread = (await studio.post("/threads"))["thread_id"]
            await studio.ask(thread, "Close account 2")
            racing = [asyncio.create_task(studio.resume(thread, approve)) for _ in range(4)]
            while not await decided(runtime):
                await asyncio.sleep(0.01)
        await asyncio.gather(*racing, return_exceptions=True)
        # The dead server's claim and its hold on the thread run out.
        with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
            conn.execute(
                "update agents.human_approval_queue set claimed_until = now() - interval '1 s' where claim is not null"
            )
            conn.execute("update agents.threads set lease_until = now() - interval '1 s'")
        async with serving(runtime, folder, model) as studio:
            await studio.post("/threads", thread_id=thread, if_exists="do_nothing")
            resumes = [
                studio.resume(thread, approve),
                studio.ask(thread, "Go on"),
                studio.resume(thread, {"type": "reject"}),
            ]
            await asyncio.gather(*resumes, return_exceptions=True)
            for _ in range(200):
                if effects(runtime):
                    break
                await asyncio.sleep(0.1)
    assert effects(runtime) == [2]
    (row,) = [row for row in await human_approval_queue.history() if row.status == "approved"]
    assert (await safe_executor.run_approved(row.id))["success"]
    assert effects(runtime) == [2]


async def decided(runtime: Runtime) -> bool:
    return any(row.status == "approved" for row in await human_approval_queue.history(runtime=runtime))
