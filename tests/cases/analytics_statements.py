"""The questions of an analyst about the tables in `hostile_statements`: one honest read on each line, written without a look at
any allow-list."""

from __future__ import annotations

ANALYTICS: tuple[str, ...] = tuple(
    line
    for line in r"""
SELECT date_trunc('day', placed_at) AS day, count(*) AS orders, sum(total) AS revenue, avg(total)::numeric(10, 2) AS basket FROM orders GROUP BY 1 ORDER BY 1 DESC LIMIT 30
SELECT date_trunc('month', placed_at) AS month, sum(total) AS revenue, sum(sum(total)) OVER (ORDER BY date_trunc('month', placed_at)) AS running FROM orders GROUP BY 1 ORDER BY 1
WITH monthly AS (SELECT date_trunc('month', placed_at) AS m, sum(total) AS r FROM orders GROUP BY 1) SELECT m, r, lag(r) OVER w AS before, round(100 * (r - lag(r) OVER w) / nullif(lag(r) OVER w, 0), 1) AS growth FROM monthly WINDOW w AS (ORDER BY m)
SELECT percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY total) FROM orders
SELECT status, percentile_cont(0.5) WITHIN GROUP (ORDER BY total) AS median, percentile_disc(0.9) WITHIN GROUP (ORDER BY total) AS p90 FROM orders GROUP BY status
SELECT width_bucket(total, 0, 1000, 20) AS bucket, min(total), max(total), count(*) FROM orders GROUP BY bucket ORDER BY bucket
SELECT ntile(10) OVER (ORDER BY total DESC) AS decile, id, total FROM orders ORDER BY decile, total DESC LIMIT 50
SELECT decile, sum(total) FROM (SELECT ntile(10) OVER (ORDER BY total DESC) AS decile, total FROM orders) d GROUP BY decile ORDER BY decile
SELECT v.name, count(o.id) AS n, coalesce(sum(o.total), 0) AS spent, max(o.placed_at) AS last_order FROM victims v LEFT JOIN orders o ON o.customer_id = v.id GROUP BY v.id, v.name ORDER BY spent DESC NULLS LAST LIMIT 20
SELECT v.name FROM victims v WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = v.id AND o.placed_at > now() - interval '90 days')
WITH first_order AS (SELECT customer_id, min(placed_at) AS first FROM orders GROUP BY 1) SELECT date_trunc('month', first) AS cohort, count(*) FROM first_order GROUP BY 1 ORDER BY 1
WITH f AS (SELECT customer_id, date_trunc('month', min(placed_at)) AS cohort FROM orders GROUP BY 1) SELECT f.cohort, extract(month FROM age(date_trunc('month', o.placed_at), f.cohort)) AS month_number, count(DISTINCT o.customer_id) FROM f JOIN orders o USING (customer_id) GROUP BY 1, 2 ORDER BY 1, 2
SELECT customer_id, placed_at, placed_at - lag(placed_at) OVER (PARTITION BY customer_id ORDER BY placed_at) AS gap FROM orders ORDER BY customer_id, placed_at LIMIT 50
WITH gaps AS (SELECT customer_id, placed_at, CASE WHEN placed_at - lag(placed_at) OVER (PARTITION BY customer_id ORDER BY placed_at) > interval '30 days' THEN 1 ELSE 0 END AS new FROM orders) SELECT customer_id, sum(new) OVER (PARTITION BY customer_id ORDER BY placed_at) AS session, placed_at FROM gaps LIMIT 20
SELECT id, total, avg(total) OVER (ORDER BY placed_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS weekly_average FROM orders ORDER BY placed_at LIMIT 30
SELECT id, sum(total) OVER (ORDER BY placed_at RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW) AS last_week FROM orders LIMIT 30
SELECT id, count(*) OVER (ORDER BY total GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM orders LIMIT 10
SELECT id, total, total / sum(total) OVER () AS share, cume_dist() OVER (ORDER BY total) FROM orders LIMIT 10
SELECT DISTINCT ON (customer_id) customer_id, id, total FROM orders ORDER BY customer_id, total DESC, id LIMIT 20
SELECT id, first_value(total) OVER w, last_value(total) OVER w, nth_value(total, 2) OVER w FROM orders WINDOW w AS (PARTITION BY status ORDER BY placed_at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) LIMIT 5
SELECT status, date_part('dow', placed_at) AS weekday, count(*) FROM orders GROUP BY GROUPING SETS ((status, date_part('dow', placed_at)), (status), ()) ORDER BY 1 NULLS LAST, 2 NULLS LAST
SELECT coalesce(status, 'all') AS status, coalesce(to_char(placed_at, 'YYYY'), 'all') AS year, sum(total) FROM orders GROUP BY ROLLUP (status, to_char(placed_at, 'YYYY'))
SELECT status, grouping(status) AS is_total, count(*) FROM orders GROUP BY CUBE (status) HAVING count(*) > 1
SELECT sum(total) FILTER (WHERE status = 'paid') AS paid, sum(total) FILTER (WHERE status <> 'paid') AS other, count(*) FILTER (WHERE placed_at > current_date - 7) AS fresh FROM orders
SELECT status, string_agg(id::text, ',' ORDER BY id) FILTER (WHERE total > 900) FROM orders GROUP BY status
SELECT to_char(placed_at, 'Day') AS weekday, round(avg(total), 2) FROM orders GROUP BY 1, extract(isodow FROM placed_at) ORDER BY extract(isodow FROM placed_at)
SELECT extract(hour FROM placed_at) AS hour, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT extract(epoch FROM now() - placed_at) / 86400 AS days FROM orders LIMIT 3
SELECT extract(quarter FROM placed_at) AS q, extract(isoyear FROM placed_at) AS y, extract(week FROM placed_at) AS w, count(*) FROM orders GROUP BY 1, 2, 3
SELECT to_char(total, 'FM999G999D00'), to_char(placed_at, 'IYYY-IW'), to_number('1,234.5', '9,999.9') FROM orders LIMIT 2
SELECT date '2024-02-29' + interval '1 year', date_trunc('quarter', timestamp '2024-05-05'), justify_days(interval '45 days'), make_interval(days => 3)
SELECT placed_at AT TIME ZONE 'America/New_York', timezone('UTC', placed_at), (placed_at AT TIME ZONE 'UTC')::date FROM orders LIMIT 2
SELECT d::date, count(o.id) FROM generate_series(date_trunc('month', now()) - interval '2 months', now(), '1 day') AS d LEFT JOIN orders o ON o.placed_at::date = d::date GROUP BY 1 ORDER BY 1
SELECT m.month, s.status, count(o.id) FROM generate_series(timestamp '2024-01-01', timestamp '2024-12-01', interval '1 month') AS m(month) CROSS JOIN (VALUES ('paid'), ('open')) AS s(status) LEFT JOIN orders o ON date_trunc('month', o.placed_at) = m.month AND o.status = s.status GROUP BY 1, 2 ORDER BY 1, 2
WITH RECURSIVE days(d) AS (SELECT current_date UNION ALL SELECT d - 1 FROM days WHERE d > current_date - 6) SELECT d FROM days
WITH RECURSIVE tree AS (SELECT id, name, 1 AS depth, ARRAY[id] AS path FROM victims WHERE id = 1 UNION ALL SELECT v.id, v.name, t.depth + 1, t.path || v.id FROM victims v JOIN tree t ON v.id = t.id * 2 WHERE t.depth < 5) SELECT * FROM tree ORDER BY path
WITH RECURSIVE f(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM f WHERE b < 1000) SELECT a FROM f
WITH RECURSIVE walk(id) AS (SELECT 1::bigint UNION SELECT (id * 3) % 17 FROM walk) CYCLE id SET looped USING trail SELECT id, looped FROM walk
WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4) SEARCH DEPTH FIRST BY n SET ordering SELECT n FROM s ORDER BY ordering
SELECT v.name, last.total, last.placed_at FROM victims v CROSS JOIN LATERAL (SELECT total, placed_at FROM orders o WHERE o.customer_id = v.id ORDER BY placed_at DESC LIMIT 3) last LIMIT 30
SELECT v.id, x.n, x.s FROM victims v LEFT JOIN LATERAL (SELECT count(*) AS n, sum(total) AS s FROM orders o WHERE o.customer_id = v.id) x ON true LIMIT 5
SELECT a.id, b.id, abs(a.total - b.total) AS apart FROM orders a JOIN orders b ON a.id < b.id AND a.customer_id = b.customer_id ORDER BY apart LIMIT 5
SELECT id FROM orders WHERE total > (SELECT avg(total) + 2 * stddev_pop(total) FROM orders)
SELECT id FROM orders WHERE total > ALL (SELECT total FROM orders WHERE status = 'open') LIMIT 5
SELECT id FROM orders WHERE (status, customer_id) IN (SELECT status, customer_id FROM orders GROUP BY 1, 2 HAVING count(*) > 1) LIMIT 5
SELECT id FROM orders WHERE status = ANY ('{paid,open}') AND total BETWEEN SYMMETRIC 500 AND 100 LIMIT 5
SELECT corr(total, id), covar_samp(total, id), regr_r2(total, id), regr_intercept(total, id), regr_count(total, id) FROM orders
SELECT stddev_samp(total), var_pop(total), max(total) - min(total) AS spread, bool_and(total > 0), bit_or(id::int) FROM orders
SELECT mode() WITHIN GROUP (ORDER BY status), rank(500) WITHIN GROUP (ORDER BY total), percent_rank(500) WITHIN GROUP (ORDER BY total) FROM orders
SELECT round(total, -1) AS rounded, trunc(total / 7, 2), mod(total, 7), sign(total), power(total, 2), sqrt(total), cbrt(total), ln(total), log(10, total) FROM orders LIMIT 3
SELECT greatest(total, 10), least(total, 10), nullif(total, 0), coalesce(NULL, total, 0) FROM orders LIMIT 3
SELECT total::money, total::int::float8, (total * 100)::bigint FROM orders LIMIT 3
SELECT doc -> 'k' -> 2 ->> 'x' AS x, jsonb_array_length(doc -> 'k') FROM victims LIMIT 3
SELECT doc #> '{k,2}', doc #>> '{k,0}', doc['k'][0] FROM victims LIMIT 3
SELECT count(*) FROM victims WHERE doc @> '{"k": [2]}' AND doc ? 'k' AND doc ?| ARRAY['k', 'z'] AND doc ?& ARRAY['k']
SELECT doc || '{"new": true}' AS more, doc - 'k' AS less, doc #- '{k,0}' AS cut FROM victims LIMIT 2
SELECT e.ordinality, e.value FROM victims v, jsonb_array_elements(v.doc -> 'k') WITH ORDINALITY AS e(value, ordinality) WHERE v.id = 1
SELECT key, count(*) FROM victims, jsonb_object_keys(doc) AS key GROUP BY key
SELECT r.* FROM victims v, jsonb_to_recordset('[{"a": 1, "b": "x"}]'::jsonb) AS r(a int, b text) LIMIT 3
SELECT jsonb_path_query_array(doc, '$.k[*] ? (@ > 1)'), jsonb_path_exists(doc, '$.k[2].x'), doc @? '$.k', doc @@ '$.k[0] == 1' FROM victims LIMIT 2
SELECT jsonb_pretty(jsonb_build_object('id', id, 'tags', to_jsonb(tags), 'n', jsonb_build_array(1, 2))) FROM victims LIMIT 1
SELECT jsonb_agg(jsonb_build_object('s', status, 'n', n) ORDER BY n DESC) FROM (SELECT status, count(*) AS n FROM orders GROUP BY 1) x
SELECT jsonb_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY 1) x
SELECT json_build_object('total', sum(total), 'by_status', json_agg(DISTINCT status)) FROM orders
SELECT jsonb_set(doc, '{k,0}', '9'), jsonb_strip_nulls(doc), jsonb_insert(doc, '{k,0}', '0') FROM victims LIMIT 1
SELECT JSON_OBJECTAGG(status: n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY 1) x
SELECT JSON_ARRAY(1, 'a', NULL NULL ON NULL), JSON_QUERY(doc, '$.k'), JSON_EXISTS(doc, '$.k') FROM victims LIMIT 1
SELECT jt.n, jt.x FROM victims v, JSON_TABLE(v.doc, '$.k[*]' COLUMNS (n FOR ORDINALITY, x text PATH '$.x')) jt WHERE v.id = 1
SELECT id FROM victims WHERE 'b' = ANY (tags) AND tags @> '{a}' AND array_position(tags, 'a') = 1 LIMIT 3
SELECT tag, count(*) FROM victims CROSS JOIN unnest(tags) AS tag GROUP BY tag ORDER BY 2 DESC
SELECT array_agg(DISTINCT t ORDER BY t) FROM victims, unnest(tags) t
SELECT array_remove(tags, 'a'), array_append(tags, 'c'), array_cat(tags, tags), tags || 'd'::text, array_replace(tags, 'a', 'z'), tags[1:1] FROM victims LIMIT 1
SELECT ARRAY[1, 2] || 3, ARRAY[[1, 2], [3, 4]], array_dims(ARRAY[[1], [2]]), array_upper(ARRAY[1, 2], 1), array_fill(0, ARRAY[3])
SELECT generate_subscripts(tags, 1), tags FROM victims LIMIT 2
SELECT name, regexp_replace(name, '(\w+) (\d+)', '\2 \1'), (regexp_match(name, '\d+'))[1]::int, regexp_split_to_array(name, '\s+') FROM victims LIMIT 3
SELECT m[1] FROM victims, regexp_matches(name, '(\d)', 'g') AS m LIMIT 5
SELECT regexp_count(name, 'n'), regexp_instr(name, 'm'), regexp_like(name, '^name'), regexp_substr(name, '\d+') FROM victims LIMIT 2
SELECT name FROM victims WHERE name ~ '^name \d{2}$' AND name !~* 'X' AND name NOT LIKE '%9' ORDER BY length(name), name LIMIT 5
SELECT split_part(name, ' ', -1), left(name, 3), right(name, 2), reverse(name), lpad(id::text, 4, '0'), btrim('  x ') FROM victims LIMIT 2
SELECT translate(name, 'aeiou', '*****'), overlay(name PLACING '**' FROM 2 FOR 2), strpos(name, 'm'), substr(name, 2, 3), ascii(name), chr(65) FROM victims LIMIT 2
SELECT format('%s has %s', name, amount), format('%1$L %2$I', name, state), quote_literal(name), concat_ws(' | ', name, NULL, state) FROM victims LIMIT 2
SELECT encode(sha256(name::bytea), 'hex'), md5(name), encode(convert_to(name, 'UTF8'), 'base64') FROM victims LIMIT 1
SELECT string_to_table('a,b,c', ','), starts_with('abc', 'ab'), initcap('an example'), unaccented FROM (SELECT 'x' AS unaccented) u
SELECT name, ts_rank_cd(body, q) AS rank FROM victims, websearch_to_tsquery('english', 'words -missing') q WHERE body @@ q ORDER BY rank DESC LIMIT 5
SELECT ts_headline('english', 'some words about number one', phraseto_tsquery('english', 'about number')), to_tsvector('simple', 'a b') || to_tsvector('simple', 'c')
SELECT count(*) FROM victims WHERE to_tsvector('english', coalesce(name, '')) @@ to_tsquery('english', 'name | number:*')
SELECT length(body), strip(body), setweight(body, 'A') FROM victims LIMIT 1
SELECT id, e <-> (SELECT e FROM embeddings WHERE id = 1) AS distance FROM embeddings ORDER BY distance LIMIT 5
SELECT id, e <=> '[1,0,0]' AS cosine, e <#> '[1,0,0]' AS inner_product, e <+> '[1,0,0]' AS manhattan FROM embeddings ORDER BY e <=> '[1,0,0]' LIMIT 5
SELECT avg(e), sum(e), count(*) FROM embeddings
SELECT id, l2_normalize(e), vector_norm(e), subvector(e, 1, 2), e + e, e * e FROM embeddings LIMIT 2
SELECT id, e::text, ARRAY[1, 2, 3]::vector <-> e, e::halfvec FROM embeddings LIMIT 2
SELECT * FROM plain p JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = p.id) x ON true ORDER BY n DESC LIMIT 5
SELECT g.owner, count(*) FROM guarded_plain g GROUP BY 1
SELECT state, count(*) FROM plain JOIN victims USING (id) GROUP BY state
SELECT 'happy'::mood > 'sad'::mood, enum_first(NULL::mood), enum_range('ok'::mood, NULL), ARRAY['sad', 'ok']::mood[]
SELECT int4range(1, 10) * int4range(5, 15), daterange('2024-01-01', '2024-02-01') @> date '2024-01-15', upper(numrange(1, 2)), range_merge(int4range(1, 2), int4range(5, 6)), '{[1,2),[4,5)}'::int4multirange
SELECT tstzrange(min(placed_at), max(placed_at)) FROM orders
SELECT range_agg(int4range(id::int, id::int + 2)) FROM orders WHERE id < 5
SELECT '10.1.2.3'::inet + 1, host('10.0.0.1/8'::inet), network('10.1.0.0/16'), masklen('10.0.0.0/8'::cidr), '10.0.0.0/8'::inet >>= '10.1.1.1'
SELECT point(1, 2) <-> point(4, 6), box '((0,0),(1,1))' @> point '(0.5,0.5)', area(circle '((0,0),2)')
SELECT x'ff'::int, B'101'::bit(3), ~5, 5 & 3, 5 | 3, 5 # 3, 1 << 4
SELECT id, CASE status WHEN 'paid' THEN total ELSE 0 END AS paid, status IS NOT DISTINCT FROM 'open' FROM orders LIMIT 3
SELECT * FROM orders ORDER BY total DESC FETCH FIRST 3 ROWS WITH TIES
(SELECT id, total FROM orders ORDER BY total DESC LIMIT 3) UNION ALL (SELECT id, total FROM orders ORDER BY total LIMIT 3)
SELECT status FROM orders EXCEPT SELECT state FROM victims
SELECT count(*) FROM orders TABLESAMPLE SYSTEM (50)
SELECT c.relname, pg_size_pretty(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'
SELECT tc.table_name, kcu.column_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu USING (constraint_name) WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = 'public'
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'orders'::regclass
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = 'orders'::regclass AND a.attnum > 0
SELECT gen_random_uuid() IS NOT NULL, random() BETWEEN 0 AND 1, txt FROM (VALUES ('a')) AS v(txt)
SELECT avg(total) OVER (PARTITION BY customer_id) - avg(total) OVER () AS above FROM orders ORDER BY above DESC LIMIT 5
SELECT status, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent FROM orders GROUP BY status
WITH r AS (SELECT customer_id, max(placed_at) AS recency, count(*) AS frequency, sum(total) AS monetary FROM orders GROUP BY 1) SELECT customer_id, ntile(5) OVER (ORDER BY recency) AS r, ntile(5) OVER (ORDER BY frequency) AS f, ntile(5) OVER (ORDER BY monetary) AS m FROM r LIMIT 20
SELECT count(DISTINCT customer_id)::float / count(*) FROM orders
SELECT o.status, v.state, count(*) FROM orders o RIGHT JOIN victims v ON v.id = o.customer_id GROUP BY 1, 2
SELECT array_to_string(array_agg(DISTINCT status), '/') AS all_statuses, any_value(status) FROM orders
SELECT id, total FROM orders WHERE placed_at >= date_trunc('year', now()) AND placed_at < date_trunc('year', now()) + interval '1 year' LIMIT 5
SELECT ((total - avg(total) OVER ()) / nullif(stddev(total) OVER (), 0))::numeric(6, 2) AS z FROM orders LIMIT 5
""".strip().splitlines()
    if line.strip()
)
