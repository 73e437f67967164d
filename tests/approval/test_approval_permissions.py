"""Permissions: "always allow this" allows what was meant, and no attack makes it more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest
from psycopg.types.json import Jsonb

from agent.approval.human_approval import human_approval_queue
from agent.approval.people import people
from agent.approval.permissions import Permission, permissions
from agent.errors import DecisionRefused, InvalidInput, NotFound
from agent.execution.log import executions
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.privacy.masking import MASK
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.statements.policy import POLICY_VERSION
from agent.types import CallKey, ToolResult

TABLES = """
create table public.items (id int primary key, state text not null default 'new', price numeric, note text);
insert into public.items select n, 'new', n from generate_series(1, 50) n;
create table public.others (id int primary key, state text not null default 'new');
insert into public.others values (1), (2);
create schema second;
create table second.items (like public.items including all);
insert into second.items select * from public.items;
"""
HOURS = Always(seconds=8 * 3600)
FREED = Always(seconds=8 * 3600, free=("1", "2"))
UPDATE = "UPDATE items SET state = 'seen' WHERE id = 1"


@pytest.fixture
async def shop(runtime: Runtime) -> Runtime:
    """Two schemas with a table of the same name."""
    from agent.db import setup

    url = runtime.settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(TABLES)
    setup.setup_logins(url, runtime.settings.secret.get_secret_value())
    return runtime


async def tried(sql: str, **options: object) -> ToolResult:
    return await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, **options)


async def granted(sql: str = UPDATE, always: Always = FREED) -> Permission:
    approval = (await tried(sql))["approval_id"]
    await safe_executor.decide(approval, "approve", always=always, comment="routine")
    assert (await safe_executor.run_approved(approval))["success"]
    return (await permissions.list_permissions())[0]


async def test_what_is_always_allowed_runs_unasked_and_every_use_names_its_permission(shop: Runtime) -> None:
    permission = await granted()
    assert permission.sentence.startswith(f"{UPDATE}; but state may be set to any text (constant 1) and id may be any")
    assert (permission.tables, permission.most_rows, permission.granted_to) == (("public.items",), 1, "tester")
    for sql in (UPDATE.replace("= 1", "= 7"), "update  items /* again */ set state = 'gone'\nwhere id = 9 -- x"):
        assert (await tried(sql))["status"] == "succeeded"
    uses = [one for one in await human_approval_queue.history() if one.permission_id == permission.id]
    assert [(one.decided_by, one.decided_via, one.status) for one in uses] == [
        (f"permission {permission.id}", "permission", "approved")
    ] * 2
    assert {row.approved_by for row in await executions.recent(2)} == {f"permission {permission.id}"}
    (listed,) = await permissions.list_permissions()
    assert (listed.uses, listed.state, listed.comment) == (2, "open", "routine")


OTHER_STATEMENTS = [
    "UPDATE items SET state = 'seen'",
    "UPDATE items SET state = 'seen' WHERE id = 1 OR true",
    "UPDATE items SET state = 'seen' WHERE id = 1 OR 1 = 1",
    "UPDATE items SET state = 'seen' WHERE id > 1",
    "UPDATE items SET state = 'seen' WHERE id IN (1, 2)",
    "UPDATE items SET state = 'seen' WHERE id = 1 OR id = 2",
    "UPDATE items SET state = 'seen' WHERE price = 1",
    "UPDATE items SET note = 'seen' WHERE id = 1",
    "UPDATE items SET state = 'seen', price = 0 WHERE id = 1",
    "UPDATE items SET state = (SELECT 'seen') WHERE id = 1",
    "UPDATE items SET state = 'seen' WHERE id = (SELECT 1)",
    "UPDATE items SET state = 'seen' WHERE id = 1 RETURNING *",
    "UPDATE items SET state = upper('seen') WHERE id = 1",
    "UPDATE items SET state = 'seen' WHERE id = 1::bigint",
    "UPDATE ONLY items SET state = 'seen' WHERE id = 1",
    "UPDATE items i SET state = 'seen' WHERE id = 1",
    "UPDATE others SET state = 'seen' WHERE id = 1",
    "UPDATE second.items SET state = 'seen' WHERE id = 1",
    "DELETE FROM items WHERE id = 1",
    "WITH gone AS (DELETE FROM others RETURNING id) UPDATE items SET state = 'seen' WHERE id = 1",
    "INSERT INTO items (state, id) VALUES ('seen', 100)",
]


async def test_whatever_is_not_the_pattern_is_asked_about(shop: Runtime) -> None:
    await granted()
    assert [sql for sql in OTHER_STATEMENTS if (await tried(sql))["status"] != "waiting"] == []


async def test_by_default_exactly_what_was_shown_is_allowed(shop: Runtime) -> None:
    like = "UPDATE items SET state = 'seen' WHERE note IS NULL AND state LIKE 'new%' AND id = 1"
    await granted(like, HOURS)
    assert (await tried(like.replace("UPDATE ", "update  /* again */ ")))["status"] == "succeeded"
    for other in (
        ("new%", "%"),
        ("'seen'", "'gone'"),
        ("id = 1", "id = 2"),
        ("LIKE", "NOT LIKE"),
        ("id = 1", "id = 1.0"),
    ):
        assert (await tried(like.replace(*other)))["status"] == "waiting", other


@pytest.mark.parametrize(("most_rows", "status"), [(None, "waiting"), (5, "waiting"), (6, "succeeded")])
async def test_the_same_statement_may_not_change_more_rows_than_were_shown_unless_a_number_was_said(
    shop: Runtime, most_rows: int | None, status: str
) -> None:
    sql = "UPDATE items SET state = 'seen' WHERE price < 4"
    permission = await granted(sql, Always(seconds=60, most_rows=most_rows))
    assert permission.most_rows == (most_rows or 3)
    assert (await tried(sql))["status"] == "succeeded"
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update items set price = 0 where id in (10, 11, 12)")
    assert (await tried(sql))["status"] == status


async def test_what_would_be_allowed_is_said_before_it_is(shop: Runtime) -> None:
    approval = (await tried("UPDATE items SET state = 'seen' WHERE id = 1 AND price < 5"))["approval_id"]
    said = await safe_executor.would_allow(approval, Always(seconds=60, free=("2",), most_rows=7))
    assert (said["most_rows"], said["tables"], sorted(said["choices"])) == (7, ["public.items"], ["1", "2"])
    assert said["sentence"].endswith(
        "but id may be any number in its condition, so that other rows are meant (constant 2)"
    )
    for wrong in (Always(seconds=60, free=("3",)), Always(seconds=60, most_rows=0), Always(seconds=60, free=("x",))):
        with pytest.raises(InvalidInput):
            await safe_executor.would_allow(approval, wrong)
    assert (await human_approval_queue.get(approval)).status == "pending"
    assert await permissions.list_permissions() == []


async def test_a_permission_of_the_former_rule_allows_nothing(shop: Runtime) -> None:
    await granted()
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update agents.permissions set pattern = pattern - 'rows'")
    assert (await tried(UPDATE.replace("= 1", "= 2")))["status"] == "waiting"


async def test_another_search_path_is_another_table(shop: Runtime) -> None:
    await granted()
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        for login in ("agent_actor", "agent_assessor", "agent_reader"):
            conn.execute(f"alter role {login} in database {conn.info.dbname} set search_path = second, public")
    moved = await open_runtime(shop.settings)
    with use_runtime(moved):
        result = await tried(UPDATE)
        assert result["status"] == "waiting"
        shown = (await human_approval_queue.get(result["approval_id"])).preview_json
        assert shown["tables"][0]["table"] == "second.items"
    await moved.close()


async def test_a_write_is_done_where_it_was_assessed_whatever_the_login_is_set_to_by_then(shop: Runtime) -> None:
    await tried(UPDATE)
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(f"alter role agent_actor in database {conn.info.dbname} set search_path = second, public")
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'agent_actor' and datname = current_database()"
        )
        waiting = await tried(UPDATE)
        shown = (await human_approval_queue.get(waiting["approval_id"])).preview_json
        assert shown["tables"][0]["table"] == "public.items"
        await safe_executor.decide(waiting["approval_id"], "approve")
        assert (await safe_executor.run_approved(waiting["approval_id"]))["status"] == "succeeded"
        row = conn.execute(
            "select (select state from public.items where id = 1), (select state from second.items where id = 1)"
        ).fetchone()
        assert row[0] != row[1], row


async def test_a_trigger_that_came_later_is_not_covered(shop: Runtime) -> None:
    await granted()
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "create function public.too() returns trigger language plpgsql security definer as"
            " $$ begin update public.others set state = 'too'; return new; end $$;"
            "create trigger too after update on public.items for each row execute function public.too()"
        )
    assert (await tried(UPDATE.replace("= 1", "= 2")))["status"] == "waiting"


async def test_expired_revoked_and_foreign_permissions_allow_nothing(shop: Runtime) -> None:
    permission = await granted()
    again = UPDATE.replace("= 1", "= 2")
    assert (await tried(again, actor="somebody"))["status"] == "waiting"
    other = shop.for_tenant("other")
    with use_runtime(other):
        assert (await tried(again))["status"] == "waiting"
        with pytest.raises(NotFound):
            await permissions.revoke(permission.id)
        assert await permissions.list_permissions() == []
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("update agents.permissions set expires_at = now()")
        assert (await tried(again))["status"] == "waiting"
        conn.execute("update agents.permissions set expires_at = now() + interval '1 hour', database_id = 'another'")
        assert (await tried(again))["status"] == "waiting"
        conn.execute("update agents.permissions set database_id = %s", [shop.database_id])
        assert (await tried(again))["status"] == "succeeded"
        conn.execute('update agents.permissions set pattern = pattern || \'{"policy": "0"}\'')
        assert (await tried(again))["status"] == "waiting"
        conn.execute("update agents.permissions set pattern = pattern || %s", [Jsonb({"policy": POLICY_VERSION})])
    await permissions.revoke(permission.id)
    await permissions.revoke(permission.id)
    assert (await tried(again))["status"] == "waiting"
    assert (await permissions.list_permissions())[0].state == "revoked"
    for number in (0, -1, 10**30, 77):
        with pytest.raises(NotFound):
            await permissions.revoke(number)


async def test_after_a_revocation_has_returned_no_use_begins(shop: Runtime) -> None:
    permission = await granted()
    revoked = asyncio.Event()
    late: list[str] = []

    async def use(number: int) -> None:
        for turn in range(6):
            before = revoked.is_set()
            result = await tried(f"UPDATE items SET state = '{turn}' WHERE id = {number}")
            if before and result["status"] != "waiting":
                late.append(str(result))

    async def revoke() -> None:
        await asyncio.sleep(0.15)
        await permissions.revoke(permission.id)
        revoked.set()

    await asyncio.gather(revoke(), *(use(number) for number in range(1, 9)))
    assert late == []
    with psycopg.connect(shop.settings.database_url.get_secret_value()) as conn:
        after = conn.execute(
            "select count(*) from agents.human_approval_queue q join agents.permissions p on p.id = q.permission_id"
            " where q.decided_at > p.revoked_at"
        ).fetchone()
    assert after == (0,)


async def test_what_runs_the_applications_own_code_is_asked_every_time(shop: Runtime) -> None:
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create function public.mark() returns text language sql as $$ select 'm' $$")
    approval = (await tried("UPDATE items SET note = mark() WHERE id = 1"))["approval_id"]
    with pytest.raises(DecisionRefused, match="code that may be another one later"):
        await safe_executor.decide(approval, "approve", always=HOURS)
    assert (await human_approval_queue.get(approval)).status == "pending"


CODE = """
create function public.inner_one() returns text language sql as $$ select 'one' $$;
create function public.too() returns trigger language plpgsql as $$ begin new.note := public.inner_one(); return new; end $$;
create trigger too before update on public.items for each row execute function public.too();
"""


@pytest.mark.parametrize(
    "change",
    [
        "create or replace function public.too() returns trigger language plpgsql as $$ begin new.note := 'x'; return new; end $$",
        "create or replace function public.inner_one() returns text language sql as $$ select 'two' $$",
        (
            "create function public.more() returns trigger language plpgsql as $$ begin return new; end $$;"
            " drop trigger too on public.items;"
            " create trigger too before update on public.items for each row execute function public.more()"
        ),
        "alter function public.too() security definer",
    ],
)
async def test_a_permission_ends_when_the_code_behind_the_statement_is_another_one(shop: Runtime, change: str) -> None:
    with psycopg.connect(shop.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(CODE)
        await granted()
        assert (await tried(UPDATE.replace("= 1", "= 2")))["status"] == "succeeded"
        conn.execute(change)
        assert (await tried(UPDATE.replace("= 1", "= 3")))["status"] == "waiting"


@pytest.mark.parametrize("ask_from", ["LOW", "HIGH"])
async def test_only_what_was_looked_at_is_approved_without_a_human(shop: Runtime, ask_from: str) -> None:
    """Another run of the same call asks first, about other data, between this one's look and its question."""
    sql = "UPDATE items SET state = 'seen' WHERE price < 2"
    permission = await granted(sql, HOURS)
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    runtime = await open_runtime(shop.settings.model_copy(update={"ask_from": ask_from}))
    url = shop.settings.database_url.get_secret_value()
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as conn:
        holder.execute("lock table agents.human_approval_queue in share row exclusive mode")
        first = asyncio.create_task(tried(sql, call=key, runtime=runtime))
        while not await asyncio.to_thread(_waits, conn, "human_approval_queue"):
            await asyncio.sleep(0.01)
        conn.execute("update items set price = 0 where id <= 30")
        other = await asyncio.to_thread(_row_of_another, holder, key)
        holder.commit()
        result = await first
    approval = await human_approval_queue.get(other)
    assert (result["status"], result["approval_id"], approval.status) == ("waiting", other, "pending")
    assert (await permissions.list_permissions())[0].uses == 0, permission
    await runtime.close()


def _waits(conn: psycopg.Connection, table: str) -> bool:
    found = conn.execute(
        "select count(*) from pg_locks where not granted and relation = ('agents.' || %s)::regclass", [table]
    )
    return found.fetchone() != (0,)


def _row_of_another(conn: psycopg.Connection, key: CallKey) -> int:
    """A request of that call about what its asker saw: a copy of the newest one with another binding."""
    row = conn.execute(
        "insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, reasons, summary, preview,"
        " policy_version, binding, executable, requested_by, votes_needed, thread_id, turn, round, ordinal, expires_at)"
        " select tenant_id, database_id, action, arguments, risk_level, reasons, summary, preview, policy_version, 'other',"
        " executable, requested_by, votes_needed, %s, %s, %s, %s, now() + interval '1 hour'"
        " from agents.human_approval_queue order by id desc limit 1 returning id",
        [key.thread_id, key.turn, key.round, key.ordinal],
    ).fetchone()
    return int(row[0])


async def test_a_value_out_of_data_is_asked_about_whatever_was_allowed(shop: Runtime) -> None:
    from agent.chat import chat
    from agent.testing.scripted_model import call, scripted_client

    await granted("UPDATE items SET note = 'pay to Ana' WHERE id = 1", FREED)
    said = call("execute_sql", sql="UPDATE items SET note = 'pay to Bo' WHERE id = 2")
    made_up = call("execute_sql", sql="UPDATE items SET note = 'pay to Eve' WHERE id = 2")
    scripted = replace(shop, model=scripted_client([said, "Done.", made_up, "Done."]), cached={})
    with use_runtime(scripted):
        first = await chat.answer("Set the note of item 2 to: pay to Bo", thread_id="t")
        assert first.status == "done"
        second = await chat.answer("And what else is there to do?", thread_id="t")
        assert second.status == "waiting"
        assert second.approvals[0].preview_json["origins"]


@pytest.mark.parametrize(
    ("sql", "always", "error"),
    [
        ("VACUUM others", HOURS, DecisionRefused),
        ("UPDATE items SET state = 'x'", Always(seconds=0), InvalidInput),
        ("UPDATE items SET state = 'x'", Always(seconds=31 * 24 * 3600), InvalidInput),
        ("UPDATE items SET state = 'x'", Always(seconds=float("nan")), InvalidInput),
        ("UPDATE items SET state = 'x'", Always(seconds=60, free=("2",)), InvalidInput),
        ("UPDATE items SET state = 'x'", Always(seconds=60, most_rows=49), InvalidInput),
        ("UPDATE items SET state = 'x'", Always(seconds=60, free=("sql",)), InvalidInput),
    ],
)
async def test_what_cannot_be_always_allowed_is_not_approved_either(
    shop: Runtime, sql: str, always: Always, error: type[Exception]
) -> None:
    approval = (await tried(sql))["approval_id"]
    with pytest.raises(error):
        await safe_executor.decide(approval, "approve", always=always)
    assert (await human_approval_queue.get(approval)).status == "pending"
    assert await permissions.list_permissions() == []


async def test_critical_is_asked_every_time_even_where_a_row_says_otherwise(shop: Runtime) -> None:
    permission = await granted()
    url = shop.settings.database_url.get_secret_value()
    approval = await human_approval_queue.request("execute_sql", {"sql": UPDATE}, risk_level="CRITICAL")
    assert await permissions.use(permission, approval, proposed=approval.binding, runtime=shop) is None
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("update agents.permissions set risk_ceiling = 'CRITICAL'")


async def test_of_another_tool_only_the_freed_arguments_may_differ(demo_runtime: Runtime) -> None:
    async def set_status(**arguments: object) -> ToolResult:
        return await safe_executor.execute("update_client_status", arguments, wait=False)

    asked = await set_status(client_id=1, status="paused")
    with pytest.raises(InvalidInput, match="no argument"):
        await safe_executor.decide(asked["approval_id"], "approve", always=Always(seconds=60, free=("client",)))
    await safe_executor.decide(asked["approval_id"], "approve", always=Always(seconds=60, free=("client_id",)))
    await safe_executor.run_approved(asked["approval_id"])
    (permission,) = await permissions.list_permissions()
    assert permission.sentence == "update_client_status with status = 'paused', any client_id"
    assert (await set_status(client_id=2, status="paused"))["status"] == "succeeded"
    assert (await set_status(client_id=2, status="active"))["status"] == "waiting"
    sql = {"sql": "UPDATE clients SET status = 'paused' WHERE id = 3"}
    assert (await safe_executor.execute("execute_sql", sql, wait=False))["status"] == "waiting"
    await people.add("ann", ["admin"])  # who may not see personal values, and from now on nobody else is known
    (permission,) = await permissions.list_permissions(runtime=demo_runtime.for_tenant("default", user="ann"))
    assert (permission.pattern, permission.sentence) == (
        {},
        f"update_client_status with status = {MASK}, any client_id",
    )


async def test_a_permission_lasts_only_as_long_as_who_gave_it_may_decide(shop: Runtime) -> None:
    ann = shop.for_tenant("default", user="ann")
    for name, roles in (("ann", ["admin"]), ("bo", ["approver"]), ("cy", ["approver"])):
        await people.add(name, roles, runtime=ann)
    approval = (await tried(UPDATE))["approval_id"]
    with pytest.raises(DecisionRefused):
        await safe_executor.decide(approval, "approve", always=HOURS)  # the asker
    await safe_executor.decide(approval, "approve", always=FREED, decided_by="bo")
    assert (await tried(UPDATE.replace("= 1", "= 2")))["status"] == "succeeded"
    (permission,) = await permissions.list_permissions()
    with pytest.raises(DecisionRefused, match="role"):
        await permissions.revoke(permission.id, runtime=shop.for_tenant("default", user="nobody"))
    await people.remove("bo", runtime=ann)
    assert (await tried(UPDATE.replace("= 1", "= 3")))["status"] == "waiting"


async def test_what_needs_two_people_is_not_always_allowed_by_one(shop: Runtime) -> None:
    permission = await granted()
    ann = shop.for_tenant("default", user="ann")
    await people.add("ann", ["admin"], runtime=ann)
    await people.add("tester", ["approver"], runtime=ann)
    strict = shop.settings.model_copy(update={"quorum": "LOW=2, MEDIUM=2, HIGH=2, CRITICAL=2"})
    runtime = await open_runtime(strict)
    with use_runtime(runtime):
        asked = await tried(UPDATE.replace("= 1", "= 2"))
        assert (asked["status"], permission.granted_by) == ("waiting", "tester")
        with pytest.raises(DecisionRefused, match="needs 2 people"):
            await safe_executor.decide(asked["approval_id"], "approve", always=HOURS, decided_by="ann")
    await runtime.close()
