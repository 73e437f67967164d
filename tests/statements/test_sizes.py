"""How large the values are that a statement may make: what may be too large for the server's memory asks, honest questions do not."""

from __future__ import annotations

import pytest

from agent.statements.parser import parse
from agent.statements.sizes import too_large

HUGE = r"""
SELECT format('%500000000s', 'x')
SELECT format('%-500000000s', 'x')
SELECT format('%1$500000000s', 'x')
SELECT format('%*s', 500000000, 'x')
SELECT format('%2$*1$s', 500000000, 'x')
SELECT format('%1$*2$s', 'x', 500000000)
SELECT format('%*s', n, 'x') FROM t
SELECT format(note, 'x') FROM t
SELECT format('%' || '500000000s', 'x')
SELECT format('%400000s%400000s%400000s', 'x', 'y', 'z')
SELECT pg_catalog.format('%500000000s', 'x')
SELECT repeat('x', 500000000)
SELECT repeat('x', n) FROM t
SELECT repeat(repeat('x', 10000), 10000)
SELECT left(repeat('x', 500000000), 1)
SELECT length(repeat('x', 500000000))
SELECT 1 WHERE repeat('x', 500000000) > ''
SELECT 1 ORDER BY repeat('x', 500000000)
SELECT lpad('x', 500000000)
SELECT rpad('x', n) FROM t
SELECT lpad('x', (SELECT 500000000))
SELECT replace(repeat('x', 10000), 'x', repeat('y', 10000))
SELECT replace(replace(replace(repeat('x', 10000), 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx')
SELECT regexp_replace(repeat('x', 100000), '', repeat('y', 1000), 'g')
SELECT regexp_replace(repeat('x', 100000), '.', '\&\&\&\&\&\&\&\&\&\&\&\&\&\&\&\&\&', 'g')
SELECT string_agg(repeat('x', 10000), '') FROM generate_series(1, 100000)
SELECT string_agg('x', repeat('y', 10000)) FROM generate_series(1, 100000)
SELECT string_agg(repeat('x', 10000), '') FROM orders
SELECT array_agg(i) FROM generate_series(1, 100000000) i
SELECT array_agg(i) FROM generate_series(1, 10000) i, generate_series(1, 10000) j
SELECT jsonb_agg(i) FROM generate_series(1, (SELECT 100000000)) i
SELECT jsonb_agg(i) FROM (SELECT generate_series(1, 100000000) AS i) x
SELECT json_object_agg(i, i) FROM generate_series(1, 100000000) i
SELECT JSON_ARRAYAGG(i) FROM generate_series(1, 100000000) i
SELECT ARRAY(SELECT i FROM generate_series(1, 100000000) i)
SELECT array_agg(a.x) FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) a(x), (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) b(x), (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) c(x), (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) d(x), (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) e(x)
WITH a AS (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)) SELECT array_agg(1) FROM a, a a2, a a3, a a4, a a5, a a6, a a7, a a8
SELECT array_agg(c) FROM regexp_split_to_table(repeat('x', 1000), '') c, regexp_split_to_table(repeat('x', 1000), '') d
SELECT array_agg(d) FROM generate_series('2000-01-01'::timestamp, '2024-01-01', '1 second') d
SELECT string_agg(d::text, '') FROM generate_series('2000-01-01'::timestamp, '294276-01-01', '1 day') d
WITH RECURSIVE r AS (SELECT 'x'::text AS x, 1 AS n UNION ALL SELECT x || x, n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT r.x || r.x, n + 1 FROM r WHERE n < 30) SELECT max(length(x)) FROM r
WITH RECURSIVE r(a, b, n) AS (SELECT 'x'::text, 'y'::text, 1 UNION ALL SELECT a || b, b || a, n + 1 FROM r WHERE n < 40) SELECT length(a) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT concat(x, x), n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT format('%1$s%1$s', x), n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT '''x'::text, 1 UNION ALL SELECT quote_literal(x), n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT '"'::text, 1 UNION ALL SELECT to_json(x)::text, n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT '"'::text, 1 UNION ALL SELECT ARRAY[x]::text, n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT '"'::text, 1 UNION ALL SELECT ROW(x)::text, n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT ARRAY[1], 1 UNION ALL SELECT x || x, n + 1 FROM r WHERE n < 30) SELECT cardinality(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT replace(x, 'x', 'xx'), n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT y, n + 1 FROM r, LATERAL (SELECT r.x || r.x AS y) l WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(x, n) AS (SELECT 'x'::text, 1 UNION ALL SELECT (SELECT string_agg(r.x, '') FROM generate_series(1, 2)), n + 1 FROM r WHERE n < 30) SELECT length(x) FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100000000) SELECT array_agg(n) FROM r
WITH RECURSIVE r(x) AS (SELECT ''::text UNION ALL SELECT x || repeat('y', 100000) FROM r WHERE length(x) < 1000000000) SELECT max(length(x)) FROM r
WITH a AS (SELECT repeat('x', 1000) AS x), b AS (SELECT x || x || x || x || x || x || x || x || x || x AS x FROM a), c AS (SELECT x || x || x || x || x || x || x || x || x || x AS x FROM b), d AS (SELECT x || x || x || x || x || x || x || x || x || x || x AS x FROM c) SELECT length(x) FROM d
WITH a AS (SELECT note AS x FROM t), b AS (SELECT x || x || x || x || x || x || x || x || x || x AS x FROM a), c AS (SELECT x || x || x || x || x || x || x || x || x || x AS x FROM b), d AS (SELECT x || x || x || x || x || x || x || x || x || x || x AS x FROM c) SELECT length(x) FROM d
SELECT length(x || x || x || x || x || x || x || x || x || x || x) FROM (SELECT repeat('x', 100000)) AS s(x)
SELECT length(s::text || s::text || s::text || s::text || s::text || s::text || s::text || s::text || s::text || s::text || s::text) FROM (SELECT repeat('x', 100000)) AS s
SELECT 'x'::char(10000000)
SELECT B'1'::bit(80000000)
SELECT 'x'::text::bit(80000000)
SELECT to_char(1, repeat('9', 1000000))
SELECT to_char(now(), repeat('Month', 100000))
SELECT array_to_string(string_to_array(repeat('x,', 1000), ','), repeat('y', 10000))
SELECT concat_ws(repeat('y', 500000), 1, 2, 3, 4)
SELECT jsonb_pretty((repeat('[', 4000) || repeat(']', 4000))::jsonb)
SELECT string_agg((10::numeric ^ 130000)::text, '') FROM orders
SELECT string_agg('1e130000'::numeric::text, '') FROM orders
SELECT string_agg((1e130000)::text, '') FROM orders
SELECT encode(decode(repeat('00', 200000), 'hex'), 'escape')
SELECT overlay(repeat('x', 600000) placing repeat('y', 600000) from 1)
SELECT array_replace(array_agg(1), 1, repeat('x', 2000000)::int) FROM t
SELECT quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(quote_literal(repeat('''', 10000)))))))
SELECT CASE WHEN true THEN format('%900000000s', 'x') END
SELECT coalesce(NULL, repeat('x', 900000000))
SELECT count(*) FROM t GROUP BY repeat('x', 900000000)
SELECT sum(length(repeat('x', 900000000))) OVER ()
SELECT ts_headline(repeat('word ', 100000), to_tsquery('word'), 'StartSel=' || repeat('x', 1000))
SELECT normalize(repeat('x', 900000), NFKD)
EXPLAIN SELECT repeat('x', 900000000)
UPDATE t SET note = repeat('x', 900000000)
SELECT xs FROM (SELECT repeat('x', 100000) AS xs) a, LATERAL (SELECT a.xs || a.xs || a.xs || a.xs || a.xs || a.xs || a.xs || a.xs || a.xs || a.xs || a.xs AS ys) b
SELECT string_agg(x, '') FROM (SELECT repeat('x', 5000) AS x FROM orders) s
SELECT repeat('x', 900000), repeat('y', 900000)
""".strip().splitlines()
FINE = r"""
SELECT name || ' <' || email || '>' FROM users
SELECT lpad(id::text, 10, '0') FROM users
SELECT lpad(month::text, 2, '0'), rpad(name, 20) FROM users
SELECT repeat('-', 40)
SELECT repeat('*', 5) || right(card, 4) FROM cards
SELECT format('%s (%s)', name, count(*)) FROM users GROUP BY name
SELECT format('%-20s %10s', name, total) FROM orders
SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
SELECT string_agg(name, ', ' ORDER BY name) FROM users
SELECT array_agg(DISTINCT name) FROM users
SELECT json_agg(json_build_object('id', u.id, 'name', u.name, 'orders', (SELECT json_agg(o) FROM orders o WHERE o.user_id = u.id))) FROM users u
SELECT jsonb_agg(to_jsonb(u)) FROM users u
SELECT jsonb_pretty(to_jsonb(u)) FROM users u
SELECT row_to_json(u) FROM users u
SELECT replace(replace(replace(phone, ' ', ''), '-', ''), '+', '') FROM users
SELECT replace(replace(replace(replace(name, 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ß', 'ss') FROM users
SELECT regexp_replace(phone, '[^0-9]', '', 'g') FROM users
SELECT regexp_replace(name, '(\w+) (\w+)', '\2, \1') FROM users
SELECT to_char(created_at, 'YYYY-MM-DD HH24:MI:SS'), to_char(total, 'FM999,999,990.00') FROM orders
SELECT d::date, count(o.id) FROM generate_series(date_trunc('month', now()) - interval '11 months', now(), '1 month') d LEFT JOIN orders o ON date_trunc('month', o.created_at) = d GROUP BY 1
SELECT json_agg(x) FROM (SELECT d::date, count(o.id) FROM generate_series('2024-01-01'::date, '2024-12-31'::date, '1 day') d LEFT JOIN orders o ON o.day = d GROUP BY 1) x
SELECT array_agg(i) FROM generate_series(1, 1000) i
SELECT string_agg(chr(i), '') FROM generate_series(65, 90) i
WITH RECURSIVE t AS (SELECT id, name, parent_id, 1 AS depth, name::text AS path FROM categories WHERE parent_id IS NULL UNION ALL SELECT c.id, c.name, c.parent_id, t.depth + 1, t.path || ' > ' || c.name FROM categories c JOIN t ON c.parent_id = t.id) SELECT * FROM t
WITH RECURSIVE t(id, path) AS (SELECT id, ARRAY[id] FROM categories WHERE parent_id IS NULL UNION ALL SELECT c.id, path || c.id FROM categories c JOIN t ON c.parent_id = t.id WHERE NOT c.id = ANY (path)) SELECT json_agg(t) FROM t
WITH RECURSIVE t AS (SELECT id, id::text AS path FROM categories UNION ALL SELECT c.id, t.path || '/' || c.id::text FROM categories c JOIN t ON c.parent_id = t.id) SELECT string_agg(path, E'\n') FROM t
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n
WITH RECURSIVE fib(a, b) AS (SELECT 0, 1 UNION ALL SELECT b, a + b FROM fib WHERE b < 1000) SELECT a FROM fib
SELECT concat_ws(', ', street, city, zip, country) FROM addresses
SELECT array_to_string(array_agg(name), ', ') FROM users
SELECT array_to_string(tags, ', ') FROM posts
SELECT string_to_array(tags, ',') FROM posts
SELECT round(avg(total), 2), trunc(max(total)), power(2, 10), 2 ^ 8 FROM orders
SELECT string_agg(round(total, 2)::text, ', ') FROM orders
SELECT price::numeric(10,2), code::varchar(20), flag::char(1) FROM items
SELECT encode(sha256(convert_to(name, 'UTF8')), 'hex') FROM users
SELECT unnest(tags), count(*) FROM posts GROUP BY 1
SELECT jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY status) s
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders
SELECT ARRAY(SELECT name FROM users ORDER BY 1 LIMIT 10)
WITH a AS (SELECT first || ' ' || last AS name, city FROM users), b AS (SELECT name || ', ' || city AS label FROM a) SELECT string_agg(label, '; ') FROM b
SELECT ts_headline('english', body, to_tsquery('word'), 'StartSel=<b>, StopSel=</b>, MaxWords=30') FROM posts
SELECT u.name, s.total FROM users u, LATERAL (SELECT sum(total) AS total FROM orders o WHERE o.user_id = u.id) s
SELECT json_build_object('type', 'FeatureCollection', 'features', json_agg(json_build_object('type', 'Feature', 'properties', to_jsonb(t)))) FROM t
SELECT extract(year FROM d) || '-' || lpad(extract(month FROM d)::text, 2, '0') AS m, sum(t) FROM o GROUP BY 1
SELECT generate_series(1, 10)
SELECT x.* FROM (VALUES (1, 'a'), (2, 'b')) AS x(id, name)
SELECT string_agg(x.name, ',') FROM (VALUES (1, 'a'), (2, 'b')) AS x(id, name)
""".strip().splitlines()


@pytest.mark.parametrize("sql", HUGE)
def test_a_value_that_may_be_too_large_is_seen(sql: str) -> None:
    assert too_large(parse(sql))
    assert too_large(parse(sql))  # from what is kept too


@pytest.mark.parametrize("sql", FINE)
def test_honest_values_are_not(sql: str) -> None:
    assert too_large(parse(sql)) == ()
