"""Set up by an administrator who is no superuser, as on Supabase: everything works with the rights that such a user has."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.db import migrations, setup
from agent.learning.memory import agent_memory
from agent.learning.semantic_search import semantic_search
from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import call, scripted_client

READ = call("execute_sql", sql="select count(*) from accounts")
CHANGE = call("execute_sql", sql="update accounts set state = 'closed' where id = 1")


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server of its own: the logins belong to whoever creates them first."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.mark.parametrize("attribute", ["bypassrls", "nobypassrls"])
async def test_an_administrator_without_superuser_sets_up_and_uses_everything(
    own_cluster: Cluster, attribute: str
) -> None:
    with psycopg.connect(own_cluster.url("postgres"), autocommit=True) as conn:
        conn.execute(f"create role owner login createrole nosuperuser {attribute} password 'pw'")
        conn.execute("create database project owner owner")
    with psycopg.connect(own_cluster.url("project"), autocommit=True) as conn:
        conn.execute("create extension vector")  # Supabase allows this to its administrator
    admin = "postgresql://owner:pw@" + own_cluster.url("project").partition("@")[2]
    migrations.migrate(admin)
    setup.setup_logins(admin, "a secret")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("create table accounts (id int primary key, state text)")
        conn.execute("insert into accounts select n, 'open' from generate_series(1, 5) n")
    model = scripted_client([READ, "Five.", CHANGE, "Closed."])
    runtime = await open_runtime(own_cluster.settings("project", database_url=admin, secret="a secret"), model=model)
    with use_runtime(runtime):
        answer = await chat.answer("How many accounts are there?")
        assert answer.sources["statements"][0]["success"], answer
        asked = await chat.answer("Close account 1")
        await human_approval_queue.decide(asked.approvals[0].id, "approve")
        assert (await chat.finish(asked.thread_id)).text == "Closed."
        await agent_memory.save("The sky is blue.")
        assert (await semantic_search.search_memories("sky", limit=1))[0].content == "The sky is blue."
    await runtime.close()
    with psycopg.connect(admin) as conn:
        assert conn.execute("select state from accounts where id = 1").fetchone() == ("closed",)
