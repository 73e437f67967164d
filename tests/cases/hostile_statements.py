"""Statements that must never run as reads, and honest analytics that should, written for the schema below.

`TRAPS` prepares a database in which code hides behind views, policies, operators, casts, domains and shadowed names.
`HOSTILE` and `BENIGN` hold one statement on each line. `mutations` rewrites a statement without changing its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TRAPS = r"""
create table public.victims (id bigint primary key, name text, secret text, amount numeric default 0, tags text[], doc jsonb,
  at timestamptz default now(), day date default current_date, state text, body tsvector);
insert into public.victims select g, 'name ' || g, 'secret ' || g, g * 1.5, array['a', 'b'], '{"k": [1, 2, {"x": "y"}]}', now() - g * interval '1 hour',
  current_date - g::int, case when g % 3 = 0 then 'open' else 'done' end, to_tsvector('english', 'some words about number ' || g) from generate_series(1, 200) g;
create table public.canary (n bigint not null);
insert into public.canary values (0);
create sequence public.ticket;
create type public.mood as enum ('sad', 'ok', 'happy');
create table public.embeddings (id bigint primary key, e vector(3));
insert into public.embeddings select g, array[g, 1, 2]::vector from generate_series(1, 20) g;

create function public.sing() returns bigint language plpgsql volatile security definer as
  $$ begin update public.canary set n = n + 1; return 1; end $$;
create function public.quiet(x bigint) returns bigint language plpgsql stable security definer as
  $$ begin perform public.sing(); return x; end $$;
create function public.honest(x bigint) returns bigint language plpgsql immutable security definer as
  $$ begin perform public.sing(); return x; end $$;
create function public.left(x bigint, y int) returns text language plpgsql as $$ begin perform public.sing(); return ''; end $$;
create function public.shout(v public.victims) returns bigint language plpgsql security definer as $$ begin perform public.sing(); return 1; end $$;
create function public.shout_more(v public.victims, n int default 1) returns bigint language sql as 'select public.sing()';
create function public.anyone(v anyelement) returns bigint language sql as 'select public.sing()';
create function public.rowed(v record) returns bigint language plpgsql as $$ begin perform public.sing(); return 1; end $$;
create view public.disguised as select v.id, v.shout as s from public.victims v;
create view public.innocent as select id, public.quiet(id) as q from public.victims;
create view public.nested as select * from public.innocent;
create view public.sleepy as select id, pg_sleep(0.01) is null as s from public.victims;
create view public.configured as select set_config('role', 'postgres', false) as c;
create view public.plain as select id, name, amount from public.victims where state = 'open';
create function public.eq(text, text) returns boolean language plpgsql as $$ begin perform public.sing(); return true; end $$;
create operator public.=== (leftarg = text, rightarg = text, function = public.eq);
create domain public.watched as text check (public.sing() > 0);
create aggregate public.tally (bigint) (sfunc = int8pl, stype = bigint, initcond = '0');
create table public.guarded (id bigint primary key, v text);
insert into public.guarded values (1, 'x');
alter table public.guarded enable row level security;
create policy watching on public.guarded using (public.quiet(id) > 0);
create table public.guarded_plain (id bigint primary key, owner text);
insert into public.guarded_plain values (1, 'x');
alter table public.guarded_plain enable row level security;
create policy everyone on public.guarded_plain using (owner is not null);
create procedure public.act() language plpgsql as $$ begin perform public.sing(); end $$;
create table public.orders (id bigint primary key, customer_id bigint references public.victims, total numeric, placed_at timestamptz, status text);
insert into public.orders select g, 1 + g % 200, g * 2, now() - g * interval '1 day', case when g % 2 = 0 then 'paid' else 'open' end from generate_series(1, 500) g;
create function public.sing_int(x int) returns int language plpgsql immutable security definer as $$ begin perform public.sing(); return x; end $$;
create function public.sing_text(t text) returns boolean language plpgsql immutable security definer as $$ begin perform public.sing(); return true; end $$;
create function public.sing_sum(s bigint, x bigint) returns bigint language plpgsql immutable security definer as $$ begin perform public.sing(); return s; end $$;
create function public.sing_twice(a int, b int) returns boolean language plpgsql immutable security definer as $$ begin perform public.sing(); return true; end $$;
create type public.tune as enum ('high', 'low');
create function public.sing_json(t public.tune) returns json language plpgsql immutable security definer as $$ begin perform public.sing(); return '1'::json; end $$;
create cast (public.tune as json) with function public.sing_json(public.tune);
create function public.count(public.tune) returns bigint language sql as 'select public.sing()';
create table public.tunes (id int primary key, t public.tune);
insert into public.tunes values (1, 'high');
create aggregate public.song (bigint) (sfunc = public.sing_sum, stype = bigint, initcond = '0');
create table public.indexed (id int primary key, v int);
create index on public.indexed ((public.sing_int(5) + v));
create table public.partial (id int primary key, v int);
create index on public.partial (id) where public.sing_int(1) = 1;
create table public.checked (id int primary key, v int, constraint c check (public.sing_int(v) > 0));
create table public.measured (id int primary key, v int);
create statistics public.measures on (public.sing_int(v)), id from public.measured;
create table public.checked_once (id int primary key, v int, constraint c check (public.sing_int(coalesce(1, v)) > v));
create table public.measured_once (id int primary key, v int);
create statistics public.measures_once on (public.sing_int(case when true then 1 else v end) + v), id from public.measured_once;
create table public.partly (id int primary key, v int);
create index on public.partly (id) where public.sing_int(v) > 0 or v > 5;
create function public.sing_in_it(x int) returns int language sql immutable as 'select public.sing_int(1) + x';
create table public.inlined (id int primary key, v int, check (public.sing_in_it(v) > 0));
create function public.sing_before_it(x int, y int default public.sing_int(1)) returns int language plpgsql immutable as 'begin return x; end';
create table public.defaulted (id int primary key, v int);
create index on public.defaulted (public.sing_before_it(v));
create domain public.sung as int check (public.sing_int(value) > 0);
create type public.carrier as (s public.sung, n int);
create table public.domained (id int primary key, s public.sung);
create table public.heir (extra int) inherits (public.canary);
create index on public.heir ((public.sing_int(7) + extra));
create view public.agg_view as select public.song(id) as s from public.victims;
create view public.policy_view as select * from public.guarded;
create view public.deep as select * from (select * from public.policy_view) x;
create function public.lower(int) returns text language plpgsql as $$ begin perform public.sing(); return ''; end $$;
create function public.date_trunc(text, int) returns int language plpgsql as $$ begin perform public.sing(); return 1; end $$;
create operator public.@@@@ (leftarg = int, rightarg = int, function = public.sing_twice);
-- making the traps has run some of them
update only public.canary set n = 0;
"""

HOSTILE: tuple[str, ...] = tuple(
    line
    for line in r"""
INSERT INTO canary VALUES (1)
UPDATE canary SET n = 1
DELETE FROM canary
TRUNCATE canary
DROP TABLE canary
DROP TABLE canary CASCADE
ALTER TABLE canary ADD COLUMN x int
CREATE TABLE evil (x int)
CREATE TABLE evil AS SELECT * FROM victims
CREATE TEMP TABLE evil AS SELECT 1
SELECT * INTO evil FROM victims
SELECT 1 INTO TEMP evil
MERGE INTO canary c USING victims v ON c.n = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id)
WITH x AS (DELETE FROM canary RETURNING *) SELECT * FROM x
WITH x AS (UPDATE canary SET n = 9 RETURNING n) SELECT count(*) FROM x
WITH x AS (INSERT INTO canary VALUES (5) RETURNING n) SELECT n FROM x
WITH a AS (SELECT 1), b AS (DELETE FROM canary) SELECT * FROM a
WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 3), y AS (DELETE FROM canary) SELECT * FROM x
SELECT * FROM victims FOR UPDATE
SELECT * FROM victims FOR NO KEY UPDATE SKIP LOCKED
SELECT * FROM victims FOR SHARE
SELECT * FROM victims FOR KEY SHARE NOWAIT
SELECT * FROM (SELECT * FROM victims FOR UPDATE) v
WITH v AS (SELECT * FROM victims FOR UPDATE) SELECT count(*) FROM v
SELECT sing()
SELECT public.sing()
SELECT "public"."sing"()
SELECT quiet(id) FROM victims
SELECT honest(1)
SELECT * FROM victims WHERE honest(1) = 1
SELECT * FROM sing()
SELECT * FROM victims, LATERAL quiet(victims.id)
SELECT * FROM ROWS FROM (sing(), generate_series(1, 2))
SELECT v.shout FROM victims v
SELECT victims.shout FROM victims
SELECT public.victims.shout FROM victims
SELECT (v).shout FROM victims v
SELECT (v.*).shout FROM victims v
SELECT id FROM victims v WHERE v.shout > 0
SELECT v.shout_more FROM victims v
SELECT v.anyone FROM victims v
SELECT x.rowed FROM (SELECT 1 AS a) x
SELECT (ROW(1, 2)).rowed
SELECT id FROM victims v ORDER BY v.shout
SELECT * FROM disguised
SELECT * FROM innocent
SELECT count(*) FROM public.innocent
SELECT * FROM nested LIMIT 1
SELECT 1 WHERE EXISTS (SELECT FROM nested)
SELECT * FROM sleepy
SELECT * FROM configured
SELECT * FROM guarded
SELECT g.v FROM guarded g
SELECT left(5::bigint, 2)
SELECT left(id, 2) FROM victims
SELECT 'a' === 'b'
SELECT 'a' OPERATOR(public.===) 'b'
SELECT name FROM victims ORDER BY name USING ===
SELECT 'x'::watched
SELECT CAST(name AS watched) FROM victims
SELECT 'x'::public.watched
SELECT tally(id) FROM victims
SELECT pg_sleep(1)
SELECT pg_catalog.pg_sleep(1)
SELECT pg_sleep_for('1 second')
SELECT pg_sleep_until(now() + interval '1 second')
SELECT set_config('role', 'postgres', false)
SELECT set_config('statement_timeout', '0', false) FROM victims
SELECT set_config('transaction_read_only', 'off', true)
SELECT pg_terminate_backend(pg_backend_pid())
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT * FROM pg_ls_dir('/')
SELECT pg_ls_waldir()
SELECT pg_stat_file('postgresql.conf')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_create(0)
SELECT lo_from_bytea(0, '\x00')
SELECT lo_unlink(1)
SELECT nextval('ticket')
SELECT setval('ticket', 100)
SELECT currval('ticket')
SELECT lastval()
SELECT last_value FROM pg_sequences
SELECT sequencename FROM pg_sequences
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_advisory_unlock_all()
SELECT pg_notify('c', 'x')
NOTIFY c, 'x'
LISTEN c
UNLISTEN *
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT pg_logical_emit_message(true, 'a', 'b')
SELECT query_to_xml('delete from canary', true, false, '')
SELECT query_to_xml_and_xmlschema('select 1', true, false, '')
SELECT table_to_xml('victims', true, false, '')
SELECT schema_to_xml('public', true, false, '')
SELECT database_to_xml(true, false, '')
SELECT cursor_to_xml('c', 1, false, false, '')
SELECT * FROM ts_stat('select body from victims')
SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')
SELECT dblink('', 'select 1')
SELECT dblink_exec('', 'delete from canary')
SELECT * FROM pg_authid
SELECT * FROM pg_shadow
SELECT rolpassword FROM pg_catalog.pg_authid
SELECT * FROM pg_user_mapping
SELECT * FROM pg_user_mappings
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_file_settings
SELECT * FROM pg_settings
SELECT query FROM pg_stat_activity
SELECT * FROM pg_stat_ssl
SELECT * FROM pg_stat_replication
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_cursors
SELECT * FROM pg_locks
SELECT * FROM pg_largeobject
SELECT * FROM pg_subscription
SELECT * FROM pg_statistic
SELECT * FROM information_schema.user_mapping_options
SELECT current_setting('app.jwt_secret')
SELECT current_setting('data_directory')
SELECT current_setting(name) FROM victims
SELECT pg_show_all_settings()
SHOW ALL
SHOW app.jwt_secret
SHOW hba_file
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
SET search_path = public
SET LOCAL statement_timeout = 0
RESET ALL
RESET ROLE
SET TRANSACTION READ WRITE
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
BEGIN
COMMIT
ROLLBACK
END
SAVEPOINT a
START TRANSACTION READ WRITE
PREPARE TRANSACTION 'x'
COMMIT; DROP TABLE canary
SELECT 1; DELETE FROM canary
SELECT 1;; DELETE FROM canary; --
DO $$ begin delete from canary; end $$
CALL act()
EXPLAIN ANALYZE DELETE FROM canary
EXPLAIN (ANALYZE) UPDATE canary SET n = 2
EXPLAIN (ANALYZE true, VERBOSE) INSERT INTO canary VALUES (3)
EXPLAIN (ANALYZE 1) DELETE FROM canary
EXPLAIN (ANALYZE off) SELECT honest(1)
EXPLAIN SELECT honest(1)
EXPLAIN SELECT * FROM victims WHERE honest(1) = 2
EXPLAIN ANALYZE SELECT sing()
EXPLAIN CREATE TABLE evil AS SELECT 1
EXPLAIN ANALYZE CREATE TABLE evil AS SELECT 1
EXPLAIN EXECUTE p
EXPLAIN DECLARE c CURSOR FOR SELECT 1
EXPLAIN REFRESH MATERIALIZED VIEW m
PREPARE p AS DELETE FROM canary
EXECUTE p
DEALLOCATE ALL
DECLARE c CURSOR WITH HOLD FOR SELECT 1
FETCH 1 FROM c
CLOSE ALL
DISCARD ALL
COPY victims TO '/tmp/x'
COPY victims TO STDOUT
COPY victims FROM PROGRAM 'id'
COPY (SELECT 1) TO PROGRAM 'touch /tmp/pwned'
COPY (DELETE FROM canary RETURNING *) TO STDOUT
LOCK TABLE victims
LOCK TABLE victims IN ACCESS EXCLUSIVE MODE
VACUUM victims
VACUUM FULL
ANALYZE victims
REINDEX TABLE victims
CLUSTER victims
CHECKPOINT
REFRESH MATERIALIZED VIEW m
CREATE INDEX i ON victims (name)
CREATE INDEX CONCURRENTLY i ON victims (name)
CREATE VIEW v AS SELECT * FROM victims
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'
CREATE TRIGGER t BEFORE INSERT ON canary FOR EACH ROW EXECUTE FUNCTION sing()
CREATE RULE r AS ON SELECT TO canary DO INSTEAD SELECT 1
CREATE POLICY p ON canary USING (true)
CREATE ROLE evil SUPERUSER LOGIN
ALTER ROLE agent_reader SUPERUSER
ALTER ROLE agent_reader SET search_path = evil
DROP ROLE agent_app
GRANT ALL ON victims TO public
GRANT agent_app TO agent_reader
REVOKE ALL ON victims FROM agent_reader
ALTER SYSTEM SET fsync = off
ALTER DATABASE postgres SET search_path = evil
CREATE DATABASE evil
DROP DATABASE postgres
CREATE EXTENSION dblink
LOAD 'auto_explain'
CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw
IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public
CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p
SECURITY LABEL ON TABLE canary IS 'x'
COMMENT ON TABLE canary IS 'x'
REASSIGN OWNED BY agent_reader TO postgres
DROP OWNED BY agent_reader
SET CONSTRAINTS ALL DEFERRED
SELECT * FROM agents.agent_memory
SELECT count(*) FROM agents.human_approval_queue
SELECT * FROM agents_checkpoints.checkpoints
SELECT agents.tenant()
SELECT agents.begin_effect(1, gen_random_uuid())
WITH x AS (SELECT * FROM "agents".controls) SELECT * FROM x
UPDATE agents.human_approval_queue SET status = 'approved'
UPDATE agents.controls SET stopped = false
DROP SCHEMA agents CASCADE
DROP TABLE agents.agent_execution_log
DROP FUNCTION agents.begin_effect
GRANT ALL ON ALL TABLES IN SCHEMA agents TO agent_actor
ALTER TABLE agents.agent_memory DISABLE ROW LEVEL SECURITY
SELECT repeat('x', 1000000000)
SELECT lpad('x', 1000000000)
SELECT repeat(name, id::int * 1000000) FROM victims
SELECT satisfies_hash_partition('victims', 4, 0, VARIADIC NULL::int[])
SELECT pg_stat_reset()
SELECT pg_stat_get_activity(NULL)
SELECT pg_stat_clear_snapshot()
SELECT pg_export_snapshot()
SELECT pg_switch_wal()
SELECT pg_promote()
SELECT pg_create_restore_point('x')
SELECT pg_log_backend_memory_contexts(1)
SELECT gin_clean_pending_list('i')
SELECT brin_summarize_new_values('i')
SELECT pg_restore_relation_stats('relation', 'victims')
SELECT inet_server_addr()
SELECT inet_client_addr()
SELECT pg_postmaster_start_time()
SELECT binary_upgrade_set_next_pg_type_oid(1)
SELECT suppress_redundant_updates_trigger()
SELECT xpath('/a', '<a/>')
SELECT xmlparse(document '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')
SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text)
SELECT json_populate_record(null::victims, '{}')
SELECT setseed(0.5)
SELECT pg_relation_filepath('victims')
SELECT * FROM pg_logical_slot_get_changes('s', null, null)
SELECT (SELECT set_config('a.b', 'c', false))
SELECT CASE WHEN true THEN sing() END
SELECT coalesce(null, sing())
SELECT array(SELECT sing())
SELECT row(sing())
SELECT count(*) FILTER (WHERE sing() > 0) FROM victims
SELECT sum(quiet(id)) OVER (ORDER BY id) FROM victims
SELECT id FROM victims GROUP BY id, quiet(id)
SELECT id FROM victims ORDER BY quiet(id)
SELECT id FROM victims LIMIT sing()
SELECT id FROM victims OFFSET quiet(1)
VALUES (sing())
TABLE innocent
SELECT 1 UNION SELECT sing()
SELECT * FROM victims TABLESAMPLE system_rows(1)
SELECT * FROM (VALUES (nextval('ticket'))) v
SELECT $1
SELECT to_json(t) FROM tunes
SELECT to_jsonb(x) FROM tunes x
SELECT json_agg(t) FROM tunes
SELECT row_to_json(x) FROM (SELECT t FROM tunes) x
SELECT jsonb_build_object('t', t) FROM tunes
SELECT JSON_OBJECT('a': t) FROM tunes
SELECT JSON_ARRAYAGG(t) FROM tunes
SELECT t::json FROM tunes
SELECT CAST(t AS json) FROM tunes
SELECT count(t) FROM tunes
SELECT song(id) FROM victims
SELECT song(id) OVER (ORDER BY id) FROM victims
SELECT song(DISTINCT id) FROM victims
SELECT * FROM indexed
SELECT v FROM indexed WHERE id = 1
SELECT count(*) FROM partial
SELECT 1 FROM checked_once
SELECT * FROM measured_once
SELECT count(*) FROM partial WHERE v > 1
SELECT id FROM partly WHERE v > 5
SELECT count(*) FROM inlined
SELECT id FROM defaulted
SELECT * FROM canary
SELECT 5::sung
SELECT CAST(1 AS public.sung)
SELECT '5'::sung
SELECT '(1,2)'::carrier
SELECT (ROW(1, 2)::carrier).s
SELECT x FROM json_to_record('{"x": 1}') AS t(x sung)
SELECT * FROM jsonb_to_recordset('[{"a": 1}]') AS t(a sung)
SELECT * FROM json_populate_record(null::carrier, '{"s": 1}')
SELECT JSON_VALUE('1', '$' RETURNING sung)
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (x sung PATH '$'))
SELECT ARRAY[1]::sung[]
SELECT s FROM domained
SELECT * FROM agg_view
SELECT * FROM policy_view
SELECT * FROM deep
SELECT 1 WHERE (SELECT count(*) FROM deep) >= 0
SELECT lower(id::int) FROM victims
SELECT lower(5)
SELECT date_trunc('day', 5)
SELECT 1 @@@@ 2
SELECT id FROM victims WHERE 1 @@@@ ANY (ARRAY[1, 2])
SELECT id FROM victims WHERE id::int OPERATOR(public.@@@@) 3
SELECT sing_text(name) IS TRUE FROM victims
SELECT (SELECT bool_and(sing_text(name)) FROM victims)
SELECT * FROM victims JOIN tunes ON sing_int(tunes.id) = 1
SELECT * FROM generate_series(1, sing_int(3))
SELECT id, sum(id) OVER (ROWS quiet(1) PRECEDING) FROM victims
SELECT id, sum(id) OVER w FROM victims WINDOW w AS (PARTITION BY quiet(id))
SELECT grouping(quiet(id)) FROM victims GROUP BY ROLLUP (quiet(id))
SELECT DISTINCT ON (quiet(id)) id FROM victims
SELECT * FROM (VALUES (quiet(1))) v(x)
SELECT name FROM victims TABLESAMPLE bernoulli (quiet(50))
SELECT JSON_QUERY('1', '$' PASSING quiet(1) AS x)
SELECT xmlelement(name a, quiet(1))
SELECT nullif(quiet(1), 1), greatest(quiet(1), 2)
SELECT (ARRAY[1, 2])[sing_int(1)]
SELECT 'a' COLLATE "C" < 'b', quiet(1)
SELECT CASE quiet(1) WHEN 1 THEN 1 END
SELECT count(*) FROM victims HAVING quiet(1) > 0
SELECT sing_int(x) FROM (SELECT 1 AS x) s
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY quiet(id)) FROM victims
SELECT string_agg(name, ',' ORDER BY quiet(id)) FROM victims
SELECT format('%s', quiet(1))
SELECT NOT (sing_int(1) = 1)
SELECT "set_config"('a.b', 'c', false)
SELECT U&"\0073et_config"('a.b', 'c', false)
SELECT pg_notify('a', 'b') FROM victims
SELECT lo_get(1)
SELECT loread(1, 1)
SELECT pg_stat_get_backend_activity(1)
SELECT currtid2('victims', '(0,1)')
SELECT pg_ls_tmpdir()
SELECT * FROM pg_stat_get_wal_senders()
SELECT pg_logical_emit_message(false, 'a', 'b')
SELECT pg_sync_replication_slots()
SELECT pg_replication_origin_create('x')
SELECT pg_create_logical_replication_slot('x', 'pgoutput')
SELECT pg_import_system_collations('public')
SELECT pg_nextoid('pg_class', 'oid', 'pg_class_oid_index')
SELECT pg_stop_making_pinned_objects()
SELECT sing(
""".strip().splitlines()
    if line.strip()
)

BENIGN: tuple[str, ...] = tuple(
    line
    for line in r"""
SELECT 1
SELECT * FROM victims
SELECT id, name FROM victims LIMIT 5
SELECT count(*) FROM victims
SELECT count(DISTINCT state) FROM victims
SELECT state, count(*) FROM victims GROUP BY state ORDER BY 2 DESC
SELECT state, count(*) FROM victims GROUP BY 1 HAVING count(*) > 2
SELECT sum(total), avg(total), min(total), max(total) FROM orders
SELECT round(avg(total), 2) AS mean FROM orders
SELECT date_trunc('month', placed_at) AS m, sum(total) FROM orders GROUP BY 1 ORDER BY 1
SELECT extract(year FROM placed_at), count(*) FROM orders GROUP BY 1
SELECT to_char(placed_at, 'YYYY-MM') AS m, count(*) FROM orders GROUP BY m
SELECT * FROM orders WHERE placed_at >= now() - interval '30 days'
SELECT * FROM orders WHERE placed_at BETWEEN '2024-01-01' AND current_date
SELECT * FROM orders o JOIN victims v ON v.id = o.customer_id
SELECT v.name, sum(o.total) FROM orders o JOIN victims v ON v.id = o.customer_id GROUP BY v.name ORDER BY 2 DESC LIMIT 10
SELECT v.name FROM victims v LEFT JOIN orders o ON o.customer_id = v.id WHERE o.id IS NULL
SELECT name FROM victims WHERE id IN (SELECT customer_id FROM orders WHERE total > 100)
SELECT name FROM victims v WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = v.id)
SELECT name FROM victims v WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = v.id AND o.status = 'open')
SELECT name FROM victims WHERE name ILIKE '%5%'
SELECT name FROM victims WHERE name LIKE 'name%' ESCAPE '\'
SELECT name FROM victims WHERE name ~* 'n.me'
SELECT name FROM victims WHERE name SIMILAR TO 'n%'
SELECT name FROM victims WHERE state = ANY (ARRAY['open', 'done'])
SELECT name FROM victims WHERE 'a' = ANY (tags)
SELECT name FROM victims WHERE tags @> ARRAY['a']
SELECT name FROM victims WHERE tags && '{a,c}'
SELECT unnest(tags), count(*) FROM victims GROUP BY 1
SELECT array_length(tags, 1), cardinality(tags) FROM victims
SELECT array_agg(name ORDER BY id) FROM victims WHERE id < 5
SELECT string_agg(name, ', ' ORDER BY name) FROM victims WHERE id < 5
SELECT doc -> 'k' -> 0 FROM victims
SELECT doc ->> 'k' FROM victims
SELECT doc #>> '{k,2,x}' FROM victims
SELECT doc @> '{"k": [1]}' FROM victims
SELECT doc ? 'k' FROM victims
SELECT jsonb_array_elements(doc -> 'k') FROM victims LIMIT 5
SELECT e.value FROM victims v, jsonb_array_elements(v.doc -> 'k') AS e(value) LIMIT 5
SELECT jsonb_path_query(doc, '$.k[*]') FROM victims LIMIT 3
SELECT jsonb_typeof(doc) FROM victims LIMIT 1
SELECT jsonb_build_object('id', id, 'name', name) FROM victims LIMIT 2
SELECT json_agg(v) FROM (SELECT id, name FROM victims LIMIT 3) v
SELECT to_jsonb(v) FROM victims v LIMIT 1
SELECT row_to_json(v) FROM victims v LIMIT 1
SELECT key, value FROM victims, jsonb_each(doc) LIMIT 2
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY total) FROM orders
SELECT mode() WITHIN GROUP (ORDER BY status) FROM orders
SELECT stddev(total), variance(total), corr(total, id) FROM orders
SELECT regr_slope(total, id) FROM orders
SELECT count(*) FILTER (WHERE status = 'paid') AS paid, count(*) FROM orders
SELECT row_number() OVER (ORDER BY total DESC), id FROM orders LIMIT 3
SELECT id, rank() OVER (PARTITION BY status ORDER BY total DESC) FROM orders LIMIT 3
SELECT id, lag(total) OVER (ORDER BY placed_at), lead(total) OVER w FROM orders WINDOW w AS (ORDER BY placed_at) LIMIT 3
SELECT id, sum(total) OVER (ORDER BY placed_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM orders LIMIT 3
SELECT id, ntile(4) OVER (ORDER BY total) FROM orders LIMIT 3
SELECT first_value(id) OVER (PARTITION BY status ORDER BY total), percent_rank() OVER (ORDER BY total) FROM orders LIMIT 2
WITH m AS (SELECT date_trunc('month', placed_at) AS m, sum(total) AS t FROM orders GROUP BY 1) SELECT m, t, t - lag(t) OVER (ORDER BY m) FROM m
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT sum(i) FROM n
WITH RECURSIVE t(n, path) AS (SELECT 1, ARRAY[1] UNION ALL SELECT n + 1, path || n FROM t WHERE n < 5) SELECT * FROM t
WITH x AS MATERIALIZED (SELECT * FROM victims) SELECT count(*) FROM x
SELECT g.d::date, count(o.id) FROM generate_series(current_date - 7, current_date, interval '1 day') AS g(d) LEFT JOIN orders o ON o.placed_at::date = g.d GROUP BY 1
SELECT * FROM generate_series(1, 10)
SELECT i, i * i FROM generate_series(1, 5) AS i
SELECT v.name, l.total FROM victims v, LATERAL (SELECT total FROM orders o WHERE o.customer_id = v.id ORDER BY total DESC LIMIT 1) l
SELECT v.name, l.n FROM victims v CROSS JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = v.id) l LIMIT 3
SELECT * FROM orders FULL JOIN victims ON victims.id = orders.customer_id LIMIT 1
SELECT * FROM orders NATURAL JOIN (SELECT id FROM orders LIMIT 3) x
SELECT id FROM orders UNION SELECT id FROM victims
SELECT id FROM orders INTERSECT SELECT id FROM victims
SELECT id FROM orders EXCEPT ALL SELECT id FROM victims
SELECT status, count(*) FROM orders GROUP BY ROLLUP (status)
SELECT status, date_part('year', placed_at), count(*) FROM orders GROUP BY CUBE (1, 2)
SELECT status, count(*), grouping(status) FROM orders GROUP BY GROUPING SETS ((status), ())
SELECT DISTINCT status FROM orders
SELECT DISTINCT ON (customer_id) customer_id, total FROM orders ORDER BY customer_id, placed_at DESC
SELECT CASE WHEN total > 500 THEN 'big' WHEN total > 100 THEN 'mid' ELSE 'small' END AS size, count(*) FROM orders GROUP BY 1
SELECT coalesce(state, 'none'), nullif(name, ''), greatest(id, 5), least(id, 5) FROM victims LIMIT 1
SELECT upper(name), lower(name), length(name), trim(name), initcap(name) FROM victims LIMIT 1
SELECT substring(name FROM 1 FOR 3), position('a' IN name), overlay(name PLACING 'x' FROM 1) FROM victims LIMIT 1
SELECT split_part(name, ' ', 2), replace(name, 'n', 'm'), regexp_replace(name, '\d+', '#') FROM victims LIMIT 1
SELECT name || ' (' || state || ')' FROM victims LIMIT 1
SELECT concat(name, '-', id), concat_ws(', ', name, state), format('%s: %s', id, name) FROM victims LIMIT 1
SELECT lpad(id::text, 5, '0'), repeat('*', 5), md5(name) FROM victims LIMIT 1
SELECT abs(-1), ceil(1.2), floor(1.2), round(1.25, 1), sqrt(4), power(2, 3), mod(5, 2), ln(2), exp(1)
SELECT 5 / 2, 5 % 2, 5 ^ 2, |/ 25, @ -5
SELECT total::int, total::text, CAST(total AS double precision) FROM orders LIMIT 1
SELECT now(), current_date, current_timestamp, localtime, clock_timestamp()
SELECT age(placed_at), age(now(), placed_at), now() - placed_at FROM orders LIMIT 1
SELECT placed_at AT TIME ZONE 'Europe/Berlin' FROM orders LIMIT 1
SELECT date '2024-01-31' + 1, date '2024-01-31' - date '2024-01-01', interval '1 month' * 2
SELECT make_date(2024, 1, 31), to_date('2024-01-31', 'YYYY-MM-DD'), to_timestamp(0)
SELECT date_bin('15 minutes', placed_at, '2020-01-01') FROM orders LIMIT 1
SELECT (date '2024-01-01', date '2024-02-01') OVERLAPS (date '2024-01-15', date '2024-03-01')
SELECT * FROM plain
SELECT count(*) FROM public.plain WHERE amount > 5
SELECT * FROM guarded_plain
SELECT 1 FROM checked
SELECT count(*) FROM checked WHERE v > 5
SELECT * FROM measured
SELECT p.name, o.total FROM plain p JOIN orders o ON o.customer_id = p.id
SELECT 'happy'::mood, 'sad'::public.mood < 'ok'
SELECT enum_range(null::mood)
SELECT id, e <-> '[1,2,3]' AS d FROM embeddings ORDER BY d LIMIT 3
SELECT id FROM embeddings ORDER BY e <=> '[1,2,3]'::vector LIMIT 3
SELECT id, 1 - (e <=> '[1,2,3]') AS similarity, e <#> '[1,2,3]' FROM embeddings LIMIT 3
SELECT cosine_distance(e, '[1,2,3]'), l2_distance(e, '[1,2,3]'), vector_dims(e) FROM embeddings LIMIT 1
SELECT avg(e) FROM embeddings
SELECT name FROM victims WHERE body @@ to_tsquery('english', 'word & number')
SELECT name, ts_rank(body, q) FROM victims, plainto_tsquery('english', 'some words') q WHERE body @@ q ORDER BY 2 DESC LIMIT 3
SELECT ts_headline('english', name, websearch_to_tsquery('english', 'name')) FROM victims LIMIT 1
SELECT to_tsvector('english', name) FROM victims LIMIT 1
SELECT * FROM victims WHERE (id, name) = (1, 'name 1')
SELECT * FROM victims WHERE id BETWEEN 1 AND 3 OR id > 198 AND NOT state = 'open'
SELECT * FROM victims WHERE state IS DISTINCT FROM 'open'
SELECT * FROM victims WHERE amount IS NOT NULL AND (state = 'open') IS TRUE
SELECT * FROM victims ORDER BY amount DESC NULLS LAST, id OFFSET 5 LIMIT 5
SELECT * FROM victims ORDER BY id FETCH FIRST 3 ROWS ONLY
SELECT * FROM victims ORDER BY id FETCH FIRST 3 ROWS WITH TIES
VALUES (1, 'a'), (2, 'b')
TABLE orders
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, label)
SELECT (SELECT max(total) FROM orders) AS top
SELECT ARRAY(SELECT id FROM orders ORDER BY id LIMIT 3)
SELECT (ARRAY[1, 2, 3])[2], (ARRAY[1, 2, 3])[1:2]
SELECT array_to_string(tags, ','), string_to_array('a,b', ',') FROM victims LIMIT 1
SELECT ROW(1, 'a'), ROW(v.id, v.name) FROM victims v LIMIT 1
SELECT v FROM victims v LIMIT 1
SELECT bool_and(amount > 0), bool_or(amount > 5), every(id > 0) FROM victims
SELECT width_bucket(total, 0, 1000, 10) AS bucket, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT date_trunc('week', placed_at)::date AS week, count(*) AS n, round(100.0 * count(*) FILTER (WHERE status = 'paid') / count(*), 1) AS pct FROM orders GROUP BY 1
SELECT random() < 0.5, gen_random_uuid()
SELECT int4range(1, 5) @> 3, numrange(1, 2) && numrange(2, 3), lower(int4range(1, 5))
SELECT '192.168.0.1'::inet << '192.168.0.0/16'::cidr
SELECT pg_typeof(1), version(), current_database(), current_user
SELECT pg_size_pretty(pg_total_relation_size('orders'))
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders'
SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' LIMIT 5
SELECT seqrelid::regclass, seqincrement FROM pg_sequence ORDER BY 1
SELECT relname, n_live_tup FROM pg_stat_user_tables
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'orders'
SELECT obj_description('orders'::regclass), col_description('orders'::regclass, 1)
SELECT * FROM victims TABLESAMPLE bernoulli (10)
SELECT * FROM orders TABLESAMPLE system (50) REPEATABLE (1)
SELECT name COLLATE "C" FROM victims ORDER BY name COLLATE "C" LIMIT 1
SELECT JSON_OBJECT('id': id, 'name': name) FROM victims LIMIT 1
SELECT JSON_ARRAYAGG(id) FROM victims WHERE id < 4
SELECT JSON_VALUE(doc, '$.k[0]') FROM victims LIMIT 1
SELECT jt.* FROM victims, JSON_TABLE(doc, '$.k[*]' COLUMNS (x text PATH '$')) AS jt LIMIT 2
SELECT t.a FROM json_to_recordset('[{"a": 1}]') AS t(a int)
SELECT "name" AS "The Name", U&'d\0061ta' FROM "victims" v LIMIT 1
SELECT /* how many */ count(*) -- all of them
EXPLAIN SELECT * FROM orders
EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FROM orders
EXPLAIN (FORMAT JSON) SELECT * FROM orders WHERE id = 1
SHOW server_version
SHOW timezone
SELECT current_setting('server_version')
""".strip().splitlines()
    if line.strip()
)


def mutations(sql: str) -> Iterator[str]:
    """Yield the same statement in other forms. A form that does not parse is refused like any other."""
    yield sql + ";"
    yield f"/* harmless /* nested */ */ {sql} -- end"
    yield sql.replace(" ", "\n\t", 1)
    yield sql.swapcase() if '"' not in sql and "'" not in sql else sql
    yield f"WITH harmless AS (SELECT 1) SELECT * FROM harmless WHERE EXISTS ({sql})"
    yield f"SELECT * FROM ({sql}) AS wrapped"
    yield f"EXPLAIN ANALYZE {sql}"
    yield sql.replace("(", "/**/(", 1)
    yield sql.replace("SELECT ", "SELECT ALL ", 1).replace("public.", '"public" . ', 1)
    yield "\ufeff" + sql
    yield sql.replace("FROM ", "FROM ONLY ", 1)
    yield re.sub(r"\b([a-z_]+)\(", r'"\1"(', sql)
    yield re.sub(r"\b([a-z])([a-z_]+)\(", lambda name: f'U&"\\{ord(name[1]):04x}{name[2]}"(', sql)
    yield f"SELECT (SELECT count(*) FROM ({sql}) AS a), b.* FROM (WITH c AS MATERIALIZED ({sql}) SELECT * FROM c) AS b"
    yield (
        sql.replace("sing()", 'public."sing"()')
        .replace("pg_sleep", 'pg_catalog."pg_sleep"')
        .replace("set_config", 'U&"set\\005fconfig"')
    )
