"""An application's database that goes away between approval and execution, and comes back: the change is made then, once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.db import embedded, setup
from agent.errors import DatabaseUnavailable
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.testing.cluster import Cluster, throwaway_folder

SECRET = "the secret of the application's server"
APPLICATION = """
create table public.accounts (id int primary key, balance int not null default 100);
insert into public.accounts select g from generate_series(1, 3) g;
"""


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def apart(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Runtime, Path, str]]:
    """The agent's tables on one server, the application on another that a test may stop."""
    monkeypatch.setattr("agent.db.database.CONNECT_TIMEOUT", 1)  # what is tested is not the patience
    home = throwaway_folder("other")
    home.chmod(0o755)
    try:
        embedded.initialise(home, SECRET)
        embedded.ensure_running(home)
        url = embedded.admin_conninfo(home, SECRET, "postgres")
        query(url, APPLICATION)
        settings = cluster.database(cluster.template("blank"), app_database_url=url)
        setup.set_up(settings)
        runtime = await open_runtime(settings)
        with use_runtime(runtime):
            yield runtime, home, url
        await runtime.close()
    finally:
        embedded.halt(home)
        shutil.rmtree(home, ignore_errors=True)


async def test_a_change_that_was_approved_waits_for_the_server_and_is_made_once(
    apart: tuple[Runtime, Path, str],
) -> None:
    _, home, url = apart
    change = {"sql": "update accounts set balance = balance + 1 where id = 1"}
    asked = (await safe_executor.execute("execute_sql", change, wait=False))["approval_id"]
    embedded.halt(home)
    await human_approval_queue.decide(asked, "approve")  # a decision needs the agent's own database only
    for attempt in (safe_executor.run_approved(asked), safe_executor.execute("execute_sql", change, wait=False)):
        with pytest.raises(DatabaseUnavailable):
            await attempt
    embedded.ensure_running(home)
    done = await safe_executor.run_approved(asked)
    assert (done["status"], done["row_count"]) == ("succeeded", 1)
    assert await safe_executor.execute_left_over() == []
    assert await safe_executor.run_approved(asked) == done
    assert query(url, "select balance from accounts order by id") == [(101,), (100,), (100,)]
    assert [row.status for row in await executions.recent() if row.approval_id == asked] == ["succeeded"]


async def test_a_server_that_stops_for_good_leaves_the_rejected_undone_and_the_approved_to_be_done(
    apart: tuple[Runtime, Path, str],
) -> None:
    _, home, url = apart
    numbers = [
        (await safe_executor.execute("execute_sql", {"sql": f"delete from accounts where id = {n}"}, wait=False))[
            "approval_id"
        ]
        for n in (1, 2)
    ]
    embedded.halt(home)
    await human_approval_queue.decide(numbers[0], "reject")
    await human_approval_queue.decide(numbers[1], "approve")
    assert (await safe_executor.run_approved(numbers[0]))["status"] == "rejected"
    with pytest.raises(DatabaseUnavailable):
        await safe_executor.execute_left_over()
    embedded.ensure_running(home)
    assert [(one["approval_id"], one["status"]) for one in await safe_executor.execute_left_over()] == [
        (numbers[1], "succeeded")
    ]
    assert query(url, "select id from accounts order by id") == [(1,), (3,)]
