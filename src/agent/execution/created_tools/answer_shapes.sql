-- as_reader: let the server find names as agent_reader would, and not wait long for a lock
SELECT pg_catalog.set_config('statement_timeout', '2000', true), pg_catalog.set_config('search_path', %(path)s, true)

-- type_name: a type's name, such as numeric(12,2)
SELECT pg_catalog.format_type(%(oid)s, %(mod)s) AS name
