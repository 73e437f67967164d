"""Row-level security hides rows: an answer that is not about all of them begins with that, and no other one does."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.db import setup
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.scripted_model import call, scripted_client
from agent.types import ToolResult

TABLES = """
create table todos (id int primary key, owner text, task text);
insert into todos select n, case when n <= 20 then 'me' else 'you' end, 'task ' || n from generate_series(1, 200) n;
create table open_notes (id int primary key, todo int references todos, note text);
insert into open_notes select n, n + 17, 'note' from generate_series(1, 5) n;
alter table todos enable row level security;
analyze;
"""
SOME = "owner = coalesce(current_setting('request.jwt.claim.sub', true), 'me')"
COUNT = "select count(*) from todos"
OTHERS = "Of the rows that I may see (row-level security of public.todos may hide others)"
EVERY = "Of the rows that I may see (row-level security of public.todos hides every row)"
ABOUT = "The server's statistics say that public.todos has about 200 rows"


@dataclass(frozen=True)
class Case:
    """What is set up beside the tables, a read, and how its answer begins ('': with nothing)."""

    name: str
    setup: str
    sql: str
    begins: str


def policy(rest: str, *, table: str = "todos") -> str:
    return f"create policy p{zlib.crc32(rest.encode()) % 10_000} on {table} {rest};"


MINE = policy(f"for all using ({SOME})")
CASES = [
    Case("no policy at all", "", COUNT, EVERY),
    Case("the constant true", policy("using (true)"), COUNT, ""),
    Case("a condition", MINE, COUNT, OTHERS),
    Case("a condition for reads", policy(f"for select using ({SOME})"), COUNT, OTHERS),
    Case("a policy for updates only", policy("for update using (true)"), COUNT, EVERY),
    Case("for a role that the reader is no member of", "create role web; " + policy("to web using (true)"), COUNT, EVERY),
    Case("for the reader itself", policy("to agent_reader using (true)"), COUNT, ""),
    Case("the constant false", policy("using (false)"), COUNT, EVERY),
    Case("true beside a condition", MINE + policy("using (true)"), COUNT, ""),
    Case("a restrictive condition", policy("using (true)") + policy(f"as restrictive using ({SOME})"), COUNT, OTHERS),
    Case("a restrictive true", policy("using (true)") + policy("as restrictive using (true)"), COUNT, ""),
    Case("a restrictive false", policy("using (true)") + policy("as restrictive using (false)"), COUNT, EVERY),
    Case("only restrictive ones", policy("as restrictive using (true)"), COUNT, EVERY),
    Case("not enabled", MINE + "alter table todos disable row level security", COUNT, ""),
    Case("owned by the reader", MINE + "alter table todos owner to agent_reader", COUNT, ""),
    Case("owned and forced", MINE + "alter table todos owner to agent_reader; alter table todos force row level security", COUNT, OTHERS),
    Case("a view with its owner's rights", MINE + "create view v as select * from todos", "select count(*) from v", ""),
    Case("a view with the caller's rights", MINE + "create view v with (security_invoker) as select * from todos",
         "select count(*) from v", OTHERS),
    Case("a view of the caller's inside of an owner's", MINE + "create view v with (security_invoker = on) as select * from todos;"
         "create view w as select * from v", "select count(*) from w", OTHERS),
    Case("an owner's view inside of a caller's", MINE + "create view v as select * from todos;"
         "create view w with (security_invoker = on) as select * from v", "select count(*) from w", ""),
    Case("a view whose owner the policy is about", MINE + "create role app; grant all on schema public to app; grant select on todos to app;"
         "create view v as select * from todos; alter view v owner to app", "select count(*) from v", OTHERS),
    Case("a materialised view", MINE + "create materialized view m as select * from todos", "select count(*) from m", ""),
    Case("a join", MINE, "select count(*) from open_notes n join todos t on t.id = n.todo", OTHERS),
    Case("a subquery", MINE, "select note from open_notes where exists (select from todos t where t.id = todo)", OTHERS),
    Case("a CTE", MINE, "with mine as (select * from todos) select count(*) from mine", OTHERS),
    Case("another table alone", MINE, "select count(*) from open_notes", ""),
    Case("a plan", MINE, "explain select * from todos", ""),
    Case("a policy that looks at the table", MINE + "alter table open_notes enable row level security;"
         + policy("using (exists (select from todos t where t.id = todo))", table="open_notes"),
         "select count(*) from open_notes", "Of the rows that I may see (row-level security of public.open_notes may hide others)"),
    Case("two tables", MINE + "alter table open_notes enable row level security",
         "select count(*) from open_notes n join todos t on t.id = n.todo", "Of the rows that I may see (row-level security of"
         " public.todos may hide others and that of public.open_notes hides every row)"),
    Case("a partition by itself", "create table log (at int, t text) partition by range (at); create table log_1 partition of log"
         " for values from (0) to (10); alter table log_1 enable row level security;", "select count(*) from log_1",
         "Of the rows that I may see (row-level security of public.log_1 hides every row)"),
    Case("a partition through its parent", "create table log (at int, t text) partition by range (at); create table log_1 partition of"
         " log for values from (0) to (10); alter table log_1 enable row level security;", "select count(*) from log", ""),
]  # fmt: skip


async def ask(runtime: Runtime, sql: str) -> ToolResult:
    return await safe_executor.execute("execute_sql", {"sql": sql}, runtime=runtime)


def run(settings: Settings, text: str) -> None:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as conn:
        for statement in filter(str.strip, text.split(";")):
            conn.execute(statement.encode())
    setup.set_up(settings)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_read_says_of_which_rows_it_is(settings: Settings, runtime: Runtime, case: Case) -> None:
    run(settings, TABLES + case.setup)
    result = await ask(runtime, case.sql)
    assert result["success"], result
    assert [*result.get("remarks", ())][:1] == [case.begins][: bool(case.begins)]
    # The remark is true: an administrator sees other rows just where it is said that some are hidden.
    assert settings.database_url is not None
    if "explain" not in case.sql and "partition" not in case.name and "whose owner" not in case.name:
        with psycopg.connect(settings.database_url.get_secret_value()) as conn:
            everything = [list(row) for row in conn.execute(case.sql.encode())]
        assert (result["rows"] != everything) == bool(case.begins), (result["rows"], everything)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (COUNT, [OTHERS, ABOUT]),  # 20 of 200
        ("select * from todos where id = 150", [OTHERS, ABOUT]),
        ("select max(id) from todos where id > 100", [OTHERS, ABOUT]),
        ("select owner, count(*) from todos group by 1", [OTHERS]),
        ("select task from todos where id < 3", [OTHERS]),
        ("select sum(n) from (values (1), (2)) as v (n)", []),
    ],
)
async def test_statistics_that_contradict_a_count_are_said(
    settings: Settings, runtime: Runtime, sql: str, told: list[str]
) -> None:
    run(settings, TABLES + MINE)
    assert (await ask(runtime, sql)).get("remarks", []) == told


async def test_partitions_are_counted_together(settings: Settings, runtime: Runtime) -> None:
    run(
        settings,
        "create table log (at int) partition by range (at); create table log_1 partition of log for values from (0) to (10);"
        "create table log_2 partition of log for values from (10) to (20); insert into log select n from generate_series(0, 19) n;"
        "alter table log enable row level security; analyze",
    )
    told = (await ask(runtime, "select count(*) from log"))["remarks"]
    assert told[1:] == ["The server's statistics say that public.log has about 20 rows"]


@pytest.mark.parametrize(
    ("policies", "sql", "begins"),
    [
        (MINE, "update todos set task = 'x' where id = 150", "Of the rows that I may change (row-level security of public.todos may hide others)"),
        (MINE, "delete from todos where id = 150", "Of the rows that I may change (row-level security of public.todos may hide others)"),
        (MINE, "insert into todos values (300, 'me', 'x')", ""),
        (policy("using (true)"), "delete from todos where id = 150", ""),
        (policy("for select using (true)") + policy(f"for update using ({SOME})"), "update todos set task = 'x' where id = 150",
         "Of the rows that I may change (row-level security of public.todos may hide others)"),
        (policy("for select using (true)") + policy("for update using (true)"), "update todos set task = 'x' where id = 150", ""),
        (policy("for select using (true)"), "update todos set task = 'x' where id = 150",
         "Of the rows that I may change (row-level security of public.todos hides every row)"),
        (policy("for select using (true)"), "update open_notes n set note = task from todos t where t.id = n.todo", ""),
        (MINE, "update open_notes n set note = task from todos t where t.id = n.todo and t.id > 100",
         "Of the rows that I may change (row-level security of public.todos may hide others)"),
        (MINE + "create view v with (security_invoker) as select * from todos", "update v set task = 'x' where id = 150",
         "Of the rows that I may change (row-level security of public.todos may hide others)"),
        (MINE, "insert into open_notes select id, id, task from todos where id > 100",
         "Of the rows that I may change (row-level security of public.todos may hide others)"),
    ],
)  # fmt: skip
async def test_a_write_says_it_before_it_is_decided_and_after(
    settings: Settings, runtime: Runtime, policies: str, sql: str, begins: str
) -> None:
    run(settings, TABLES + policies)
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    assert asked["status"] == "waiting", asked
    approval = await human_approval_queue.decide(asked["approval_id"], "approve", runtime=runtime)
    assert approval.preview is not None
    assert approval.preview_json.get("remarks", []) == ([begins] if begins else [])
    done = await safe_executor.run_approved(approval.id, runtime=runtime)
    assert done["success"]
    assert done.get("remarks", []) == ([begins] if begins else [])
    assert ("hides were not looked at" in done["message"]) == bool(begins)  # none of these finds its row


async def test_an_answer_begins_with_it_whatever_a_model_says(settings: Settings, runtime: Runtime) -> None:
    run(settings, TABLES + MINE)
    offline = await chat.answer("How many todos are there?", runtime=runtime)
    assert offline.text == f"{OTHERS}: 20 todos.\n({ABOUT}.)"
    assert offline.sources["remarks"] == [OTHERS, ABOUT]
    model = scripted_client([call("execute_sql", sql=COUNT), "There are 20."])
    answer = await chat.answer("How many todos are there?", runtime=replace(runtime, model=model))
    assert answer.text == f"{OTHERS}: There are 20.\n({ABOUT}.)"
    assert OTHERS in model.requests[-1][-1].text


async def test_who_gains_or_loses_a_role_is_answered_anew(settings: Settings, runtime: Runtime) -> None:
    run(settings, TABLES + "create role staff_of_todos;" + policy("to staff_of_todos using (true)"))
    assert (await ask(runtime, COUNT))["remarks"][0] == EVERY
    run(settings, "grant staff_of_todos to agent_reader; alter role agent_reader inherit")
    run(settings, "grant staff_of_todos to agent_reader with inherit true")
    result = await ask(runtime, COUNT)
    assert (result["rows"], result.get("remarks", [])) == ([[200]], [])
    run(settings, "revoke staff_of_todos from agent_reader; alter role agent_reader noinherit")
    assert (await ask(runtime, COUNT))["remarks"][0] == EVERY
