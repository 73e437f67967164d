"""What AGENT_DENY names never reaches a model, whatever form a statement asks for it in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.running import running

TABLES = """
create table public.people (id bigint primary key, name text, email text, card_number text, born date);
insert into public.people values (1, 'Ann', 'SECRET-mail', 'SECRET-card', '1990-01-01');
create table public.orders (id bigint primary key, person_id bigint references public.people, total numeric);
insert into public.orders values (1, 1, 5);
create table public.payroll (id bigint primary key, salary text);
insert into public.payroll values (1, 'SECRET-salary');
create view public.mailing as select id, email as address from public.people;
create view public.mailing_deep as select * from public.mailing;
create view public.names as select id, name from public.people;
create materialized view public.cards as select id, card_number as c from public.people;
create table public.events (id bigint, who text, secret text) partition by range (id);
create table public.events_1 partition of public.events for values from (0) to (100);
insert into public.events values (1, 'x', 'SECRET-event');
"""
DENY = "people.email, people.card_*, payroll, public.events.secret"

LEAKS = r"""
SELECT * FROM people
TABLE people
SELECT p.* FROM people p
SELECT people FROM people
SELECT p FROM people p
SELECT p::text FROM people p
SELECT to_jsonb(p) FROM people p
SELECT row_to_json(people) FROM people
SELECT json_agg(p) FROM people p
SELECT array_agg(p) FROM people p
SELECT ROW(p.*) FROM people p
SELECT (p).email FROM people p
SELECT (p).* FROM people p
SELECT email(p) FROM people p
SELECT p.email FROM people p
SELECT email FROM public.people
SELECT "email" FROM "people"
SELECT public.people.email FROM public.people
SELECT upper(email) FROM people
SELECT substr(p.card_number, 1, 1) FROM people p
SELECT id FROM people WHERE email LIKE 'S%'
SELECT id FROM people ORDER BY email
SELECT count(*) FROM people GROUP BY email
SELECT max(email) FROM people
SELECT id FROM people p JOIN orders o ON o.person_id = p.id AND p.email > 'a'
SELECT * FROM orders o JOIN people p ON p.id = o.person_id
SELECT o.*, p.* FROM orders o, people p
SELECT * FROM (SELECT * FROM people) x
SELECT x.a FROM (SELECT email AS a FROM people) x
WITH x AS (SELECT * FROM people) SELECT * FROM x
WITH x AS (TABLE people) SELECT count(*) FROM x
WITH x(a, b, c, d, e) AS (SELECT * FROM people) SELECT c FROM x
SELECT c FROM people AS p(a, b, c, d, e)
SELECT c FROM (people CROSS JOIN orders) AS j(a, b, c, d, e, f, g, h)
SELECT j FROM (people CROSS JOIN orders) AS j
SELECT j.* FROM (people CROSS JOIN orders) AS j
SELECT u FROM (people JOIN orders USING (id) AS u)
SELECT 1 FROM people NATURAL JOIN (SELECT 'x' AS email) y
SELECT 1 FROM people JOIN (SELECT 'SECRET-mail' AS email) y USING (email)
SELECT name FROM people UNION SELECT email FROM people
SELECT id::text, name, name, name, born FROM people UNION ALL SELECT id::text, name, email, card_number, born FROM people
SELECT (SELECT email FROM people LIMIT 1)
SELECT ARRAY(SELECT p FROM people p)
SELECT l.* FROM orders o, LATERAL (SELECT p.* FROM people p WHERE p.id = o.person_id) l
SELECT k.value FROM people p, jsonb_each(to_jsonb(p)) k
SELECT coalesce(p, p) FROM people p
SELECT email.email FROM people AS email
SELECT * FROM payroll
SELECT id FROM payroll
SELECT count(*) FROM public.payroll
SELECT 1 FROM orders WHERE EXISTS (SELECT FROM payroll WHERE salary LIKE 'S%')
SELECT * FROM mailing
SELECT address FROM mailing_deep
SELECT c FROM cards
SELECT secret FROM events
SELECT * FROM events_1
SELECT e.secret FROM events_1 e
SELECT most_common_vals FROM pg_stats WHERE tablename = 'people'
EXPLAIN ANALYZE SELECT * FROM people WHERE email = 'x'
UPDATE people SET name = 'x' WHERE id = 1 RETURNING *
UPDATE people SET name = email WHERE id = 1
DELETE FROM people WHERE id = 1 RETURNING email
UPDATE people SET name = 'x' RETURNING old.*
UPDATE people SET name = 'x' RETURNING WITH (OLD AS o) o.email
UPDATE orders o SET total = 1 FROM people p WHERE p.id = o.person_id RETURNING p
INSERT INTO orders SELECT id, id, length(email) FROM people
INSERT INTO people (id, name) VALUES (9, 'x') RETURNING people
MERGE INTO orders o USING people p ON p.id = o.id WHEN MATCHED THEN UPDATE SET total = length(p.email)
""".strip().splitlines()

FINE = r"""
SELECT id, name FROM people
SELECT p.id, p.name, o.total FROM people p JOIN orders o ON o.person_id = p.id
SELECT count(*) FROM people
SELECT * FROM orders
SELECT o.* FROM orders o JOIN people p ON p.id = o.person_id
SELECT * FROM (SELECT id, name FROM people) x
WITH x AS (SELECT id, name FROM people) SELECT * FROM x
SELECT * FROM names
SELECT to_jsonb(x) FROM (SELECT name FROM people) x
SELECT id, who FROM events
SELECT extract(year FROM born), count(*) FROM people GROUP BY 1
""".strip().splitlines()


@pytest.fixture
async def guarded(cluster: Cluster) -> AsyncIterator[Runtime]:
    template = cluster.template("deny", lambda conn: conn.execute(TABLES))
    async with running(cluster.database(template, deny=DENY)) as runtime:
        yield runtime


async def test_no_form_of_statement_shows_a_denied_column(guarded: Runtime) -> None:
    verdicts = {sql: (await safe_executor.assess("execute_sql", {"sql": sql})).verdict for sql in LEAKS}
    assert [sql for sql, verdict in verdicts.items() if verdict != "refuse"] == []


async def test_a_refusal_names_the_columns_that_are_allowed(guarded: Runtime) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": "SELECT * FROM people"})
    assert result["status"] == "refused"
    assert "allowed are: id, name, born" in result["error"]


async def test_what_is_not_denied_runs(guarded: Runtime) -> None:
    for sql in FINE:
        result = await safe_executor.execute("execute_sql", {"sql": sql})
        assert result["success"], (sql, result)
        assert "SECRET" not in str(result)


async def test_query_data_leaves_denied_columns_out_and_refuses_them_by_name(guarded: Runtime) -> None:
    result = await safe_executor.execute("query_data", {"table": "people"})
    assert result["columns"] == ["id", "name", "born"]
    assert (await safe_executor.execute("query_data", {"table": "people", "columns": ["email"]}))["status"] == "refused"
    by_filter = {"table": "people", "columns": ["id"], "filters": [{"column": "email", "op": "like", "value": "S%"}]}
    assert (await safe_executor.execute("query_data", by_filter))["status"] == "refused"
    assert (await safe_executor.execute("query_data", {"table": "payroll"}))["status"] == "refused"


async def test_an_approved_write_reads_denied_columns_back_to_nobody(guarded: Runtime) -> None:
    from agent.approval.human_approval import human_approval_queue

    asked = await safe_executor.execute(
        "execute_sql", {"sql": "UPDATE people SET name = 'Bea' WHERE id = 1"}, wait=False
    )
    await human_approval_queue.decide(asked["approval_id"], "approve")
    done = await safe_executor.run_approved(asked["approval_id"])
    assert done["columns"] == ["id", "name"]
    assert "SECRET" not in str(done)
    with psycopg.connect(guarded.settings.database_url.get_secret_value()) as conn:
        assert "SECRET" not in str(conn.execute("select result from agents.agent_execution_log").fetchall())


async def test_what_was_approved_before_a_table_was_denied_is_not_executed(cluster: Cluster) -> None:
    settings = cluster.database(cluster.template("deny", lambda conn: conn.execute(TABLES)))
    before = await open_runtime(settings)
    sql = "UPDATE payroll SET salary = 'more' WHERE id = 1 RETURNING salary"
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=before)
    await human_approval_queue.decide(asked["approval_id"], "approve", runtime=before)
    await before.close()
    now = await open_runtime(settings.model_copy(update={"deny": DENY}))
    for _ in range(2):  # and that is final
        result = await safe_executor.run_approved(asked["approval_id"], runtime=now)
        assert (result["success"], result["status"]) == (False, "refused")
        assert "payroll" in result["error"]
    await now.close()
    with psycopg.connect(settings.database_url.get_secret_value()) as conn:
        assert conn.execute("select salary from payroll").fetchone() == ("SECRET-salary",)
