"""Set up by an administrator who is no superuser, as on Supabase: everything works with the rights that such a user has."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.audit.log import audit_log
from agent.chat import chat
from agent.db import migrations, setup
from agent.learning.memory import agent_memory
from agent.learning.semantic_search import semantic_search
from agent.operations.erasure import erase_person
from agent.runtime import open_runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import call, scripted_client

DECIDED = """
insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, binding, status, expires_at)
values ('default', 'd', 'act', '{"a": 1.50}', 'LOW', 'x', 'approved', '2025-01-01 12:00+02'), ('other', 'd', 'act', '{}', 'LOW', 'x',
  'pending', now());
insert into agents.agent_execution_log (tenant_id, database_id, action, arguments, verdict, risk_level, status, approval_id, duration_ms)
select tenant_id, database_id, action, arguments, 'ask', 'LOW', 'succeeded', id, 1.2345678901234567e-7 from agents.human_approval_queue
 where status = 'approved'
"""
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
    own_cluster: Cluster, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(own_cluster.url("postgres"), autocommit=True) as conn:
        conn.execute(f"create role owner login createrole nosuperuser {attribute} password 'pw'")
        conn.execute("create database project owner owner")
    with psycopg.connect(own_cluster.url("project"), autocommit=True) as conn:
        conn.execute("create extension vector")  # Supabase allows this to its administrator
    admin = "postgresql://owner:pw@" + own_cluster.url("project").partition("@")[2]
    with monkeypatch.context() as before:  # a database that was in use before there was an audit log
        old = [one for one in migrations.all_migrations() if one.version < "20261125030000"]
        before.setattr(migrations, "all_migrations", lambda: old)
        migrations.migrate(admin)
    with psycopg.connect(own_cluster.url("project"), autocommit=True) as conn:
        conn.execute(DECIDED)
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
        log = await audit_log.verify()
        assert (log.findings, log.adopted, log.effects) == ((), 2, 2)
        other = await audit_log.verify(runtime=runtime.for_tenant("other"))
        assert (other.findings, other.adopted, other.entries) == ((), 1, 0)
        await agent_memory.save("The sky is blue.")
        assert (await semantic_search.search_memories("sky", limit=1))[0].content == "The sky is blue."
        assert (await erase_person("sky")).memories == 1
        assert (await audit_log.verify()).findings == ()
    await runtime.close()
    with psycopg.connect(admin) as conn:
        assert conn.execute("select state from accounts where id = 1").fetchone() == ("closed",)
