"""Text of databases that do not store UTF-8: bytes that have no character, and characters that have no bytes.

The server sends text as UTF-8 and refuses what it cannot write so. Where that may be, text is asked for as the bytes that it
is stored as, and is read here; a byte that is no part of a character is shown as `\\xe9`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from agent.db.queries import fetch_all
from agent.errors import ConfigurationError

_UTF8 = "UTF8"
_PYTHON_NAMES = {"SQL_ASCII": "utf-8", "KOI8R": "koi8-r", "KOI8U": "koi8-u"}
_WINDOWS = re.compile(r"WIN(\d+)")
# The numbers and names of encodings are the same in each language of the server's messages.
_SEQUENCE = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_NAMES = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
# What stands for such a byte until the text is read: unlike a backslash it means nothing in JSON or in an array.
_MARKED = re.compile("[\uf780-\uf7ff]")
_SURROGATE = re.compile("[\udc80-\udcff]")


def stored_in(conn: psycopg.AsyncConnection[Any]) -> str:
    """The name of the encoding that the database of `conn` stores text in; '' for UTF-8, in which all of it can be sent."""
    name = conn.info.parameter_status("server_encoding") or _UTF8
    return "" if name == _UTF8 else name


def check_stores_utf8(encoding: str) -> None:
    """Raise `ConfigurationError` where the agent's own tables, which hold text of any language, cannot be in a database."""
    if encoding != _UTF8:
        raise ConfigurationError(
            f"The agent's own tables need a database that stores UTF8; this one stores {encoding}. Name another one in "
            "DATABASE_URL, or leave that empty to use the embedded database. This one can be the application's: APP_DATABASE_URL."
        )


def cannot_be_sent(error: psycopg.Error, conn: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server could not write a value as UTF-8, which it can send as bytes."""
    return _is_of_encodings(error) and bool(stored_in(conn))


def in_bytes(text: str, encoding: str) -> str:
    """SQL for the bytes that the text of the SQL expression `text` is stored as."""
    return f"pg_catalog.convert_to({text}, '{encoding}')"


def marked(stored: bytes, encoding: str) -> str:
    """The text of these bytes, in which each that is no part of a character has a mark, for `unmarked`."""
    name = _PYTHON_NAMES.get(encoding) or _WINDOWS.sub(r"cp\1", encoding)
    try:
        codec = codecs.lookup(name).name
    except LookupError:  # Python knows fewer than Postgres
        codec = "ascii"
    text = stored.decode(codec, "surrogateescape")
    return _SURROGATE.sub(lambda found: chr(ord(found.group()) - 0xDC00 + 0xF700), text)


def unmarked(value: Any) -> Any:
    """A JSON value with each marked byte spelled out."""
    if isinstance(value, str):
        return _MARKED.sub(lambda found: f"\\x{ord(found.group()) - 0xF700:02x}", value)
    if isinstance(value, Mapping):
        return {unmarked(key): unmarked(item) for key, item in value.items()}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def rows_in_bytes(query: sql.Composable, encoding: str) -> sql.Composed:
    """A query for the rows of `query`, each as bytes, for `rows_of_bytes`; its columns must be of JSON's types."""
    row = in_bytes("pg_catalog.row_to_json(agent_row)::pg_catalog.text", encoding)
    return sql.SQL("SELECT {} AS stored FROM (\n{}\n) AS agent_row").format(sql.SQL(row), query)


def rows_of_bytes(rows: list[dict[str, Any]], encoding: str) -> list[dict[str, Any]]:
    """The rows that a query of `rows_in_bytes` was for."""
    return [unmarked(json.loads(marked(row["stored"], encoding))) for row in rows]


async def all_rows(
    conn: psycopg.AsyncConnection[dict[str, Any]], query: LiteralString, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The rows of a query of ours whose columns are of JSON's types, whatever bytes the database holds as text."""
    encoding = stored_in(conn)
    if not encoding:
        return await fetch_all(conn, query, values)
    found = await conn.execute(rows_in_bytes(sql.SQL(query), encoding), values)
    return rows_of_bytes(await found.fetchall(), encoding)


def no_equivalent(error: psycopg.Error) -> str | None:
    """What an error of encodings means, as a sentence that quotes no stored value; None for other errors."""
    if not _is_of_encodings(error):
        return None
    message = error.diag.message_primary or ""
    names, sequence = _NAMES.findall(message), _SEQUENCE.search(message)
    if sequence is not None and names[:1] == [_UTF8] and len(names) > 1:
        character = bytes(int(part, 16) for part in sequence.group().split()).decode("utf-8", "replace")
        return (
            f"This database stores text as {names[1]}, which has no {character!r} (U+{ord(character[0]):04X}). "
            "Leave that character out, or write it another way."
        )
    return (
        "A value holds bytes that are no text, so it cannot be worked with as text. Leave that column out, or read it as "
        "bytes: encode(convert_to(column, 'SQL_ASCII'), 'escape')."
    )


def _is_of_encodings(error: psycopg.Error) -> bool:
    return isinstance(error, (psycopg.errors.UntranslatableCharacter, psycopg.errors.CharacterNotInRepertoire))
