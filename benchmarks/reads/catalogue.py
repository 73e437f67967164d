"""Generate statements from the server's own catalogs.

They call every function, aggregate and operator of pg_catalog with sample values, and read every relation of pg_catalog and
information_schema. Most functions that can do harm are among them, and nothing here knows their names.
"""

from __future__ import annotations

from typing import Any

import psycopg

_SAMPLES = {
    "text": "'a'", "name": "'a'::name", "integer": "1", "bigint": "1::bigint", "smallint": "1::smallint", "boolean": "true",
    "double precision": "1.5::float8", "real": "1.5::real", "numeric": "1.5", "oid": "16384::oid", "regclass": "'public.victims'::regclass",
    "date": "'2024-01-31'::date", "timestamp without time zone": "'2024-01-31'::timestamp", "timestamp with time zone": "now()",
    "time without time zone": "'12:00'::time", "time with time zone": "'12:00+00'::timetz", "interval": "'1 day'::interval",
    "bytea": "'\\x01'::bytea", "jsonb": "'{\"a\": [1, 2]}'::jsonb", "json": "'{\"a\": [1, 2]}'::json", "jsonpath": "'$.a'::jsonpath",
    "uuid": "'01234567-89ab-cdef-0123-456789abcdef'::uuid", "inet": "'10.0.0.1'::inet", "cidr": "'10.0.0.0/8'::cidr",
    "tsvector": "to_tsvector('english', 'some words')", "tsquery": "to_tsquery('english', 'word')", "regconfig": "'english'::regconfig",
    "point": "point(1, 2)", "box": "box(point(0, 0), point(1, 1))", "circle": "circle(point(0, 0), 1)", "bit": "B'101'", "bit varying": "B'101'::varbit",
    "anyelement": "1", "anycompatible": "1", "anynonarray": "1", "anyarray": "ARRAY[1, 2]", "anycompatiblearray": "ARRAY[1, 2]", "any": "1",
    "\"any\"": "1", "anyrange": "int4range(1, 5)", "anymultirange": "'{[1,3)}'::int4multirange", "anyenum": "'ok'::public.mood",
    "record": "ROW(1, 'a')", "character": "'a'::bpchar", "\"char\"": "'a'::\"char\"", "money": "1::money", "text[]": "ARRAY['a', 'b']",
    "refcursor": "'agent_read'::refcursor",
}  # fmt: skip
_FUNCTIONS = """
select p.proname, p.prokind, p.proretset, array(select format_type(t, null) from unnest(p.proargtypes) with ordinality x (t, n) order by n) as types,
       coalesce((select a.aggkind from pg_aggregate a where a.aggfnoid = p.oid), '') as aggregate
  from pg_proc p where p.oid < 16384 and p.pronamespace = 'pg_catalog'::regnamespace and p.prokind <> 'p' order by p.oid
"""
_OPERATORS = """
select o.oprname, nullif(o.oprleft, 0)::regtype::text as left_type, o.oprright::regtype::text as right_type
  from pg_operator o where o.oid < 16384 order by o.oid
"""
_RELATIONS = """
select relnamespace::regnamespace::text || '.' || relname from pg_class
 where relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) and relkind in ('r', 'v') order by 1
"""
# Types whose values no SQL can pass.
_INTERNAL = frozenset(
    {"internal", "cstring", "trigger", "event_trigger", "fdw_handler", "table_am_handler", "index_am_handler"}
)


def statements(conn: psycopg.Connection[Any]) -> list[str]:
    """Return a statement for each function, operator and relation of the system."""
    found = [_call(*row) for row in conn.execute(_FUNCTIONS)] + [_operation(*row) for row in conn.execute(_OPERATORS)]
    return [sql for sql in found if sql] + [f"SELECT * FROM {name}" for (name,) in conn.execute(_RELATIONS)]


def _call(name: str, kind: str, rows: bool, types: list[str], aggregate: str) -> str:
    if any(one in _INTERNAL for one in types):
        return ""
    arguments = [_sample(one) for one in types]
    call = f'pg_catalog."{name}"({", ".join(arguments)})'
    if aggregate in {"o", "h"}:
        return f'SELECT pg_catalog."{name}"({", ".join(arguments[:-1])}) WITHIN GROUP (ORDER BY {arguments[-1] if arguments else 1}) FROM public.victims'
    if kind == "w":
        return f"SELECT {call} OVER (ORDER BY id) FROM public.victims LIMIT 3"
    if kind == "a":
        return f"SELECT {call if arguments else 'count(*)'} FROM public.victims"
    return f"SELECT * FROM {call} AS f LIMIT 3" if rows else f"SELECT {call}"


def _operation(name: str, left: str | None, right: str) -> str:
    return f"SELECT {_sample(left) + ' ' if left else ''}OPERATOR(pg_catalog.{name}) {_sample(right)}"


def _sample(type_name: str) -> str:
    return _SAMPLES.get(type_name, f"NULL::{type_name}")
