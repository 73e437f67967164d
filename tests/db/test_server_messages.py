"""An error of the server quotes no row to the model, the log, the stored rows, or whoever prints a traceback."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import structlog

from agent.approval.human_approval import human_approval_queue
from agent.db import setup
from agent.errors import StatementFailed
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.statements.trusted_functions import trusted_functions
from agent.testing.cluster import Cluster
from agent.testing.running import running
from agent.types import ToolResult

TABLES = """
do $$ begin if to_regrole('shopkeeper') is null then create role shopkeeper; end if; end $$;
grant create on schema public to shopkeeper;
set role shopkeeper;
create type public.mood as enum ('calm', 'glad');
create domain public.short as text check (length(value) < 4);
create table public.acc (
  id int primary key, name text not null, ssn text unique, n int check (n < 10), code varchar(3), during int4range,
  password text, exclude using gist (during with &&)
);
insert into public.acc values (1, 'Ann', '77SECRET-ssn', 1, 'a', '[1,5)', '77SECRET-pw'), (2, 'Bob', '77SECRET-two', 2, 'b', '[7,9)', '{"77SECRET');
create table public.child (acc_id int not null references public.acc on delete set null, note text);
insert into public.child values (1, '77SECRET-note');
create table public.late (id int primary key deferrable initially deferred, hidden text references public.acc (ssn) on update cascade);
insert into public.late values (1, '77SECRET-ssn');
create table public.parts (id int, place text, secret_note text) partition by list (place);
create table public.vault (pw text);
insert into public.vault values ('77SECRET-vault');
create view public.few as select id, name, n from public.acc where n < 5 with check option;
create function public.told() returns int stable language plpgsql as $$
begin raise exception 'he is %', (select pw from public.vault)
  using errcode = '23505', detail = 'DETAIL 77SECRET', hint = '77SECRET', constraint = '77SECRET-c', table = '77SECRET-t', column = '77SECRET-k'; end $$;
create function public.state_told() returns int stable language plpgsql as $$
begin raise exception using errcode = 'SSN77', message = '77SECRET'; end $$;
create function public.gone() returns int stable language plpgsql as $$
begin raise exception using errcode = '57P01', message = '77SECRET'; end $$;
create function public.named() returns int stable language plpgsql as $$
begin raise exception using errcode = '42P01', message = 'relation "agents.77SECRET" does not exist'; end $$;
create function public.looked() returns trigger language plpgsql as $$
begin raise notice 'it is %', old.ssn; if new.name = 'stop' then raise exception 'no: %', old.ssn; end if; return new; end $$;
create trigger looked before update on public.acc for each row execute function public.looked();
reset role;
"""
READS = """
SELECT password::int FROM acc
SELECT password::date FROM acc
SELECT password::json FROM acc
SELECT password::uuid FROM acc
SELECT password::mood FROM acc
SELECT password::short FROM acc
SELECT password::int[] FROM acc
SELECT ('[' || password)::int4range FROM acc
SELECT password::inet FROM acc
SELECT password::bit(4) FROM acc
SELECT (password || ' x')::tsquery FROM acc
SELECT ('$.' || password || '..')::jsonpath FROM acc
SELECT 'a' ~ ('(' || password) FROM acc
SELECT date_trunc(password, now()) FROM acc
SELECT now() AT TIME ZONE (password || '/x') FROM acc
SELECT to_date(password, 'YYYY') FROM acc
SELECT encode('a', password) FROM acc
SELECT pg_size_bytes(password) FROM acc
SELECT has_table_privilege(password, 'select') FROM acc
EXPLAIN ANALYZE SELECT password::numeric FROM acc
SELECT told()
SELECT state_told()
SELECT gone()
SELECT named()
""".strip().splitlines()
WRITES = """
UPDATE acc SET id = null
UPDATE acc SET name = null WHERE id = 1
UPDATE acc SET n = 50
UPDATE acc SET name = 'stop'
UPDATE acc SET id = 1
UPDATE acc SET during = '[1,9)'
INSERT INTO acc (id, name, ssn) VALUES (3, 'c', '77SECRET' || '-ssn')
INSERT INTO child VALUES (99, 'x')
DELETE FROM acc WHERE id = 1
UPDATE late SET hidden = 'nobody'
INSERT INTO late VALUES (1, null)
UPDATE few SET n = 7 WHERE id = 1
INSERT INTO parts (id, place, secret_note) SELECT id, 'b', password FROM acc
UPDATE acc SET code = password
UPDATE acc SET n = password::int
ALTER TABLE child ADD FOREIGN KEY (note) REFERENCES acc (ssn)
ALTER TABLE acc ALTER COLUMN password TYPE int USING password::int
CREATE UNIQUE INDEX ON acc ((password IS NULL))
ALTER TABLE acc ADD CHECK (n < 2)
ALTER TABLE child ADD UNIQUE (note), ALTER COLUMN note TYPE int USING note::int
""".strip().splitlines()


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A server of its own: who owns tables is a role of the server."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
async def guarded(own_cluster: Cluster) -> AsyncIterator[Runtime]:
    template = own_cluster.template("error_words", lambda conn: conn.execute(TABLES))
    settings = own_cluster.database(template, deny="acc.ssn, late.hidden", actor_rights="schema", ask_from="HIGH")
    setup.setup_logins(
        settings.database_url.get_secret_value(), settings.secret.get_secret_value(), actor_rights="schema"
    )
    async with running(settings) as runtime:
        for name in ("told", "state_told", "gone", "named"):
            await trusted_functions.trust(f"public.{name}()", runtime=runtime)
        yield runtime


async def _run(sql: str) -> ToolResult:
    return await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)


def _stored(runtime: Runtime) -> str:
    assert runtime.settings.database_url is not None
    with psycopg.connect(runtime.settings.database_url.get_secret_value()) as conn:
        tables = (
            "agent_execution_log",
            "human_approval_queue",
            "tool_calls",
            "agent_memory",
            "audit_unsealed",
            "audit_log",
        )
        return "".join(str(conn.execute(f"select t::text from agents.{table} t").fetchall()) for table in tables)


async def test_an_error_quotes_no_row_anywhere(guarded: Runtime) -> None:
    told, statuses = {}, {}
    with structlog.testing.capture_logs() as events:
        for sql in (*READS, *WRITES):
            result = await _run(sql)
            told[sql], statuses[sql] = str(result), result["status"]
            if result["status"] == "waiting":  # what is not tried fails when it is done
                await human_approval_queue.decide(result["approval_id"], "approve")
                result = await safe_executor.run_approved(result["approval_id"])
                told[sql], statuses[sql] = told[sql] + str(result), result["status"]
    assert {sql: status for sql, status in statuses.items() if status != "failed"} == {}
    shown = {sql: text for sql, text in told.items() if "77SECRET" in text.replace(sql, "") or "SSN77" in text}
    assert shown == {}
    assert "77SECRET" not in str(events)
    stored = _stored(guarded)
    for sql in (*READS, *WRITES):
        stored = stored.replace(sql.replace("'", "\\'"), "").replace(sql, "")
    assert "77SECRET" not in stored.replace("''77SECRET'' || ''-ssn''", "").replace("\\'77SECRET\\' || \\'-ssn\\'", "")


async def test_the_model_is_told_what_to_mend(guarded: Runtime) -> None:
    wanted = {
        "UPDATE acc SET id = null": ("id", "acc", "give it a value"),
        "UPDATE acc SET n = 50": ("acc_n_check", "pg_get_constraintdef"),
        "UPDATE acc SET id = 1": ("acc_pkey", "(id)", "another value"),
        "INSERT INTO child VALUES (99, 'x')": ("child_acc_id_fkey", "refers to"),
        "UPDATE acc SET during = '[1,9)'": ("acc_during_excl", "conflict"),
        "UPDATE few SET n = 7 WHERE id = 1": ("few", "check option"),
        "SELECT name::int FROM acc": ("integer", "leave such rows out"),
        "SELECT id / 0 FROM acc": ("nullif",),
        "SELECT nmae FROM acc": ('"nmae" does not exist', "acc.name"),
        "SELECT id FROM acc WHERE id = 'abc'": ('"abc"', "integer"),
        "SELECT told()": ("the function told (line 2)", "prosrc"),
    }
    results = {sql: str((await _run(sql))["error"]) for sql in wanted}
    missing = {sql: results[sql] for sql, parts in wanted.items() if not all(part in results[sql] for part in parts)}
    assert missing == {}


async def test_a_denied_name_is_told_to_nobody_who_did_not_say_it(guarded: Runtime) -> None:
    for sql in ("SELECT sn FROM acc", "SELECT snn FROM acc", "INSERT INTO acc VALUES (9, 'x', 5::int4range)"):
        assert "ssn" not in str(await _run(sql)), sql


async def test_a_traceback_of_an_error_quotes_no_row(guarded: Runtime) -> None:
    from agent.execution.reads.reader import read
    from agent.statements.parser import parse

    with pytest.raises(StatementFailed) as failed:
        await read(parse("SELECT password::int FROM acc"), runtime=guarded)
    assert "77SECRET" not in "".join(traceback.format_exception(failed.value))
    with pytest.raises(psycopg.Error) as raw:
        async with guarded.app.connection("agent_reader") as conn:
            await conn.execute("SELECT password::int FROM acc")
    assert "77SECRET" not in "".join(traceback.format_exception(raw.value))
