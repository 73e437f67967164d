"""The connection dies while an effect commits: whether it did is looked up, not guessed, and it happens once either way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from benchmarks import races
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from agent.approval.human_approval import human_approval_queue
from agent.db.logins import derive_password
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.lossy_proxy import LossyProxy


@pytest.fixture(params=["shared", "apart"])
async def bank(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[tuple[Runtime, LossyProxy]]:
    template = cluster.template("races", races.fill)
    settings = cluster.database(template, statement_timeout=2.0)
    url = settings.database_url
    if request.param == "apart":
        url = cluster.database(template).database_url
        settings = settings.model_copy(update={"app_database_url": url})
    password = derive_password(settings.secret.get_secret_value(), "agent_actor")
    proxy, database = LossyProxy(url.get_secret_value()), conninfo_to_dict(url.get_secret_value())["dbname"]
    async with proxy.listening() as port:
        actor = SecretStr(f"postgresql://agent_actor:{password}@127.0.0.1:{port}/{database}")
        runtime = await open_runtime(settings.model_copy(update={"actor_url": actor}))
        with use_runtime(runtime):
            yield runtime, proxy
        await runtime.close()


def effects(runtime: Runtime) -> int:
    url = runtime.settings.app_database_url or runtime.settings.database_url
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        return conn.execute("select count(*) from public.effects").fetchone()[0]


@pytest.mark.parametrize("loses", ["the answer", "the commit"])
async def test_a_commit_whose_answer_is_lost_happened_or_is_done_and_never_twice(
    bank: tuple[Runtime, LossyProxy], loses: str
) -> None:
    runtime, proxy = bank
    for account in (1, 2):
        sql = f"UPDATE accounts SET balance = balance + 1 WHERE id = {account}"
        number = (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))["approval_id"]
        await human_approval_queue.decide(number, "approve")
        proxy.loses = loses
        result = await safe_executor.run_approved(number)
        assert result["success"], result
        assert effects(runtime) == account == proxy.lost
        assert await safe_executor.run_approved(number) == result
    assert [row.status for row in await executions.recent()] == ["succeeded", "succeeded"]
