"""Secret columns are masked in results, whatever form a statement shows them in; what else tells of them asks a human."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.execution.safe_executor import safe_executor
from agent.learning.auto_discover import auto_discovery
from agent.runtime import Runtime
from agent.statements.trusted_functions import trusted_functions
from agent.testing.scripted_model import call, scripted_client

PLANTED = "Zq7-plain-Xw93kT"
TABLES = f"""
create table public.clients (id bigint primary key, name text, portal_token text, pin text, note text);
comment on column public.clients.note is 'for the staff; never show it';
insert into public.clients values (1, 'Ann', '{PLANTED}', '{PLANTED}pin', '{PLANTED}note'), (2, 'Bo', null, null, null);
create table public.orders (id bigint primary key, client_id bigint references public.clients, total numeric);
insert into public.orders values (10, 1, 5), (11, 2, 6);
create view public.access as select c.id, c.portal_token as t, upper(c.note) as u from public.clients c;
create view public.deep as select id, concat(t, '!') as x from public.access;
create materialized view public.stored as select id, portal_token as p from public.clients;
create table public.keyed (id bigint, api_key text) partition by range (id);
create table public.keyed_1 partition of public.keyed for values from (0) to (100);
insert into public.keyed values (1, '{PLANTED}');
"""

# Run unasked; a "?" stands where the cells are hidden, for each column of the result.
MASKED = """
?-??   SELECT portal_token, name, pin, note FROM clients WHERE id = 1
--???  SELECT * FROM clients
?      SELECT c FROM clients c
?      SELECT c::text FROM clients c
?      SELECT concat_ws('|', c.*) FROM clients c
--     SELECT a, b FROM clients AS x(a, b, c, d, e)
?-     SELECT x.c, x.a FROM clients AS x(a, b, c, d, e)
?      SELECT string_agg(portal_token, ',') FROM clients
?      SELECT row_to_json(c) FROM clients c
?      SELECT to_jsonb(c) - 'id' FROM clients c
?      SELECT json_build_object('a', portal_token) FROM clients
?      SELECT jsonb_agg(c) FROM clients c
?      SELECT array_agg(portal_token) FROM clients
?      SELECT ARRAY[name, portal_token] FROM clients
?      SELECT ROW(id, portal_token) FROM clients
?      SELECT coalesce(portal_token, '') FROM clients
?      SELECT CASE WHEN id = 1 THEN portal_token ELSE 'none' END FROM clients
?      SELECT CASE WHEN portal_token = 'guess' THEN 'yes' ELSE 'no' END FROM clients
-      SELECT CASE WHEN portal_token IS NULL THEN 'none' ELSE 'some' END FROM clients
?      SELECT portal_token = 'guess' FROM clients
?      SELECT left(portal_token, 1) FROM clients
?      SELECT substr(portal_token, 2, 1) FROM clients
?      SELECT reverse(portal_token) FROM clients
?      SELECT md5(portal_token) FROM clients
?      SELECT length(portal_token) FROM clients
?      SELECT translate(portal_token, 'abc', 'xyz') FROM clients
?      SELECT portal_token || '' FROM clients
?      SELECT 'x' || portal_token || 'y' AS name FROM clients
?      SELECT max(portal_token) FROM clients
?      SELECT (SELECT portal_token FROM clients WHERE id = 1)
?      SELECT (SELECT portal_token FROM clients c WHERE c.id = o.client_id) FROM orders o
?-     SELECT q.t, q.i FROM (SELECT portal_token AS t, id AS i FROM clients) q
?      WITH w AS (SELECT portal_token AS name FROM clients) SELECT name FROM w
?      WITH w(a) AS (TABLE stored) SELECT p FROM w
?      WITH RECURSIVE w(n, t) AS (SELECT 1, ''::text UNION ALL SELECT n + 1, c.portal_token FROM w JOIN clients c ON c.id = n WHERE n < 3) SELECT t FROM w
-??    SELECT * FROM access
?      SELECT x FROM deep
-?     SELECT * FROM stored
?      SELECT portal_token FROM clients UNION ALL SELECT name FROM clients
?      SELECT name FROM clients UNION ALL SELECT portal_token FROM clients
?--    SELECT portal_token, o.id, total FROM clients c JOIN orders o ON o.client_id = c.id
-----? SELECT o.*, c.id, c.name, j FROM orders o JOIN clients c ON c.id = o.client_id, LATERAL (SELECT c.portal_token AS j) l
?      SELECT j FROM clients c, LATERAL (VALUES (c.portal_token)) v(j)
?      SELECT lag(portal_token) OVER (ORDER BY id) FROM clients
-?     SELECT * FROM keyed
-?     SELECT * FROM keyed_1
--?    SELECT DISTINCT id, name, portal_token FROM clients
?-     SELECT portal_token, count(*) FROM clients GROUP BY portal_token
?      SELECT (c).portal_token FROM clients c
?      SELECT (SELECT array_agg(c) FROM clients c)
?      SELECT (to_jsonb(c))['portal_token'] FROM clients c
?      SELECT to_jsonb(c) -> 'portal_token' FROM clients c
?      SELECT to_jsonb(c) ->> 'portal_token' FROM clients c
?      SELECT first_value(c.portal_token) OVER () FROM clients c
?      SELECT greatest(portal_token, name) FROM clients
?      SELECT nullif(portal_token, 'x') FROM clients
?      SELECT portal_token::varchar(4) FROM clients
?      SELECT most_common_vals FROM pg_stats WHERE tablename = 'clients'
"""
OPEN = """
SELECT id, name FROM clients
SELECT count(portal_token) FROM clients
SELECT count(*) FROM clients WHERE portal_token IS NULL
SELECT count(DISTINCT portal_token) FROM clients
SELECT portal_token IS NOT NULL AS has_one FROM clients
SELECT name FROM clients WHERE portal_token = 'guess'
SELECT name FROM clients WHERE portal_token IN ('guess', 'other')
SELECT name FROM clients WHERE portal_token <> 'guess'
SELECT a.id FROM clients a JOIN clients b ON a.portal_token = b.portal_token
SELECT name FROM clients WHERE portal_token IN (SELECT portal_token FROM clients WHERE id = 2)
SELECT o.id FROM orders o WHERE EXISTS (SELECT portal_token FROM clients c WHERE c.id = o.client_id)
SELECT name, (SELECT count(*) FROM orders o WHERE o.client_id = c.id) FROM clients c
SELECT id FROM access
SELECT tablename, n_distinct FROM pg_stats
SELECT id FROM clients GROUP BY id, portal_token ORDER BY id
"""
ASKED = """
SELECT name FROM clients WHERE portal_token LIKE 'a%'
SELECT name FROM clients WHERE portal_token > 'm'
SELECT name FROM clients WHERE portal_token ~ '^a'
SELECT name FROM clients WHERE left(portal_token, 1) = 'a'
SELECT name FROM clients WHERE length(portal_token) > 5
SELECT name FROM clients WHERE md5(portal_token) = 'x'
SELECT name FROM clients WHERE coalesce(portal_token, 'x') = 'x'
SELECT name FROM clients WHERE starts_with(portal_token, 'a')
SELECT name FROM clients WHERE c.portal_token BETWEEN 'a' AND 'b'
SELECT name FROM clients ORDER BY portal_token
SELECT name FROM clients ORDER BY left(portal_token, 1)
SELECT name, rank() OVER (ORDER BY portal_token) FROM clients
SELECT array_agg(id ORDER BY portal_token) FROM clients
SELECT count(*) FILTER (WHERE portal_token LIKE 'a%') FROM clients
SELECT sum(CASE WHEN portal_token LIKE 'a%' THEN 1 ELSE 0 END) FROM clients
SELECT count(*) FROM clients HAVING max(portal_token) > 'm'
SELECT count(DISTINCT left(portal_token, 1)) FROM clients
SELECT DISTINCT left(portal_token, 1) FROM clients
SELECT left(portal_token, 1), count(*) FROM clients GROUP BY 1
SELECT ascii(portal_token) FROM clients
SELECT generate_series(1, length(portal_token)) FROM clients
SELECT id FROM clients, generate_series(1, length(portal_token))
SELECT id FROM orders LIMIT (SELECT length(portal_token) FROM clients WHERE id = 1)
SELECT key, value FROM clients c, json_each_text(row_to_json(c))
SELECT regexp_split_to_table(portal_token, '') FROM clients
SELECT unnest(string_to_array(portal_token, NULL)) FROM clients
SELECT portal_token::int FROM clients
SELECT 1 / (length(portal_token) - 5) FROM clients
SELECT name FROM clients c JOIN (VALUES ('guess'), ('other')) v(x) ON v.x = c.portal_token
SELECT portal_token FROM clients INTERSECT SELECT 'guess'
SELECT portal_token FROM clients EXCEPT SELECT 'guess'
SELECT portal_token FROM clients UNION SELECT 'guess'
SELECT id FROM access WHERE t LIKE 'a%'
SELECT id FROM deep WHERE x = 'guess!'
SELECT name FROM clients c WHERE c::text LIKE '%a%'
SELECT name FROM clients c WHERE to_jsonb(c) ->> 'portal_token' LIKE 'a%'
SELECT name FROM clients WHERE (portal_token, name) > ('a', 'b')
SELECT name FROM clients WHERE portal_token > ANY (ARRAY['a'])
SELECT name FROM clients WHERE portal_token LIKE ANY (ARRAY['a%'])
SELECT name FROM clients WHERE CASE WHEN portal_token > 'm' THEN true ELSE false END
SELECT name FROM clients c JOIN orders o ON o.client_id = c.id AND c.portal_token > 'm'
SELECT (SELECT count(*) FROM orders WHERE c.portal_token > 'm') FROM clients c
EXPLAIN SELECT * FROM clients WHERE portal_token > 'm'
SELECT string_agg(name, ',' ORDER BY note) FROM clients
SELECT name FROM clients WHERE most.portal_token = 'x' OR 'a' < ANY (SELECT portal_token FROM clients)
SELECT jsonb_path_query(to_jsonb(c), '$.*') FROM clients c
SELECT name FROM clients WHERE 'x' = portal_token COLLATE "C" || ''
""".replace("c.portal_token BETWEEN", "portal_token BETWEEN").replace("most.portal_token", "portal_token")


@pytest.fixture
async def app(runtime: Runtime) -> Runtime:
    url = runtime.settings.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), autocommit=True) as admin:
        admin.execute(TABLES)
        admin.execute("analyze")
    return runtime


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


async def _execute(sql: str, runtime: Runtime, **more: Any) -> dict[str, Any]:
    return dict(await safe_executor.execute("execute_sql", {"sql": sql, **more}, wait=False, runtime=runtime))


async def test_cells_made_of_secrets_are_hidden_in_every_form(app: Runtime) -> None:
    wrong = []
    for line in _lines(MASKED):
        places, _, sql = line.partition(" ")
        result = await _execute(sql.strip(), app)
        told = json.dumps(result)
        if result["status"] != "succeeded":
            wrong.append((sql, result.get("error") or result.get("message")))
            continue
        found = "".join("?" if source else "-" for source in result.get("secrets", ["" for _ in result["columns"]]))
        leaks = PLANTED.casefold() in told.casefold() or PLANTED[::-1] in told
        if found != places or leaks or ("?" in places and "show_secrets" not in result["message"]):
            wrong.append((sql, found, result["rows"]))
        shown = [cell for row in result["rows"] for cell, place in zip(row, places, strict=False) if place == "?"]
        if any(cell not in {None, "[secret]"} for cell in shown):
            wrong.append((sql, found, shown))
    assert not wrong


async def test_what_shows_no_value_of_a_secret_runs_as_ever(app: Runtime) -> None:
    results = [(sql, await _execute(sql, app)) for sql in _lines(OPEN)]
    assert not [(sql, one) for sql, one in results if one["status"] != "succeeded" or "secrets" in one]


async def test_what_tells_of_a_secret_in_another_way_asks_a_human(app: Runtime) -> None:
    wrong = []
    for sql in _lines(ASKED):
        assessment = await safe_executor.assess("execute_sql", {"sql": sql}, runtime=app)
        if assessment.verdict != "ask" or assessment.risk != "HIGH" or "secret:tested" not in assessment.reasons:
            wrong.append((sql, assessment.verdict, assessment.reasons))
    assert not wrong


async def _approved(sql: str, runtime: Runtime, **more: Any) -> dict[str, Any]:
    waiting = await _execute(sql, runtime, **more)
    assert waiting["status"] == "waiting", waiting
    await safe_executor.decide(waiting["approval_id"], "approve", runtime=runtime)
    return dict(await safe_executor.run_approved(waiting["approval_id"], runtime=runtime))


async def test_a_human_opens_a_secret_for_one_statement(app: Runtime) -> None:
    sql = "SELECT name, portal_token FROM clients WHERE id = 1"
    assessment = await safe_executor.assess("execute_sql", {"sql": sql, "show_secrets": True}, runtime=app)
    assert (assessment.verdict, assessment.risk, assessment.reasons) == ("ask", "HIGH", ("secret:read",))
    assert "public.clients.portal_token" in assessment.sentence
    result = await _approved(sql, app, show_secrets=True)
    assert result["rows"] == [["Ann", PLANTED]]
    assert result["secrets"] == ["", "public.clients.portal_token"]


async def test_a_statement_that_was_approved_for_another_reason_hides_secrets(app: Runtime) -> None:
    result = await _approved("SELECT id, portal_token FROM clients ORDER BY portal_token", app)
    assert [row[1] for row in result["rows"]] == ["[secret]", None]
    result = await _approved("UPDATE clients SET name = 'Cy' WHERE id = 1 RETURNING *", app)
    assert PLANTED not in json.dumps(result)
    result = await _approved(
        "INSERT INTO clients (id, portal_token) VALUES (7, 'abc') RETURNING lower(portal_token), id", app
    )
    assert result["rows"] == [["[secret]", 7]]
    result = await _approved("WITH w AS (DELETE FROM clients WHERE id = 2 RETURNING *) SELECT * FROM w, clients c", app)
    assert PLANTED not in json.dumps(result)


async def test_a_write_that_copies_a_secret_is_high(app: Runtime) -> None:
    for sql in (
        "UPDATE clients SET name = portal_token WHERE id = 1",
        "INSERT INTO clients (id, name) SELECT id + 100, portal_token FROM clients",
        "UPDATE clients SET name = (SELECT portal_token FROM clients c WHERE c.id = 1) WHERE id = 2",
        "UPDATE clients SET (name, pin) = (SELECT portal_token, pin FROM clients c WHERE c.id = 1) WHERE id = 2",
    ):
        assessment = await safe_executor.assess("execute_sql", {"sql": sql}, runtime=app)
        assert assessment.risk == "HIGH", sql
        assert "secret:copied" in assessment.reasons, sql
    plain = await safe_executor.assess(
        "execute_sql", {"sql": "UPDATE clients SET portal_token = 'x' WHERE id = 1"}, runtime=app
    )
    assert "secret:copied" not in plain.reasons


async def test_the_setting_shows_whole_values_only(app: Runtime) -> None:
    told = replace(app, settings=app.settings.model_copy(update={"read_secrets": True}))
    result = await _execute("SELECT portal_token, left(portal_token, 3), md5(note) FROM clients WHERE id = 1", told)
    assert result["rows"] == [[PLANTED, "[secret]", "[secret]"]]
    opened = replace(app, settings=app.settings.model_copy(update={"open_columns": "clients.portal_token"}))
    result = await _execute("SELECT portal_token, note FROM clients WHERE id = 1", opened)
    assert result["rows"] == [[PLANTED, "[secret]"]]
    opened = replace(app, settings=app.settings.model_copy(update={"open_columns": "access.u"}))
    result = await _execute("SELECT t, u FROM access WHERE id = 1", opened)
    assert result["rows"] == [["[secret]", f"{PLANTED}note".upper()]]


@pytest.mark.parametrize(
    ("sql", "cell"),
    [
        ("SELECT c::text AS x FROM clients c WHERE id = 1", PLANTED),
        ("SELECT concat_ws('|', c.*) AS x FROM clients c WHERE id = 1", PLANTED),
        ("SELECT x.c AS x FROM clients AS x(a, b, c, d, e) WHERE a = 1", PLANTED),
        ("SELECT string_agg(portal_token, ',') AS x FROM clients", PLANTED),
        ("SELECT key, value FROM clients c, json_each_text(row_to_json(c)) WHERE id = 1", PLANTED),
        ("SELECT upper(portal_token) AS x FROM clients WHERE id = 1", PLANTED.upper()),
        ("SELECT reverse(portal_token) AS x FROM clients WHERE id = 1", PLANTED[::-1]),
        ("SELECT md5(portal_token) AS x FROM clients WHERE id = 1", hashlib.md5(PLANTED.encode()).hexdigest()),
    ],
)
async def test_a_secret_that_a_human_opened_leaves_by_no_argument(app: Runtime, sql: str, cell: str) -> None:
    read = call("execute_sql", sql=sql, show_secrets=True)
    leaks = [
        call("search_memory", query=f"who has {cell}?"),
        call("execute_sql", sql=f"select id from clients where name = '{cell}'"),
        call("remember", content=f"It is {cell.encode().hex()}"),
    ]
    asked = replace(app, model=scripted_client([read, *leaks, "Done."]), cached={})
    await auto_discovery.discover_app_structure(runtime=asked)
    answer = await chat.answer("What does client 1 have?", thread_id="t", runtime=asked)
    assert answer.status == "waiting"
    await human_approval_queue.decide(answer.approvals[0].id, "approve", runtime=asked)
    await chat.finish("t", runtime=asked)
    shown, *others = await _stored("t", asked)
    assert cell in json.dumps(shown)
    assert len(others) == len(leaks)
    assert all("repeat a secret that was read" in one["error"] for one in others)


async def _stored(thread: str, runtime: Runtime) -> list[dict[str, Any]]:
    async with runtime.connection() as conn:
        rows = await conn.execute(
            "select result from agents.tool_calls where thread_id = %s order by turn, round, ordinal", [thread]
        )
        return [row["result"] for row in await rows.fetchall()]


async def test_a_lookup_is_for_a_value_that_the_user_said(app: Runtime) -> None:
    lookup = call("execute_sql", sql="select name from clients where portal_token = 'abc-1234'")
    asking = [
        ("Whose token is abc-1234?", "done"),
        ("Whose token is it?", "waiting"),
        ("Whose is xabc-12345?", "waiting"),
    ]
    for question, status in asking:
        asked = replace(app, model=scripted_client([lookup, "Done."]), cached={})
        await auto_discovery.discover_app_structure(runtime=asked)
        answer = await chat.answer(question, runtime=asked)
        assert answer.status == status, question
        if status == "waiting":
            assert "secret:guessed" in (answer.approvals[0].reasons or ())


async def test_what_a_registered_function_reads_of_secrets_is_hidden_too(app: Runtime) -> None:
    url = app.settings.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), autocommit=True) as admin:
        admin.execute(
            """create function public.key_of(c bigint) returns text language sql stable as $$ select portal_token from public.clients where id = c $$;
            create function public.outer_of(c bigint) returns text language sql stable begin atomic select public.key_of(c); end;
            create function public.keys() returns table (a bigint, b text) language plpgsql stable as $$ begin
              return query select id, portal_token from public.clients; end $$;
            create function public.plain_of(c bigint) returns text language sql stable as $$ select name from public.clients where id = c $$"""
        )
    for name in ("public.key_of", "public.outer_of", "public.keys", "public.plain_of"):
        await trusted_functions.trust(name, runtime=app)
    for sql, hidden in (
        ("SELECT key_of(1)", True), ("SELECT outer_of(1)", True), ("SELECT b FROM keys()", True), ("SELECT upper(key_of(id)) FROM clients", True),
        ("SELECT plain_of(1)", False),
    ):  # fmt: skip
        result = await _execute(sql, app)
        assert result["status"] == "succeeded", result
        assert ("secrets" in result) is hidden, sql
        assert PLANTED.casefold() not in json.dumps(result).casefold()
    probe = await safe_executor.assess(
        "execute_sql", {"sql": "SELECT 1 FROM clients WHERE key_of(id) LIKE 'a%'"}, runtime=app
    )
    assert probe.verdict == "ask"
