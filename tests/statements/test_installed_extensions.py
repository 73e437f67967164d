"""Every extension of Postgres's contrib, one by one and all together: an ordinary read asks nothing, and no hostile one gets through.

Needs an installed Postgres with contrib (Debian: `apt-get install postgresql postgresql-contrib`), as the embedded one has
none. Where there is none, one printed line says so; with AGENT_TEST_REQUIRE=installed-postgres it is a failure.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import psycopg
import pytest
from pydantic import SecretStr
from tests.cases.analytics_statements import ANALYTICS
from tests.cases.hostile_statements import BENIGN, HOSTILE, TRAPS

from agent.db import setup
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.runtime import Runtime
from agent.testing.cluster import Cluster
from agent.testing.installed_server import InstalledServer
from agent.testing.running import running

# Of these only what is there is tried; PostGIS and others are not contrib's.
NOT_CONTRIB = ("plpgsql", "postgis", "address_standardizer", "vector", "pl")
ORDINARY = (
    "SELECT * FROM victims WHERE name = 'a'", "SELECT 'x'::text", "SELECT id FROM victims", "SELECT count(*) FROM orders",
    "SELECT name FROM victims WHERE name LIKE 'n%' ORDER BY name", "SELECT status, sum(total) FROM orders GROUP BY status",
    "SELECT v.name, o.total FROM victims v JOIN orders o ON o.customer_id = v.id WHERE o.placed_at > now() - interval '9 days'",
    "SELECT DISTINCT state, day FROM victims ORDER BY 1, 2", "SELECT id FROM victims WHERE 'a' = ANY (tags) AND tags && '{a,c}'",
    "SELECT doc -> 'k', doc @> '{\"k\": []}' FROM victims", "SELECT max(at), min(amount) FROM victims WHERE amount BETWEEN 1 AND 9",
    "SELECT 'happy'::mood, 'sad'::public.mood < 'ok'", "SELECT row_number() OVER (PARTITION BY state ORDER BY at), id FROM victims",
    "SELECT to_jsonb(v) FROM victims v LIMIT 1", "SELECT int4range(1, 5) @> 3", "SELECT '10.0.0.1'::inet << '10.0.0.0/8'",
    "SELECT id FROM victims WHERE body @@ to_tsquery('english', 'word')", "SELECT * FROM plain", "SELECT date_trunc('day', at) FROM victims",
    "SELECT array_agg(id), string_agg(name, ',') FROM victims", "SELECT id::text || '!' FROM orders WHERE id IN (1, 2)",
    "SELECT * FROM generate_series(1, 3)", "SELECT count(*) FROM checked", "EXPLAIN SELECT * FROM orders WHERE id = 1",
)  # fmt: skip
# Tables as people have them with extensions, and reads of them.
USED = """
create table public.used (id int primary key, email citext unique, tags hstore, path ltree, spot cube, span seg, book isbn13,
  numbers int[], word text, key uuid default uuid_generate_v4());
insert into public.used values (1, 'Ann@firm.example', 'a=>1', 'top.sub', '(1,2)', '1..2', '978-0-393-04002-9', '{1,2}', 'word');
create index on public.used using gin (word gin_trgm_ops);
create index on public.used using gist (path);
create index on public.used using gin (tags);
create index on public.used using gin (numbers gin__int_ops);
create index on public.used using gin (id, word);
create index on public.used using gist (id, word gist_trgm_ops);
create index on public.used using bloom (id, word);
create function public.plain_word(text) returns text language sql immutable as $$ select btrim(unaccent('unaccent', $1)) $$;
create index on public.used (public.plain_word(word));
"""
HONEST = (
    "SELECT * FROM used", "SELECT id FROM used WHERE email = 'ann@FIRM.example' ORDER BY email", "SELECT email, count(*) FROM used GROUP BY email",
    "SELECT similarity(word, 'wor'), word % 'wor', word <-> 'wor' FROM used ORDER BY word <-> 'x' LIMIT 3", "SELECT id FROM used WHERE word ILIKE '%or%'",
    "SELECT tags -> 'a', tags ? 'a', tags @> 'a=>1', akeys(tags), tags::jsonb FROM used", "SELECT hstore_to_json(tags), to_jsonb(tags) FROM used",
    "SELECT path <@ 'top', path ~ '*.sub', nlevel(path), subpath(path, 0, 1) FROM used", "SELECT spot <-> '(0,0)', cube_distance(spot, '(1,1)') FROM used",
    "SELECT span && '1..3', book, is_valid(book) FROM used", "SELECT numbers && '{1}', sort(numbers), idx(numbers, 2), numbers @@ '1&2'::query_int FROM used",
    "SELECT unaccent(word), levenshtein(word, 'ward'), soundex(word) FROM used", "SELECT digest(word, 'sha256'), hmac(word, 'k', 'sha1'), crypt('x', gen_salt('bf')) FROM used",
    "SELECT earth_distance(ll_to_earth(1, 2), ll_to_earth(3, 4))", "SELECT uuid_generate_v4(), uuid_generate_v5(uuid_ns_url(), 'x'), gen_random_bytes(8)",
    "SELECT * FROM normal_rand(3, 1, 2)", "SELECT strpos(email, 'FIRM'), replace(email, 'firm', 'x'), split_part(email, '@', 1) FROM used",
)  # fmt: skip
EVIL = (
    "SELECT * FROM crosstab('select sing(), 1, 1') AS t(a bigint, b int)", "SELECT * FROM crosstab2('select sing()::text, ''a'', ''b''')",
    "SELECT * FROM connectby('victims', 'id', 'sing()', '1', 0) AS t(a bigint, b bigint, c int)",
    "SELECT * FROM xpath_table('id', 'doc', 'victims', '/a', 'public.sing() > 0') AS t(a int, b text)", "SELECT xslt_process('<a/>', '<b/>')",
    "SELECT * FROM dblink('dbname=agent', 'select public.sing()') AS t(a bigint)", "SELECT dblink_exec('dbname=x', 'drop table canary')", "SELECT dblink_connect('dbname=x')",
    "SELECT lo_import('/etc/passwd')", "SELECT pg_file_write('evil', 'x', false)", "SELECT pg_file_unlink('evil')", "SELECT * FROM pg_logdir_ls() AS t(a timestamp, b text)",
    "SELECT pg_truncate_visibility_map('victims')", "SELECT * FROM pg_visibility('victims')", "SELECT heap_force_kill('victims'::regclass, ARRAY['(0,1)']::tid[])",
    "SELECT heap_force_freeze('victims'::regclass, ARRAY['(0,1)']::tid[])", "SELECT pg_prewarm('victims')", "SELECT autoprewarm_dump_now()",
    "SELECT * FROM pgstattuple('victims')", "SELECT get_raw_page('victims', 0)", "SELECT * FROM heap_page_items(get_raw_page('victims', 0))", "SELECT bt_index_check('victims_pkey')",
    "SELECT * FROM verify_heapam('victims')", "SELECT * FROM pg_buffercache", "SELECT * FROM pg_freespace('victims')", "SELECT * FROM pg_get_wal_records_info('0/1', '0/2')",
    "SELECT * FROM pg_stat_statements", "SELECT pg_stat_statements_reset()", "SELECT * FROM pgrowlocks('victims')", "SELECT set_limit(0.9)", "SELECT isn_weak(true)",
    "SELECT postgres_fdw_disconnect_all()", "SELECT * FROM postgres_fdw_get_connections()", "SELECT ssl_client_dn()", "SELECT * FROM pg_old_snapshot_time_mapping()",
    "SELECT '(1,2)'::carrier #= 'n=>5'::hstore", "SELECT populate_record(null::carrier, 's=>5'::hstore)", "SELECT null::carrier #= 's=>5'::hstore", "LOAD 'auto_explain'",
    "SELECT * FROM victims TABLESAMPLE system_rows (sing())", "SELECT uuid_generate_v1()", "CREATE EXTENSION dblink", "SELECT similarity(sing()::text, 'x')",
    "SELECT id FROM victims WHERE name % quiet(id)::text", "SELECT sort(ARRAY[sing()::int])", "SELECT name OPERATOR(public.===) 'x' FROM victims", "SELECT show_trgm(shout(v)::text) FROM victims v",
)  # fmt: skip


@pytest.fixture
async def contrib(installed_server: InstalledServer, cluster: Cluster) -> AsyncIterator[Runtime]:
    """The traps in a database of the installed server, which has no pgvector; the agent's own tables stay in the embedded one."""
    url = installed_server.create(f"app_{secrets.token_hex(4)}")
    blank = cluster.database(cluster.template("blank"))
    assert blank.secret is not None
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(without_vectors(TRAPS))
    setup.setup_logins(url, blank.secret.get_secret_value())
    async with running(blank.model_copy(update={"app_database_url": SecretStr(url)})) as runtime:
        yield runtime


def without_vectors(script: str) -> str:
    """A script but for its lines that need pgvector."""
    return "".join(line for line in script.splitlines(keepends=True) if "embeddings" not in line)


async def verdict(sql: str) -> str:
    try:
        return (await safe_executor.assess("execute_sql", {"sql": sql})).verdict
    except AgentError:
        return "refuse"


def admin(runtime: Runtime) -> psycopg.Connection:
    assert runtime.settings.app_database_url is not None
    return psycopg.connect(runtime.settings.app_database_url.get_secret_value(), autocommit=True)


def extensions(conn: psycopg.Connection) -> list[str]:
    names = [row[0] for row in conn.execute("select name from pg_available_extensions order by name")]
    return [name for name in names if not name.startswith(NOT_CONTRIB)]


async def test_with_any_one_extension_an_ordinary_read_asks_nothing(contrib: Runtime) -> None:
    asked = {}
    with admin(contrib) as conn:
        assert {sql for sql in ORDINARY if await verdict(sql) != "run"} == set()
        names = extensions(conn)
        assert len(names) >= 40
        for name in names:
            conn.execute(f'create extension "{name}" cascade')
            asked[name] = [sql for sql in ORDINARY if await verdict(sql) != "run"]
            for (other,) in conn.execute("select extname from pg_extension where extname <> 'plpgsql'").fetchall():
                conn.execute(f'drop extension if exists "{other}" cascade')
    print(
        f"\n{len(names)} extensions, {len(ORDINARY)} ordinary reads with each; asked: {sum(map(len, asked.values()))}"
    )
    assert {name: found for name, found in asked.items() if found} == {}


async def test_with_all_extensions_honest_reads_run_and_hostile_ones_never(contrib: Runtime) -> None:
    honest = [sql for sql in BENIGN + ANALYTICS if await verdict(sql) == "run"]
    with admin(contrib) as conn:
        for name in extensions(conn):
            conn.execute(f'create extension if not exists "{name}" cascade')
        conn.execute(USED)
        conn.execute("grant select on public.used to agent_reader, agent_assessor")
    asked = [sql for sql in (*honest, *HONEST) if await verdict(sql) != "run"]
    taken = [sql for sql in (*HOSTILE, *EVIL) if await verdict(sql) == "run"]
    print(
        f"\nall extensions: {len(asked)} of {len(honest) + len(HONEST)} honest reads asked, {len(taken)} of {len(HOSTILE + EVIL)} hostile ones run"
    )
    assert taken == []
    assert asked == []
    assert len(honest) >= 200


# What an extension's owner, who is no superuser, may do with it, and a statement that would run what they put there.
ADOPTED = [
    (("create function public.similarity(int, int) returns real language plpgsql as 'begin perform public.sing(); return 1; end';"
     " alter extension pg_trgm add function public.similarity(int, int)"), "SELECT similarity(1, 2)"),
    (("create function public.folding(s real, x int) returns real language plpgsql as 'begin perform public.sing(); return 1; end';"
     " create aggregate public.similarity(int) (sfunc = public.folding, stype = real);"
     " alter extension pg_trgm add aggregate public.similarity(int); alter extension pg_trgm add function public.folding(real, int)"),
     "SELECT similarity(id) FROM tunes"),
    ("create operator public.!!! (leftarg = text, rightarg = int, function = crosstab); alter extension tablefunc add operator public.!!! (text, int)",
     "SELECT 'select sing(), 1, 1' !!! 1"),
    ("create function public.normal_rand(text) returns text language sql as 'select public.sing()::text'; alter extension tablefunc add function public.normal_rand(text)",
     "SELECT normal_rand('x')"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "sql"), ADOPTED)
async def test_what_an_extensions_owner_puts_into_it_is_not_known(contrib: Runtime, made: str, sql: str) -> None:
    with admin(contrib) as conn:
        conn.execute("do $$ begin create role owner login; exception when duplicate_object then null; end $$")
        conn.execute(
            f"grant create on database {conn.info.dbname} to owner; grant create, usage on schema public to owner"
        )
        conn.execute("set role owner; create extension pg_trgm; create extension tablefunc")
        assert await verdict("SELECT similarity('a', 'b')") == "run"
        conn.execute(made)
        conn.execute("reset role")
    assert await verdict(sql) == "ask"
    assert await verdict("SELECT similarity('a', 'b'), 'a' % 'b'") == "run"


async def test_a_version_that_no_list_has_is_not_known(contrib: Runtime) -> None:
    with admin(contrib) as conn:
        conn.execute("create extension fuzzystrmatch")
        assert await verdict("SELECT soundex('a')") == "run"
        conn.execute("update pg_extension set extversion = '2.0' where extname = 'fuzzystrmatch'")
        conn.execute("comment on extension fuzzystrmatch is 'x'; create table public.another (id int)")
    assert await verdict("SELECT soundex('a')") == "ask"


async def test_a_text_in_sql_of_an_extension_asks_where_a_users_function_may_be_meant(contrib: Runtime) -> None:
    sql = "SELECT earth_distance(ll_to_earth(1, 2), ll_to_earth(3, 4))"
    with admin(contrib) as conn:
        conn.execute("create schema others; create extension earthdistance with schema public cascade")
        assert await verdict(sql) == "run"
        conn.execute("create function others.earth() returns float8 language sql immutable as 'select 1.0::float8'")
    assert await verdict(sql) == "ask"
