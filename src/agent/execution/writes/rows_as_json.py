"""Makes the SQL that returns the rows of a change as JSON, and reads them.

A column of type json keeps escapes that no text can hold (`\\u0000` and half of a surrogate pair), and the server cannot
split a row that has one. There the escape is doubled: the value is shown as it was written.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import sql

from agent.db.encodings import in_bytes, marked, unmarked
from agent.db.json_values import from_json

# A long value is fetched as its first characters and a digest.
_MOST_CELL = 500
_SHORT = """(SELECT pg_catalog.json_object_agg(c.key, CASE
    WHEN pg_catalog.length(c.value::pg_catalog.text) OPERATOR(pg_catalog.>) {long} THEN pg_catalog.to_json(pg_catalog.concat(
      pg_catalog.left(c.value OPERATOR(pg_catalog.#>>) ARRAY[]::pg_catalog.text[], {most}), '... (',
      pg_catalog.length(c.value OPERATOR(pg_catalog.#>>) ARRAY[]::pg_catalog.text[]), ' characters, ', pg_catalog.md5(c.value::pg_catalog.text), ')'))
    ELSE c.value END)::pg_catalog.text
  FROM pg_catalog.json_each({row}) AS c)"""
# Escaped backslashes and whole surrogate pairs are removed before half a pair is looked for.
_READABLE = r"""CASE WHEN pg_catalog.strpos({row}::pg_catalog.text, '\u') OPERATOR(pg_catalog.=) 0 THEN {row}
    WHEN pg_catalog.regexp_replace({row}::pg_catalog.text, '\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}', ' ', 'gi')
         OPERATOR(pg_catalog.!~*) '\\u(0000|d[89a-f])' THEN {row}
    ELSE pg_catalog.regexp_replace({row}::pg_catalog.text, '(?<!\\)((?:\\\\)*)\\(u0000|ud[89a-f])', '\1\\\\\2', 'gi')::pg_catalog.json END"""
_EVERY_ESCAPE = (
    r"""pg_catalog.regexp_replace({row}::pg_catalog.text, '(?<!\\)((?:\\\\)*)\\u', '\1\\\\u', 'g')::pg_catalog.json"""
)


def short_cells(row: LiteralString, encoding: str = "") -> sql.SQL:
    """Return SQL for a row of readable JSON as text, long values cut to a beginning and a digest; in bytes with an `encoding`."""
    short = _SHORT.replace("{row}", row).replace("{most}", str(_MOST_CELL)).replace("{long}", str(2 * _MOST_CELL))
    return sql.SQL(in_bytes(short, encoding) if encoding else short)


def readable_json(row: LiteralString, encoding: str = "") -> sql.SQL:
    """Return SQL for a row of JSON that the server can split. With an `encoding`, which has few characters, no escape is read."""
    return sql.SQL((_EVERY_ESCAPE if encoding else _READABLE).replace("{row}", row))


def cells_of(row: str | bytes | None, encoding: str) -> Any:
    """Return the row that `short_cells` made, by column; None for no row."""
    if isinstance(row, bytes):
        return unmarked(from_json(marked(row, encoding), as_written=True))
    return from_json(row, as_written=True) if row else None
