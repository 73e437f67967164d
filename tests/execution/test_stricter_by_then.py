"""What was approved, and is more, or is forbidden, by the time that it is to be carried out, is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.errors import ActionRefused
from agent.execution import safe_executor as executing
from agent.execution.safe_executor import safe_executor
from agent.execution.tools import send_email
from agent.provenance.conversation_context import ConversationContext
from agent.runtime import Runtime, use_runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.items (id int primary key, n int);
insert into public.items values (1, 1);
create table public.secrets (id int);
create sequence public.traces;
create function public.traced() returns trigger language plpgsql security definer
 as 'begin perform nextval(''public.traces''); return new; end';
"""
UPDATE = "UPDATE items SET n = 2 WHERE id = 1"
TRIGGER = "create trigger traced before update on public.items for each row execute function public.traced()"


class Died(Exception):
    """The process ended between the decision and the effect."""


@pytest.fixture
async def shop(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("stricter", lambda conn: conn.execute(TABLES))
    settings = cluster.database(template, ask_from="MEDIUM", actor_rights="schema")
    async with running(settings) as runtime:
        yield runtime


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


def with_settings(runtime: Runtime, **values: Any) -> Runtime:
    return replace(runtime, settings=runtime.settings.model_copy(update=values), cached={})


async def left_by_policy(monkeypatch: pytest.MonkeyPatch, action: str, arguments: dict[str, Any]) -> None:
    """Let the policy approve it, and the process die before it is carried out."""

    async def die(*_: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(executing, "execute_approved", die)
        with pytest.raises(Died):
            await safe_executor.execute(action, arguments, wait=False)
    (row,) = await human_approval_queue.history()
    assert (row.status, row.decided_via) == ("approved", "policy")


@pytest.mark.parametrize(
    ("refuse", "sql"), [("rows:many", "UPDATE items SET n = 3"), ("lock:Acc*", "ALTER TABLE items ADD more int")]
)
async def test_what_only_a_trial_shows_and_the_operator_refuses_is_not_asked_about(
    shop: Runtime, refuse: str, sql: str
) -> None:
    with admin(shop) as conn:
        conn.execute("insert into public.items values (2, 1); alter table public.items owner to agent_actor")
    with use_runtime(with_settings(shop, refuse=refuse, many_rows=1, ask_from="LOW")):
        result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
        assert (result["status"], await human_approval_queue.history()) == ("refused", [])
        assert "AGENT_REFUSE" in result["error"]
        # An edit to what is refused leaves the request as it was.
        asked = await safe_executor.execute("execute_sql", {"sql": "INSERT INTO items VALUES (3, 1)"}, wait=False)
        with pytest.raises(ActionRefused, match="AGENT_REFUSE"):
            await safe_executor.decide(asked["approval_id"], "edit", arguments={"sql": sql})
        assert (await human_approval_queue.get(asked["approval_id"])).status == "pending"


@pytest.mark.parametrize("refuse", ["", "trigger:*"])
async def test_a_trigger_that_came_after_the_decision_does_not_run(shop: Runtime, refuse: str) -> None:
    asking = with_settings(shop, ask_from="LOW", refuse=refuse)
    with use_runtime(asking), admin(shop) as conn:
        number = (await safe_executor.execute("execute_sql", {"sql": UPDATE}, wait=False))["approval_id"]
        await human_approval_queue.decide(number, "approve")
        conn.execute(TRIGGER)
        for _ in range(2):
            result = await safe_executor.run_approved(number)
            assert result["status"] == "refused", result
            assert "trigger" in result["error"]
        assert conn.execute("select n, (select is_called from traces) from items").fetchone() == (1, False)


async def test_what_the_policy_approved_and_would_ask_about_by_now_is_not_done(
    shop: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_by_policy(monkeypatch, "execute_sql", {"sql": UPDATE})
    with admin(shop) as conn:
        conn.execute(TRIGGER)
        (result,) = await safe_executor.execute_left_over()
        assert result["status"] == "refused", result
        assert conn.execute("select n, (select is_called from traces) from items").fetchone() == (1, False)


async def test_a_key_that_is_gone_needs_a_human_again(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    await left_by_policy(monkeypatch, "execute_sql", {"sql": UPDATE})
    with admin(shop) as conn:
        conn.execute("alter table public.items drop constraint items_pkey")
        (result,) = await safe_executor.execute_left_over()
        assert "needs a human by now" in result["error"]
        assert conn.execute("select n from items").fetchone() == (1,)


@pytest.mark.parametrize("sql", ["VACUUM secrets", "CREATE INDEX CONCURRENTLY made ON secrets (id)"])
async def test_a_denied_table_is_denied_for_what_refuses_a_transaction(shop: Runtime, sql: str) -> None:
    number = (await safe_executor.execute("execute_sql", {"sql": sql}, wait=False))["approval_id"]
    await human_approval_queue.decide(number, "approve")
    with use_runtime(with_settings(shop, deny="public.secrets")):
        result = await safe_executor.run_approved(number)
    assert result["status"] == "refused", result
    assert "secrets" in result["error"]


async def test_a_mail_to_a_domain_that_is_listed_no_more_is_not_sent(
    shop: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mail = {"to": ["anna@partner.example"], "subject": "Hello", "body": "Hello Anna."}

    async def context(*_: object, **__: object) -> ConversationContext:
        return ConversationContext(user_words=("Greet anna@partner.example: Hello Anna.",))

    monkeypatch.setattr(send_email, "context_of_call", context)
    listed = with_settings(shop, email_outbox=tmp_path / "out", email_domains="partner.example")
    with use_runtime(listed):
        await left_by_policy(monkeypatch, "send_email", mail)
    with use_runtime(with_settings(listed, email_domains="")):
        (result,) = await safe_executor.execute_left_over()
    assert result["status"] == "refused", result
    assert "domain:partner.example" in result["error"]
    assert not (tmp_path / "out").exists()
