"""What was done is said by table, with all that cascades and triggers did, and whether an undo can take it back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.approval.preview import as_statement
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import ToolResult

TABLES = """
create table public.customer (id integer primary key, name text, touched integer default 0);
create table public.invoice (id integer primary key, customer integer references public.customer on delete cascade);
create table public.invoice_line (id integer primary key, invoice integer references public.invoice on delete cascade);
create table public.letter (id integer primary key, customer integer references public.customer on delete set null);
create table public.seen (id integer generated always as identity primary key, what text);
create table public.tree (id integer primary key, parent integer references public.tree on delete cascade);
create table public.parted (region text, id integer, note text, primary key (region, id)) partition by list (region);
create table public.parted_n partition of public.parted for values in ('n');
create table public.parted_s partition of public.parted for values in ('s');
create table public.twice (id integer primary key, name text, slug text);
create table public.keyless (a integer);
create function public.slugged() returns trigger language plpgsql as $$ begin
  update public.twice set slug = lower(new.name) where id = new.id and old.name <> new.name;
  update public.twice set slug = 'sibling' where id = 1 and new.slug = 'q'; return null; end $$;
create trigger slugged after update on public.twice for each row execute function public.slugged();
create function public.note() returns trigger language plpgsql as $$ begin
  insert into public.seen (what) values (tg_op); return null; end $$;
create trigger noted after delete on public.letter for each row execute function public.note();
insert into public.customer select g, 'customer ' || g from generate_series(1, 9) g;
insert into public.invoice select g, 1 + g % 2 from generate_series(1, 14) g;
insert into public.invoice_line select g, 1 + g % 14 from generate_series(1, 76) g;
insert into public.letter select g, 1 + g % 5 from generate_series(1, 10) g;
insert into public.tree values (1, null), (2, 1), (3, 1), (4, 3);
insert into public.parted select case g % 2 when 0 then 'n' else 's' end, g, 'x' from generate_series(1, 6) g;
insert into public.twice values (1, 'A', 'a'), (2, 'B', 'b');
insert into public.keyless values (1), (2);
"""


@pytest.fixture(scope="module", params=["shared", "apart"])
def template(request: pytest.FixtureRequest, cluster: Cluster) -> tuple[Cluster, str, bool]:
    return cluster, cluster.template("effects_in_words", lambda conn: conn.execute(TABLES)), request.param == "apart"


@pytest.fixture
async def runtime(template: tuple[Cluster, str, bool]) -> AsyncIterator[Runtime]:
    cluster, name, apart = template
    settings: Settings = cluster.database(name, apart=apart)
    async with running(settings) as runtime:
        yield runtime


async def ask(sql: str) -> ToolResult:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert result["status"] == "waiting", result
    return result


async def undo_shown(result: ToolResult) -> str:
    return as_statement((await human_approval_queue.get(result["approval_id"])).preview).undo


async def approve(result: ToolResult) -> ToolResult:
    await human_approval_queue.decide(result["approval_id"], "approve")
    done = await safe_executor.run_approved(result["approval_id"])
    assert done["success"], done
    return done


@pytest.mark.parametrize(
    ("sql", "effects", "undo"),
    [
        ("DELETE FROM customer WHERE id = 1", "customer 1, invoice 7, invoice_line 38 deleted", "letter 2 updated"),
        ("DELETE FROM letter WHERE id < 3", "letter 2 deleted", "Can be undone, but not what triggers or cascades do: seen 2 inserted."),
        ("DELETE FROM tree WHERE id = 1", "tree 4 deleted", "Can be undone, but not what triggers or cascades do: tree 3 deleted."),
        ("UPDATE twice SET name = 'C' WHERE id = 1", "twice 1 updated", "Cannot be undone: triggers change its rows again after it."),
        ("UPDATE twice SET slug = 'q' WHERE id = 2", "twice 2 updated", "Can be undone, but not"),
        ("UPDATE parted SET region = 's' WHERE region = 'n'", "parted 3 updated", "Can be undone."),
        ("DELETE FROM parted WHERE id < 4", "parted 3 deleted", "Can be undone."),
        ("INSERT INTO customer VALUES (20, 'x'), (21, 'y')", "customer 2 inserted", "Can be undone."),
        ("UPDATE keyless SET a = 3 WHERE a = 1", "keyless 1 updated", "Cannot be undone: the table public.keyless has no primary key"),
        ("UPDATE customer SET name = name WHERE id = 4", "customer 1 updated", "nothing to undo"),
        ("UPDATE customer SET name = 'x' WHERE id = 99", "no row matched", ""),
        ("TRUNCATE keyless", "keyless 2 deleted", "Cannot be undone: only INSERT, UPDATE and DELETE can be."),
        ("INSERT INTO customer VALUES (2, 'two'), (30, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
         "customer 1 inserted; customer 1 updated", "Cannot be undone: it inserted some rows and changed others"),
    ],
)  # fmt: skip
async def test_the_effects_are_said_by_table_and_the_undo_before_and_after(
    runtime: Runtime, sql: str, effects: str, undo: str
) -> None:
    if sql.startswith("TRUNCATE"):
        url = runtime.settings.app_database_url or runtime.settings.database_url
        with psycopg.connect(url.get_secret_value()) as conn:
            conn.execute("grant truncate on public.keyless to agent_actor")
    waiting = await ask(sql)
    before = await undo_shown(waiting)
    done = await approve(waiting)
    assert effects in done["message"]
    assert undo in before
    assert done["message"].endswith(before)
    kept = (await executions.get(done["execution_id"])).result or {}
    assert kept["message"] == done["message"]  # the log says the same
    if before.startswith("Can be undone"):
        assert (await safe_executor.undo(done["execution_id"], wait=False))["status"] == "waiting"
    else:
        assert (await safe_executor.undo(done["execution_id"], wait=False))["status"] == "refused"


async def test_an_undo_says_what_it_restored_and_what_it_did_not(runtime: Runtime) -> None:
    done = await approve(await ask("DELETE FROM customer WHERE id IN (1, 3)"))
    waiting = await safe_executor.undo(done["execution_id"], wait=False)
    left = as_statement((await human_approval_queue.get(waiting["approval_id"])).preview).not_restored
    assert [table["table"] for table in left] == ["public.invoice", "public.invoice_line", "public.letter"]
    undone = await approve(waiting)
    assert undone["message"] == (
        f"Done: execution {done['execution_id']} is undone: customer 2 restored. Not restored: invoice 7, "
        "invoice_line 38 deleted; letter 4 updated; triggers or cascades of the change did that. Can be undone."
    )
    changed = await approve(await ask("UPDATE customer SET name = 'z' WHERE id IN (4, 5)"))
    back = await approve(await safe_executor.undo(changed["execution_id"], wait=False))
    assert f"execution {changed['execution_id']} is undone: customer 2 set back. Can be undone." in back["message"]


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("UPDATE customer SET name = 'n' || id WHERE id = 4", ["id", "name"], [[4, "n4"]]),
        ("UPDATE customer SET name = 'many'", ["id", "name"], [[None, "many"]] * 5),
        ("DELETE FROM customer WHERE id = 5", ["id", "name"], [[5, "customer 5"]]),
        ("INSERT INTO customer (id, name) VALUES (40, 'new')", ["id", "name", "touched"], [[40, "new", 0]]),
        ("UPDATE customer SET name = 'x' WHERE id < 8 RETURNING touched", ["touched"], [[0]] * 7),
        ("DELETE FROM keyless WHERE a = 1", ["a"], [[1]]),
        ("INSERT INTO customer (id) VALUES (50), (51) RETURNING *", ["id", "name", "touched"], [[50, None, 0], [51, None, 0]]),
    ],
)  # fmt: skip
async def test_changed_rows_come_back_by_key_and_change_and_as_asked_by_returning(
    runtime: Runtime, sql: str, columns: list[str] | None, rows: list[list[object]] | None
) -> None:
    done = await approve(await ask(sql))
    assert done.get("columns") == columns
    shown = done.get("rows")
    assert (shown and [[None if wanted is None and rows else cell for cell, wanted in zip(row, rows[n], strict=True)]
                       for n, row in enumerate(shown)]) == rows  # fmt: skip
    assert bool(done.get("truncated")) is ("many" in sql)
