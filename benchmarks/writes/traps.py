"""Generate statements that look like a write of one row by its key, over tables where most of them do more.

`run` assesses them, carries out as agent_actor each one that is called LOW, and compares every table and sequence before and
after.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from agent.errors import InvalidArguments, StatementFailed
from agent.execution.safe_executor import safe_executor

TABLES = r"""
create table public.witness (n int not null);
insert into public.witness values (0);
create sequence public.ticket;
create function public.leak() returns int language plpgsql volatile security definer as
  $$ begin update public.witness set n = n + 1; return 1; end $$;
create function public.liar(text) returns text language plpgsql immutable security definer as
  $$ begin perform public.leak(); return lower($1); end $$;
create function public.fine(text) returns boolean language plpgsql immutable security definer as
  $$ begin perform public.leak(); return true; end $$;
create function public.loud(int, int) returns int language plpgsql immutable security definer as
  $$ begin perform public.leak(); return btint4cmp($1, $2); end $$;
create function public.act() returns trigger language plpgsql security definer as
  $$ begin perform public.leak(); return coalesce(new, old); end $$;
create operator class public.loud_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 public.loud(int, int);
create type public.pair as (v text);
create type public.mood as enum ('v1', 'v2', 'v3', 'v4', 'v5', 'v6', 'v7', 'v8', 'v9');
create domain public.checked as text check (public.fine(value));
create domain public.wrapped as int;

create table public.plain (id int primary key, a int, note text);
create table public.wide (id bigint primary key, code text unique, a int, b int, note text, at timestamptz unique, kind public.mood unique, fixed char(6) unique, num numeric unique);
create table public.paired (id int, part int, a int, note text, primary key (id, part));
create table public.including (id int, a int, note text, unique (id) include (a));
create table public.unlogged (id int primary key, a int, note text);
alter table public.unlogged set unlogged;
create table public.numbered (id int generated always as identity primary key, a int default nextval('public.ticket'), note text);
create table public.serials (id serial primary key, a int, note text, at timestamptz default now());
create table public.borrowing (id int primary key default nextval('public.serials_id_seq'), a int default nextval('public.ticket'), note text);
create table public.computing (id int primary key, a int default public.leak(), note text, twice text generated always as (public.liar(note)) stored);
create table public.row_insert (id int primary key, a int, note text);
create trigger act before insert on public.row_insert for each row execute function public.act();
create table public.same (same int, id int primary key, a int, "ID" int, note text);
create table public.referring (id int primary key, a int references public.plain on delete cascade on update cascade, note text);
create table public.kept (id int primary key, a int, note text);
create table public.keeping (id int primary key, a int references public.kept, note text);

create table public.partial (id int, a int, note text);
create unique index on public.partial (id) where note = 'live';
create table public.lowered (id text, a int, note text);
create unique index on public.lowered (lower(id));
create table public.collated (id text collate "POSIX", a int, note text);
create unique index on public.collated (id collate "C");
create table public.patterned (id text, a int, note text);
create unique index on public.patterned (id text_pattern_ops);
create table public.nullish (id int, part int, a int, note text, unique nulls not distinct (id, part));
create table public.late (id int, a int, note text, unique (id) deferrable initially deferred);
create table public.broken (id int, a int, note text);
create table public.plural (id int, a int, note text);
create index on public.plural (id);
create table public.cased (id public.pair primary key, a int, note text);
create table public.domained (id public.wrapped primary key, a int, note text);

create table public.cascading (id int primary key, a int, note text);
create table public.cascaded (id int primary key, a int references public.cascading on delete cascade on update cascade, note text);
create table public.nulling (id int primary key, a int, note text);
create table public.nulled (id int primary key, a int references public.nulling on delete set null on update cascade, note text);
create table public.tree (id int primary key, a int references public.tree on delete cascade, note text);
create table public.generating (id int primary key, a int, note text, twice int generated always as (a * 2) stored);
create table public.row_trigger (id int primary key, a int, note text);
create trigger act before update or delete on public.row_trigger for each row execute function public.act();
create table public.statement_trigger (id int primary key, a int, note text);
create trigger act after update or delete on public.statement_trigger execute function public.act();
create table public.deferred_trigger (id int primary key, a int, note text);
create constraint trigger act after update or delete on public.deferred_trigger deferrable initially deferred for each row execute function public.act();
create table public.when_trigger (id int primary key, a int, note text);
create trigger act after update of note on public.when_trigger for each row when (new.note is distinct from old.note) execute function public.act();
create table public.ruled (id int primary key, a int, note text);
create rule also as on update to public.ruled do also update public.witness set n = n + 1;
create table public.guarded (id int primary key, a int, note text);
alter table public.guarded enable row level security;
create policy everyone on public.guarded using (public.fine(note));
create table public.checks (id int primary key, a int, note text check (public.fine(note)));
create table public.checks_by_domain (id int primary key, a int, note text check (note::public.checked is not null));
create table public.of_domain (id int primary key, a int, note public.checked);
create table public.indexed (id int primary key, a int, note text);
create index on public.indexed (public.liar(note));
create table public.indexed_where (id int primary key, a int, note text);
create index on public.indexed_where (a) where public.fine(note);
create table public.indexed_by (id int primary key, a int, note text);
create index on public.indexed_by (a public.loud_ops);
create table public.excluding (id int primary key, a int, note text, span int4range, exclude using gist (span with &&));
create table public.base (id int primary key, a int, note text);
create table public.heir () inherits (public.base);
create table public.split (id int, part int, a int, note text, primary key (id, part)) partition by list (part);
create table public.split_1 partition of public.split for values in (1, 2, 3, 4, 5, 6, 7, 8, 9);
create view public.seen as select id, a, note from public.plain;
create view public.seen_checked as select id, a, note from public.plain where a < 100 with check option;
create view public.instead as select id, a, note from public.plain;
create trigger act instead of update or delete on public.instead for each row execute function public.act();
create schema agent_actor; -- first in the search path of the login that acts
create table public.shadowed (id int primary key, a int, note text);
create table agent_actor.shadowed (id int, a int, note text);

do $$ declare name text; begin
  foreach name in array array['plain', 'including', 'unlogged', 'partial', 'late', 'broken', 'plural', 'domained', 'cascading', 'nulling', 'tree',
      'generating', 'row_trigger', 'statement_trigger', 'deferred_trigger', 'when_trigger', 'ruled', 'guarded', 'checks', 'checks_by_domain', 'of_domain', 'indexed',
      'indexed_where', 'indexed_by', 'base', 'shadowed', 'same', 'kept'] loop
    execute format('insert into public.%I (id, a, note) select g, g %% 3 + 1, ''n'' from generate_series(1, 9) g', name);
  end loop;
  foreach name in array array['lowered', 'collated', 'patterned'] loop
    execute format('insert into public.%I (id, a, note) select ''v'' || g, g, ''n'' from generate_series(1, 9) g', name);
  end loop;
  foreach name in array array['partial', 'broken', 'plural', 'heir', 'cascaded', 'nulled', 'referring', 'keeping'] loop
    execute format('insert into public.%I (id, a, note) select g, g - 20, ''n'' from generate_series(21, 29) g', name);
  end loop;
  foreach name in array array['partial', 'broken', 'plural', 'heir'] loop
    execute format('insert into public.%I (id, a, note) select g %% 9 + 1, g, ''n'' from generate_series(1, 18) g', name);
  end loop;
  foreach name in array array['paired', 'nullish', 'split'] loop
    execute format('insert into public.%I (id, part, a, note) select i, p, i, ''n'' from generate_series(1, 9) i, generate_series(1, 9) p', name);
  end loop;
end $$;
insert into public.wide select g, 'v' || g, g, g % 2, 'n', '2026-01-01 00:00+00'::timestamptz + g * interval '1 day', ('v' || g)::public.mood, 'v' || g, g from generate_series(1, 9) g;
insert into public.numbered (note) select 'n' from generate_series(1, 9);
insert into public.serials (a, note) select g, 'n' from generate_series(1, 9) g;
insert into public.lowered select upper(id) || 'X', a, note from public.lowered;
insert into public.cased select row('v' || g)::public.pair, g, 'n' from generate_series(1, 9) g;
insert into public.cased select row('V' || g)::public.pair, g, 'n' from generate_series(1, 9) g;
insert into agent_actor.shadowed select g % 9 + 1, g, 'n' from generate_series(1, 18) g;
insert into public.excluding select g, g, 'n', int4range(g, g + 1) from generate_series(1, 9) g;
update public.same set same = 1, "ID" = 1;
update public.tree set a = case when id > 3 then 1 end;
grant usage on schema agent_actor to agent_actor, agent_assessor, agent_reader;
grant select, update, delete on agent_actor.shadowed to agent_actor;
"""
# With it `=` means something else for two texts of this type.
SHADOWED_OPERATOR = """
create function public.like_it(varchar, varchar) returns boolean language sql immutable as 'select lower($1::text) = lower($2::text)';
create operator public.= (leftarg = varchar, rightarg = varchar, function = public.like_it);
"""
# Outside of any transaction: it fails, and leaves an index that is not valid.
INVALID_INDEX = "create unique index concurrently on public.broken (id)"

# The columns that seem to be a key, with how their values are written.
_NUMBER, _TEXT = "{n}", "'v{n}'"
KEYS: dict[str, list[tuple[tuple[str, str], ...]]] = {
    "plain": [(("id", _NUMBER),)],
    "wide": [(("id", _NUMBER),), (("code", _TEXT),), (("kind", _TEXT),), (("fixed", _TEXT),), (("num", _NUMBER),), (("at", "'2026-01-0{n} 00:00+00'"),)],
    "paired": [(("id", _NUMBER), ("part", _NUMBER)), (("id", _NUMBER),), (("part", _NUMBER),)],
    "nullish": [(("id", _NUMBER), ("part", _NUMBER)), (("id", _NUMBER),)],
    "split": [(("id", _NUMBER), ("part", _NUMBER)), (("id", _NUMBER),)],
    "split_1": [(("id", _NUMBER), ("part", _NUMBER)), (("id", _NUMBER),)],
    "same": [(("id", _NUMBER),), (('"ID"', _NUMBER),), (("same", _NUMBER),), (("a", _NUMBER),)],
    **{name: [(("id", _TEXT),)] for name in ("lowered", "collated", "patterned")},
    "cased": [(("id", "'(v{n})'"),), (("id", "'(v{n})'::public.pair"),)],
    **{name: [(("id", _NUMBER),)] for name in (
        "serials", "borrowing", "computing", "row_insert", "including", "unlogged", "numbered", "referring", "keeping", "kept", "partial", "late", "broken", "plural", "domained", "cascading",
        "nulling", "tree", "generating", "row_trigger", "statement_trigger", "deferred_trigger", "when_trigger", "ruled", "guarded", "checks",
        "checks_by_domain", "of_domain", "indexed", "indexed_where", "indexed_by", "excluding", "base", "seen", "seen_checked", "instead", "shadowed",
    )},
}  # fmt: skip
# Where some statements may well be LOW: as many of them as of all the others.
HONEST = (
    "plain",
    "wide",
    "paired",
    "including",
    "unlogged",
    "numbered",
    "serials",
    "same",
    "referring",
    "keeping",
    "kept",
    "excluding",
)

_EQUAL = ("{k} = {v}", "{v} = {k}", "{t}.{k} = {v}")
_ODD = (
    "{k} = {v} OR true", "{k} IN ({v})", "{k} IN ({v}, {w})", "NOT {k} <> {v}", "{k} >= {v}", "{k} BETWEEN {v} AND {w}", "{k} IS NOT DISTINCT FROM {v}",
    "{k} = {k}", "{k} = (SELECT {v})", "{k} OPERATOR(pg_catalog.=) {v}", "{k} = ANY (ARRAY[{v}])", "({k}, 1) = ({v}, 1)", "{k} IS NOT NULL",
    "{k}::text = '{n}'", "{k} = {v}::text", "{k} = {v}::bigint", "{k} = {v}::int", "{k} = '{n}'", "{k} = {v} COLLATE \"C\"", "lower({k}) = {v}", "{k} = NULL",
    "{k} + 0 = {v}", "{k} LIKE 'v%'", "{k} = +{v}", "{k} = -({v})", "{k} = {n}.0", "{k} = coalesce({v}, {w})", "CASE WHEN {k} = {v} THEN true ELSE true END",
    "{k} = {v}::public.wrapped", "{k} = '{n}'::oid",
)  # fmt: skip
_MORE = (
    "", "", "", " AND a < 5", " AND true", " AND (a = 1 OR note = 'n')", " OR a = 1", " AND note IS NOT NULL", " OR note = 'n' AND a = 2", " AND {k} = {w}",
    " AND EXISTS (SELECT FROM plain)", " AND random() < 0.9", " AND public.leak() = 1", " AND nextval('ticket') > 0", " AND a IN (1, 2, 3)", " AND NOT (a = 9)",
)  # fmt: skip
_SETS = (
    "a = {m}", "a = a + 1", "note = 'x'", "note = NULL", "a = {m}, note = note || '!'", "a = '{m}'", "a = -a", "note = 'x'::text", "a = '7'::int",
    "{k} = {k}", "id = {m} + 1000", "a = DEFAULT", "(a, note) = ({m}, 'x')", "(a, note) = (SELECT 1, 'x')", "a = (SELECT max(a) FROM plain)",
    "a = nextval('ticket')", "note = now()", "a = public.leak()", "note = upper(note)", "a = random() * 9", "note = current_user", "note = 'x'::public.checked",
    "a = CASE WHEN true THEN public.leak() END", "note = {t}::text", "a = ({t}).a", "a = array_length(ARRAY[1], 1)",
)  # fmt: skip
_FORMS = (
    "UPDATE {t} SET {s} WHERE {c}", "UPDATE {t} SET {s} WHERE {c}", "UPDATE ONLY {t} SET {s} WHERE {c}", "DELETE FROM {t} WHERE {c}", "DELETE FROM {t} WHERE {c}",
    "UPDATE public.{t} SET {s} WHERE {c}", "UPDATE {t} SET {s} FROM witness WHERE {c}", "DELETE FROM {t} USING witness WHERE {c}", "WITH w AS (SELECT 1) UPDATE {t} SET {s} WHERE {c}",
    "UPDATE {t} SET {s} WHERE {c} RETURNING public.leak()", "DELETE FROM {t} WHERE {c} RETURNING *", "UPDATE {t} SET {s} WHERE /* id = 1 */ {c} -- AND id = 1",
    "INSERT INTO {t} (id, a) VALUES ({m}, 1) ON CONFLICT DO NOTHING", "INSERT INTO {t} VALUES ({m} + 100, {m})", "MERGE INTO {t} USING witness w ON {c} WHEN MATCHED THEN DELETE",
    "WITH d AS (DELETE FROM {t} WHERE {c} RETURNING a) UPDATE plain SET a = 1 WHERE id = 1",
)  # fmt: skip
# Statements that add rows; {m} and {v} are numbers, {m} is small.
_NEW = (
    "INSERT INTO {t} (id, a, note) VALUES ({v}, {m}, 'new')", "INSERT INTO {t} (a, note) VALUES ({m}, 'new')", "INSERT INTO {t} (note) VALUES ('new') RETURNING id",
    "INSERT INTO {t} (id, a) VALUES ({v}, {m})", "INSERT INTO public.{t} VALUES ({v}, {m})", "INSERT INTO {t} (id, a, note) VALUES ({v}, DEFAULT, now())",
    "INSERT INTO {t} (id, a) VALUES ({v}, public.leak())", "INSERT INTO {t} (id, a) VALUES ({v}, nextval('ticket'))", "INSERT INTO {t} (id, a) VALUES ({v}, {m}), ({v} + 1, {m})",
    "INSERT INTO {t} (id, a) SELECT {v}, {m}", "INSERT INTO {t} (id, a) VALUES ({v}, (SELECT max(a) FROM plain))", "INSERT INTO {t} (id, a) VALUES ({v}, {m}) RETURNING public.leak()",
    "INSERT INTO {t} (id, a) VALUES ({m}, {m}) ON CONFLICT (id) DO UPDATE SET a = 9", "INSERT INTO {t} (id, note) VALUES ({v}, 'x'::public.checked)",
    "WITH d AS (DELETE FROM plain RETURNING a) INSERT INTO {t} (id, a) VALUES ({v}, {m})",
)  # fmt: skip


def statement(chance: random.Random) -> str:
    """Return a random statement; most of them are not LOW."""
    if chance.random() < 0.2:
        names = {"t": chance.choice(list(KEYS)), "m": chance.randint(1, 9), "v": chance.randint(1000, 9999)}
        return chance.choice(_NEW).format(**names)
    table = chance.choice(HONEST) if chance.random() < 0.5 else chance.choice(list(KEYS))
    key = chance.choice(KEYS[table])
    conditions = []
    for name, value in key:
        form = chance.choice(_EQUAL) if chance.random() < 0.7 else chance.choice(_ODD)
        numbers = {"n": chance.randint(1, 9), "m": chance.randint(1, 9)}
        conditions.append(
            form.format(k=name, t=table, v=value.format(**numbers), w=value.format(n=numbers["m"]), **numbers)
        )
    conditions[-1] += chance.choice(_MORE).format(k=key[0][0], w=key[0][1].format(n=chance.randint(1, 9)))
    change = chance.choice(_SETS[:9]) if chance.random() < 0.6 else chance.choice(_SETS)
    form = chance.choice(_FORMS[:5]) if chance.random() < 0.7 else chance.choice(_FORMS)
    change = change.format(k=key[0][0], t=table, m=chance.randint(1, 9))
    return form.format(t=table, s=change, c=" AND ".join(conditions), m=chance.randint(1, 9))


@dataclass(slots=True)
class Result:
    """The number of statements, the number of LOW ones among them, and those of these that did more than change one row."""

    tried: int = 0
    low: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)


async def run(url: str, *, low: int, seed: int) -> Result:
    """Generate statements until `low` of them were LOW and ran. `url` is the administrator's of the current runtime's database."""
    chance, result = random.Random(seed), Result()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set session authorization agent_actor")
        tables = _everything(url)
        while result.low < low and result.tried < 40 * low:
            sql = statement(chance)
            result.tried += 1
            try:
                assessment = await safe_executor.assess("execute_sql", {"sql": sql})
            except (InvalidArguments, StatementFailed):
                continue
            if assessment.risk != "LOW":
                continue
            problem = _carried_out(conn, url, sql, tables)
            if problem is None:
                result.failed += 1
                continue
            result.low += 1
            if problem:
                result.wrong.append(f"{sql}: {problem}")
    return result


def fill(conn: psycopg.Connection) -> None:
    """Create the tables on the administrator's `conn`, which is in autocommit mode."""
    conn.execute(TABLES)
    with suppress(psycopg.errors.UniqueViolation):
        conn.execute(INVALID_INDEX)


def _everything(url: str) -> str:
    """Return a query for every row of every table, and for every sequence."""
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "select relkind::text, oid::regclass::text from pg_class where relkind in ('r', 'S')"
            " and relnamespace in ('public'::regnamespace, 'agent_actor'::regnamespace)"
        ).fetchall()
    row = {"r": "select '{0}', t::text from {0} t", "S": "select '{0}', last_value::text || is_called from {0}"}
    return " union all ".join(row[kind].format(name) for kind, name in found)


def _own_sequences(conn: psycopg.Connection, table: str) -> set[str]:
    """Return the sequences that number the rows of a table; a new row may take their next numbers."""
    found = conn.execute(
        "select s.oid::regclass::text from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'"
        " where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass(%s)"
        " and d.deptype in ('a', 'i')",
        [table],
    )
    return {name for (name,) in found}


def _carried_out(conn: psycopg.Connection, url: str, sql: str, tables: str) -> str | None:
    """Run a statement and roll it back. Return what it did beside changing at most one row of one table, '' or None if it fails."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("reset session authorization")
            before = Counter(conn.execute(tables).fetchall())
            conn.execute("set local session authorization agent_actor")
            count = conn.execute(sql).rowcount
            conn.execute("set constraints all immediate")
            conn.execute("reset session authorization")
            after = Counter(conn.execute(tables).fetchall())
            own = _own_sequences(conn, sql.split()[2]) if sql.startswith("INSERT INTO") else set()
    except psycopg.Error:
        return None
    gone, come = before - after, after - before
    gone, come = (Counter({row: many for row, many in one.items() if row[0] not in own}) for one in (gone, come))
    touched = {name for name, _ in (*gone, *come)}
    if count > 1 or gone.total() > 1 or come.total() > 1 or len(touched) > 1:
        return f"{count} rows; {dict(gone)} became {dict(come)}"
    return ""
