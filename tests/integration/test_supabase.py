"""On a project that is set up as Supabase sets it up: with `postgres` no superuser, and pgvector in a schema of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import ChatAnswer, chat
from agent.db import migrations, setup
from agent.demo.application import fill_demo
from agent.demo.conversation import CONVERSATION, OPERATOR
from agent.learning.memory import agent_memory
from agent.learning.semantic_search import semantic_search
from agent.runtime import Runtime
from agent.settings import Settings
from agent.status import check_status
from agent.testing.running import running
from agent.testing.supabase import SupabaseCluster


@pytest.fixture(scope="module")
def supabase() -> Iterator[SupabaseCluster]:
    cluster = SupabaseCluster()
    yield cluster
    cluster.close()


def admin_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


@pytest.mark.parametrize("first", ["setup", "migrate"])
async def test_set_up_in_any_order_the_whole_demonstration_plays(supabase: SupabaseCluster, first: str) -> None:
    url = supabase.empty_database()
    settings = supabase.settings(psycopg.conninfo.conninfo_to_dict(url)["dbname"], model="offline", ask_from="MEDIUM")
    with psycopg.connect(url, autocommit=True) as conn:
        is_super = conn.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
        assert is_super == (False,)
        steps = [lambda: setup.set_up(settings), lambda: migrations.migrate(url)]
        for step in steps if first == "setup" else reversed(steps):
            step()
        fill_demo(conn)
    setup.set_up(settings)
    async with running(settings) as runtime:
        answers = [answer async for answer in _played(runtime)]
        assert [answer.error for answer in answers] == [None] * len(CONVERSATION)
        assert "paused" in answers[4].text.casefold()
        saved = await agent_memory.save("The harvest begins in June.")
        found = await semantic_search.search_memories("harvest", limit=1, mode="dense")
        assert [memory.id for memory in found] == [saved.id]
    status = await check_status(settings)
    assert status.usable
    assert ["salaries" in fix.problem for fix in status.fix] == [True]  # which the demonstration hides on purpose


async def _played(runtime: Runtime) -> AsyncIterator[ChatAnswer]:
    thread_id = chat.new_thread()
    for scene in CONVERSATION:
        thread_id = chat.new_thread() if scene.new_thread else thread_id
        answer = await chat.answer(scene.question, thread_id=thread_id)
        for approval in answer.approvals:
            await human_approval_queue.decide(approval.id, scene.decision or "reject", decided_by=OPERATOR)
        yield await chat.finish(thread_id) if answer.approvals else answer


async def test_status_tries_a_memory_and_says_what_right_is_missing(supabase: SupabaseCluster) -> None:
    settings = supabase.database(supabase.template("blank"))
    before = await check_status(settings)
    assert before.usable
    with psycopg.connect(admin_of(settings), autocommit=True) as conn:
        conn.execute("revoke usage on schema extensions from agent_app")
    status = await check_status(settings)
    assert not status.usable
    (fix,) = [fix for fix in status.fix if "memory" in fix.problem]
    assert (fix.command, "pgvector" in fix.problem) == ("agent setup", True)
    setup.set_up(settings)
    after = await check_status(settings)
    assert after.usable
    assert after.memories == before.memories  # nothing of what was tried is left
