"""Read and change databases as people have them through the safe executor: values, encodings, extensions, policies, names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql

from agent.db import setup
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.graph.results_for_model import fit_result
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings
from agent.statements.trusted_functions import trusted_functions
from agent.status import check_status
from agent.testing.cluster import Cluster
from agent.types import ToolResult
from benchmarks.report import Report

_MODEL_SEES = 8_000
Check = Callable[[Runtime], Awaitable[str]]
_SECRET = "a secret of the benchmark"  # opens nothing but the throw-away server


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A database and a check of it. `looks` returns what is wrong, or '' if everything is right."""

    name: str
    schema: str
    looks: Check
    encoding: str = "UTF8"


async def measure(report: Report) -> None:
    """Measure one bar for each database."""
    cluster = Cluster()
    try:
        for case in CASES:
            await _case(report, cluster, case)
    finally:
        cluster.close()


async def _case(report: Report, cluster: Cluster, case: Case) -> None:
    try:
        async with _open(cluster, case) as runtime:
            wrong = await case.looks(runtime)
    except (AgentError, psycopg.Error, UnicodeError) as error:
        wrong = f"{type(error).__name__}: {error}"
    report.bar(case.name, bar="right", reached=wrong[:150] or "right", ok=not wrong)


@asynccontextmanager
async def _open(cluster: Cluster, case: Case) -> AsyncIterator[Runtime]:
    """Open a runtime on the case's database. If its encoding is not UTF8, the agent's own tables are in another database."""
    settings = cluster.database(cluster.template("blank"))
    if case.encoding == "UTF8":
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        _fill(url, case.schema)
        _set_up(url, settings)
    else:
        settings = _apart(cluster, settings, case)
    runtime = await open_runtime(settings)
    try:
        with use_runtime(runtime):
            yield runtime
    finally:
        await runtime.close()
        cluster.drop(settings)


def _apart(cluster: Cluster, settings: Settings, case: Case) -> Settings:
    name = f"encoded_{case.encoding.lower()}"
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as conn:
        made = sql.SQL("create database {} encoding {} locale 'C' template template0")
        conn.execute(made.format(sql.Identifier(name), sql.Literal(case.encoding)))
    url = cluster.url(name)
    _fill(url, case.schema)
    _set_up(url, settings)
    return Settings(_env_file=None, **{**settings.model_dump(), "app_database_url": url})  # type: ignore[arg-type]


def _set_up(url: str, settings: Settings) -> None:
    assert settings.secret is not None
    setup.setup_logins(url, settings.secret.get_secret_value())


def _fill(url: str, schema: str) -> None:
    with psycopg.connect(url, autocommit=True, client_encoding="utf8") as conn:
        conn.execute(schema.encode())


async def _sql(text: str, runtime: Runtime) -> ToolResult:
    return await safe_executor.execute("execute_sql", {"sql": text}, wait=False, runtime=runtime)


def _rows(*expected: tuple[str, list[list[Any]]]) -> Check:
    """Return a check that each statement runs without a question and returns these rows."""

    async def looks(runtime: Runtime) -> str:
        for text, rows in expected:
            result = await _sql(text, runtime)
            if result.get("rows") != rows:
                return f"{text}: {result.get('rows')} {result.get('error') or result.get('status')}"
        return ""

    return looks


def _unasked(*statements: str) -> Check:
    async def looks(runtime: Runtime) -> str:
        for text in statements:
            assessment = await safe_executor.assess("execute_sql", {"sql": text}, runtime=runtime)
            if assessment.verdict != "run":
                return f"{text}: {assessment.sentence}"
        return ""

    return looks


def _written(values: Mapping[str, list[str]]) -> Check:
    """Return a check that each value is stored exactly in its column after a human has approved the change."""

    async def looks(runtime: Runtime) -> str:
        for column, texts in values.items():
            for text in texts:
                change = sql.SQL("update contact set {} = {} where id = 1").format(
                    sql.Identifier(column), sql.Literal(text)
                )
                result = await _approved(change.as_string(), runtime)
                shown = await _sql(f'select "{column}" from contact where id = 1', runtime)
                if shown.get("rows") != [[text]]:
                    return f"{column} = {text!r}: {shown.get('rows')} {result.get('error') or ''}"
        return ""

    return looks


async def _approved(text: str, runtime: Runtime) -> ToolResult:
    result = await _sql(text, runtime)
    if result.get("status") == "waiting":
        await safe_executor.decide(result["approval_id"], "approve", runtime=runtime)
        result = await safe_executor.run_approved(result["approval_id"], runtime=runtime)
    return result


async def _long_cells(runtime: Runtime) -> str:
    """Check the result in the form that a model gets."""
    result = json.loads(fit_result(await _sql("select * from article order by id", runtime), _MODEL_SEES))
    rows = result["rows"]
    if [row[0] for row in rows] != [1, 2, 3]:
        return f"{len(rows)} rows"
    return "" if all("12500 characters" in row[2] for row in rows) else "a cut cell does not say how long it is"


async def _policies(runtime: Runtime) -> str:
    result = await _sql("select count(*) from todos", runtime)
    if result.get("status") != "succeeded":
        return f"asked: {result.get('status')} {result.get('error') or ''}"
    if "row-level security" not in json.dumps(result, default=str).lower():
        return "no word about row-level security"
    status = json.dumps(asdict(await check_status(runtime.settings)), default=str)
    return "" if "todos" in status else "status does not name the table"


async def _odd_json(runtime: Runtime) -> str:
    for table in ("nul", "sur"):
        result = await _sql(f"select * from {table}", runtime)
        if len(result.get("rows") or []) != 1:
            return f"{table}: {result.get('error') or result.get('rows')}"
    for text in ("update nul set t = 'z' where id = 1", "delete from nul where id = 1"):
        result = await _approved(text, runtime)
        if not result["success"]:
            return f"{text}: {result.get('error') or result.get('status')}"
    return ""


async def _same_name(runtime: Runtime) -> str:
    result = await safe_executor.execute("query_data", {"table": "orders", "limit": 200}, wait=False, runtime=runtime)
    if len(result.get("rows") or []) != 5:
        return f"query_data orders: {len(result.get('rows') or [])} rows {result.get('error') or ''}"
    result = await safe_executor.execute(
        "query_data", {"table": "archive.orders", "limit": 200}, wait=False, runtime=runtime
    )
    return "" if len(result.get("rows") or []) == 100 else f"archive.orders: {len(result.get('rows') or [])} rows"


async def _trusted(runtime: Runtime) -> str:
    one = await trusted_functions.trust("public.net", runtime=runtime)
    return "" if one.signature.endswith("net(integer)") else one.signature


_CONTACT = """create table contact(id int primary key, name text, note text, phone text, tag text);
insert into contact values (1, 'Reds', 'x', '1', 't'), (2, 'Blues', 'y', '2', 't')"""
_PLACE = """create table place(id int primary key, name text, lat numeric(9,6), lon float8, rate numeric(10,6), fee numeric(6,4));
insert into place values (1, 'Berlin', 52.520008, 13.404954, 0.003456, 0.0049), (2, 'Rome', 41.902784, 12.496366, 1.084370, 12.3456);
create table big(id int primary key, n numeric); insert into big values (1, 123456789012345678901234567890.123456789)"""
_ARTICLE = """create table article(id int primary key, title text, html text);
insert into article select g, 'T' || g, repeat('x', 12500) from generate_series(1, 3) g"""
_EMPLOYEES = """create table emp(id int primary key, name text, manager_id int references emp(id));
insert into emp values (1, 'Boss', null), (2, 'Mid', 1), (3, 'Low', 2), (4, 'Lo2', 2)"""
_TODOS = """create schema auth; create table auth.users(id uuid primary key, email text);
create function auth.uid() returns uuid language sql stable as
  $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
insert into auth.users values ('00000000-0000-0000-0000-000000000001', 'a@b.c');
create table public.todos(id int primary key, user_id uuid references auth.users(id), task text);
insert into todos select g, '00000000-0000-0000-0000-000000000001', 'task ' || g from generate_series(1, 200) g;
alter table todos enable row level security; create policy own on todos for all using (auth.uid() = user_id);
grant usage on schema auth to public"""
_CHECKED = """create function ok_name(s text) returns bool language sql immutable as $$ select s = trim(s) $$;
create table chk(id int primary key, name text check (ok_name(name))); insert into chk values (1, 'a');
create function norm(s text) returns text language sql immutable as $$ select lower(trim(s)) $$;
create table idx(id int primary key, name text); create index on idx(norm(name))"""
_JSON = r"""create table nul(id int primary key, j json, t text); insert into nul values (1, '{"a":"x\u0000y"}', 'ok');
create table sur(id int primary key, j json); insert into sur values (1, '{"a":"\ud83d"}')"""
_TWO_SCHEMAS = """create schema archive; create table public.orders(id int primary key, total int, status text);
insert into public.orders select g, g * 10, 'open' from generate_series(1, 5) g;
create table archive.orders(id int primary key, total int, status text);
insert into archive.orders select g, g, 'closed' from generate_series(1, 100) g"""
_NAMES = "create table namen(id int primary key, v text); insert into namen values (1, 'abc')"
_READS = ("select count(*) from chk", "select * from chk where name = 'a'", "select name from idx where name like 'a%'")
_EXACT = {
    "note": ["R&D", "C#", "12:30", "N/A", "it's 5 o'clock", "R&D; (C#)", "null", ""],
    "phone": ["+49 30 1234", "1.500,50", "10%"],
}

CASES = (
    Case(name="a written value is stored as it stands", schema=_CONTACT, looks=_written(_EXACT)),
    Case(
        name="decimals keep every digit",
        schema=_PLACE,
        looks=_rows(
            ("select lat, rate, fee from place where name = 'Berlin'", [["52.520008", "0.003456", "0.0049"]]),
            ("select n from big", [["123456789012345678901234567890.123456789"]]),
        ),
    ),
    Case(name="a long cell is cut, its row stays", schema=_ARTICLE, looks=_long_cells),
    Case(
        name="a table that refers to itself",
        schema=_EMPLOYEES,
        looks=_rows(("select count(*) from emp e join emp m on m.id = e.manager_id where m.name = 'Mid'", [[2]])),
    ),
    Case(name="a policy hides rows: not asked, and said", schema=_TODOS, looks=_policies),
    Case(name="checks and indexes with a user's function", schema=_CHECKED, looks=_unasked(*_READS)),
    Case(name="JSON with a zero character, or half of a pair", schema=_JSON, looks=_odd_json),
    Case(name="a table of one name in two schemas", schema=_TWO_SCHEMAS, looks=_same_name),
    Case(
        name="a function is registered by its name",
        schema="create function public.net(p int) returns int language sql stable as 'select p * 2'",
        looks=_trusted,
    ),
    *(
        Case(
            name=f"encoding {encoding}",
            schema=_NAMES,
            encoding=encoding,
            looks=_rows(("select * from namen", [[1, "abc"]])),
        )
        for encoding in ("LATIN1", "LATIN2", "LATIN9", "KOI8R", "ISO_8859_5", "WIN1252", "WIN1251", "EUC_JP")
    ),
)
