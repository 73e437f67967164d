"""The values of secret columns are shown to nobody: not in previews, what is stored of them, statements, undo, log or threads."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.approval.permissions import permissions
from agent.chat import chat
from agent.db import setup
from agent.execution.log import executions
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.graph.interrupts import approval_request
from agent.privacy.masking import MASK
from agent.runtime import Runtime, use_runtime
from agent.testing.scripted_model import call, scripted_client
from agent.threads import threads

TABLES = """
create table public.users (id int primary key, name text, password_hash text, portal_pass text, pin int, prefs jsonb);
comment on column public.users.portal_pass is 'never show it';
insert into public.users select n, 'user ' || n, 'Zq-hash-' || n, 'Zq-pass-' || n, 730000000 + n,
  jsonb_build_object('theme', 'dark', 'api_key', 'Zq-key-' || n) from generate_series(1, 30) n;
create table public.sessions (id int primary key, user_id int references public.users on delete cascade, access_token text);
insert into public.sessions select n, n, 'Zq-token-' || n from generate_series(1, 30) n;
create table public.trail (id int generated always as identity primary key, what text, before jsonb);
create function public.note() returns trigger language plpgsql as $$ begin
  insert into public.trail (what, before) values ('was ' || old.password_hash, to_jsonb(old)); raise notice 'gone: %', old.portal_pass;
  return coalesce(new, old); end $$;
create trigger note after update or delete on public.users for each row execute function public.note();
create table public.settings (key text primary key, value text);
insert into public.settings values ('smtp_password', 'Zq-smtp'), ('colour', 'blue');
"""
# The numbers are long, so that no digest holds one by chance.
PLANTED = ("Zq-", "730000001", "730000002")
CHANGES = [
    "UPDATE users SET name = 'other' WHERE id = 1",
    "UPDATE users SET name = 'other'",
    "UPDATE users SET password_hash = 'Zq-new', name = 'other' WHERE id = 1",
    "UPDATE users SET portal_pass = password_hash, pin = 730000002 WHERE id = 1",
    "DELETE FROM users WHERE id = 1",
    "DELETE FROM users WHERE password_hash = 'Zq-hash-1'",
    "INSERT INTO users VALUES (99, 'new', 'Zq-new', 'Zq-new', 730000002, '{\"api_key\": \"Zq-new\"}')",
    "INSERT INTO users (id, pin, name) VALUES (99, 730000002, 'new')",
    "WITH gone AS (DELETE FROM sessions WHERE id < 5 RETURNING access_token) UPDATE users SET name = 'x' WHERE id = 2",
    "UPDATE settings SET value = 'Zq-new' WHERE key = 'smtp_password'",
    "UPDATE users SET prefs = '{\"api_key\": \"Zq-new\"}' WHERE id = 1",
    "UPDATE users SET name = u.password_hash FROM users u WHERE users.id = 1 AND u.id = 2",
    "UPDATE users SET name = left(u::text, 30) FROM users u WHERE users.id = 1 AND u.id = 2 RETURNING *",
    "INSERT INTO trail (what) SELECT s.access_token || '!' FROM sessions s WHERE s.id = 9",
]  # fmt: skip


@pytest.fixture
async def shop(runtime: Runtime) -> Runtime:
    """Users with secrets of every kind, a cascade, a trigger that copies them, and a table of settings."""
    url = runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(TABLES)
    setup.setup_logins(url, runtime.settings.secret.get_secret_value())
    return runtime


def rows(runtime: Runtime, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        cursor = conn.execute(query)
        return cursor.fetchall() if cursor.description else []


def planted_in(value: Any) -> list[str]:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return [one for one in PLANTED if one in text]


async def asked(sql: str) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    return result["approval_id"]


@pytest.mark.parametrize("sql", CHANGES)
async def test_no_secret_is_in_what_an_approver_sees_nor_in_what_is_stored_of_the_rows(shop: Runtime, sql: str) -> None:
    number = await asked(sql)
    approval = await human_approval_queue.get(number)
    shown = [asdict(approval), approval_request(approval, database="shop"), approval.as_dict()]
    assert planted_in([shown, await human_approval_queue.get_pending_approvals()]) == []
    # Of the rows nothing is stored at all; the statement itself is, as what will run.
    ((stored,),) = rows(shop, f"select preview - 'sql' from agents.human_approval_queue where id = {number}")
    assert planted_in(stored) == []
    assert approval.preview_json["row_count"] is None or approval.preview_json["tables"]


async def test_an_approver_sees_that_a_secret_is_set_and_everything_else(shop: Runtime) -> None:
    seen = await human_approval_queue.get(await asked(CHANGES[2]))
    assert seen.arguments["sql"] == f"UPDATE users SET password_hash = '{MASK}', name = 'other' WHERE id = 1"
    assert seen.preview_json["sql"] == seen.arguments["sql"]
    (row,) = seen.preview_json["rows"]
    assert set(row["changed"]) == {"password_hash", "name"}
    assert (row["before"]["name"], row["after"]["name"], row["after"]["password_hash"]) == ("user 1", "other", MASK)
    assert row["after"]["prefs"] == {"theme": "dark", "api_key": MASK}
    assert seen.preview_json["secret"] == ["password_hash", "portal_pass", "pin"]


async def test_what_is_approved_is_done_with_the_value_and_told_without_it(shop: Runtime) -> None:
    number = await asked(CHANGES[2])
    await safe_executor.decide(number, "approve")
    result = await safe_executor.run_approved(number)
    assert (result["success"], planted_in(result)) == (True, [])
    assert rows(shop, "select password_hash from users where id = 1") == [("Zq-new",)]
    assert planted_in([asdict(one) for one in await executions.recent()]) == []


async def test_another_value_of_a_secret_than_was_looked_at_is_noticed(shop: Runtime) -> None:
    number = await asked("DELETE FROM users WHERE id = 1")
    rows(shop, "update users set pin = 730000009 where id = 1")
    await safe_executor.decide(number, "approve")
    result = await safe_executor.run_approved(number)
    assert result["success"] is False
    assert "pin" in result["error"]


async def test_digests_of_the_rows_are_under_a_key(shop: Runtime) -> None:
    """The same change of the same data in another tenant has other digests: nobody can compute them from a guess."""
    first = (await human_approval_queue.get(await asked(CHANGES[0]))).preview_json
    with use_runtime(shop.for_tenant("other")):
        second = (await human_approval_queue.get(await asked(CHANGES[0]))).preview_json
    assert first["rows"] == second["rows"]
    assert first["effect"]["rows"] != second["effect"]["rows"]
    assert not set(first["effect"]["cells"]["name"]) & set(second["effect"]["cells"]["name"])


@pytest.mark.parametrize("sql", [CHANGES[2], CHANGES[4], CHANGES[7]])
async def test_undo_restores_a_secret_and_its_request_does_not_hold_it(shop: Runtime, sql: str) -> None:
    rows(shop, "drop trigger note on users")
    before = rows(shop, "select * from users order by id")
    number = await asked(sql)
    await safe_executor.decide(number, "approve")
    done = await safe_executor.run_approved(number)
    assert rows(shop, "select * from users order by id") != before
    undo = (await safe_executor.undo(done["execution_id"], wait=False))["approval_id"]
    ((stored,),) = rows(shop, f"select to_jsonb(q) from agents.human_approval_queue q where id = {undo}")
    assert planted_in([stored, asdict(await human_approval_queue.get(undo))]) == []
    assert planted_in(rows(shop, "select * from agents.before_images"))
    await safe_executor.decide(undo, "approve")
    result = await safe_executor.run_approved(undo)
    assert (result["success"], planted_in(result)) == (True, []), result
    assert rows(shop, "select * from users order by id") == before


async def test_an_undo_whose_rows_were_forgotten_meanwhile_is_used_up(shop: Runtime) -> None:
    number = await asked(CHANGES[0])
    await safe_executor.decide(number, "approve")
    done = await safe_executor.run_approved(number)
    undo = (await safe_executor.undo(done["execution_id"], wait=False))["approval_id"]
    await safe_executor.decide(undo, "approve")
    rows(shop, "delete from agents.before_images")
    result = await safe_executor.run_approved(undo)
    assert result["status"] == "refused"
    assert "rows" in result["error"]
    assert (await safe_executor.run_approved(undo))["execution_id"] == result["execution_id"]


async def test_no_secret_is_in_what_is_shown_of_a_conversation_or_allowed_for_later(shop: Runtime) -> None:
    script = [
        call("execute_sql", sql=CHANGES[2]),
        call("execute_sql", sql="UPDATE users SET password_hash = 'Zq-x' WHERE nope"),
        "Done.",
    ]
    scripted = replace(shop, model=scripted_client(script), cached={})
    with use_runtime(scripted):
        answer = await chat.answer("Set the hash of user 1", thread_id="t")
        assert planted_in([asdict(one) for one in answer.approvals]) == []
        number = answer.approvals[0].id
        await safe_executor.decide(number, "approve", always=Always(seconds=60, free=("1",)))
        await safe_executor.run_approved(number)
        whole = await chat.finish("t")
        calls = [asdict(one) for one in await threads.calls("t", 1)]
        assert planted_in([whole.sources, calls, await threads.turns("t")]) == []
        assert planted_in([asdict(one) for one in await permissions.list_permissions()]) == []
        assert planted_in([asdict(one) for one in await executions.recent()]) == []
    assert planted_in(rows(shop, "select pattern, sentence from agents.permissions")) == []
