"""Reads text of databases that do not store UTF-8, where a byte may be no character, and a character may have no bytes.

The server sends text as UTF-8 and refuses text that it cannot convert. For such databases the queries fetch text as its
stored bytes, and this module decodes it; a byte that is no part of a character becomes the text `\\xe9`.
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
# Byte values and names of encodings are the same in every language of the server's messages.
_SEQUENCE = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_NAMES = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
# Characters that stand for undecodable bytes until `unmarked`: unlike a backslash they mean nothing in JSON or in an array.
_MARKED = re.compile("[\uf780-\uf7ff]")
_SURROGATE = re.compile("[\udc80-\udcff]")


def stored_encoding(conn: psycopg.AsyncConnection[Any]) -> str:
    """Return the encoding in which the database of `conn` stores text; '' for UTF-8, which needs no conversion."""
    name = conn.info.parameter_status("server_encoding") or _UTF8
    return "" if name == _UTF8 else name


def check_stores_utf8(encoding: str) -> None:
    """Raise `ConfigurationError` unless `encoding` is UTF8, which the agent's own tables need for text of any language."""
    if encoding != _UTF8:
        raise ConfigurationError(
            f"The agent's own tables need a database that stores UTF8; this one stores {encoding}. Name another one in "
            "DATABASE_URL, or leave that empty to use the embedded database. APP_DATABASE_URL may name this one."
        )


def cannot_be_sent(error: psycopg.Error, conn: psycopg.AsyncConnection[Any]) -> bool:
    """Return whether the server failed to convert a value to UTF-8, so that its bytes can be fetched instead."""
    return _is_encoding_error(error) and bool(stored_encoding(conn))


def in_bytes(text: str, encoding: str) -> str:
    """Return SQL for the stored bytes of the SQL expression `text`."""
    return f"pg_catalog.convert_to({text}, '{encoding}')"


def marked(stored: bytes, encoding: str) -> str:
    """Decode these bytes; a byte that is no part of a character becomes a marker, which `unmarked` spells out."""
    name = _PYTHON_NAMES.get(encoding) or _WINDOWS.sub(r"cp\1", encoding)
    try:
        codec = codecs.lookup(name).name
    except LookupError:  # Python knows fewer encodings than Postgres
        codec = "ascii"
    text = stored.decode(codec, "surrogateescape")
    return _SURROGATE.sub(lambda found: chr(ord(found.group()) - 0xDC00 + 0xF700), text)


def unmarked(value: Any) -> Any:
    """Return a JSON value with each marked byte spelled out."""
    if isinstance(value, str):
        return _MARKED.sub(lambda found: f"\\x{ord(found.group()) - 0xF700:02x}", value)
    if isinstance(value, Mapping):
        return {unmarked(key): unmarked(item) for key, item in value.items()}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def rows_in_bytes(query: sql.Composable, encoding: str) -> sql.Composed:
    """Wrap `query` to return each row as bytes, for `rows_of_bytes`. Its columns must be of JSON's types."""
    row = in_bytes("pg_catalog.row_to_json(agent_row)::pg_catalog.text", encoding)
    return sql.SQL("SELECT {} AS stored FROM (\n{}\n) AS agent_row").format(sql.SQL(row), query)


def rows_of_bytes(rows: list[dict[str, Any]], encoding: str) -> list[dict[str, Any]]:
    """Decode the rows that a query made by `rows_in_bytes` returned."""
    return [unmarked(json.loads(marked(row["stored"], encoding))) for row in rows]


async def all_rows(
    conn: psycopg.AsyncConnection[dict[str, Any]], query: LiteralString, values: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run a query of ours and return its rows, also when stored text is not valid in its encoding.

    The query's columns must be of JSON's types.
    """
    encoding = stored_encoding(conn)
    if not encoding:
        return await fetch_all(conn, query, values)
    cursor = await conn.execute(rows_in_bytes(sql.SQL(query), encoding), values)
    return rows_of_bytes(await cursor.fetchall(), encoding)


def encoding_message(error: psycopg.Error) -> str | None:
    """Return a sentence that explains an encoding error without quoting a stored value; None for other errors."""
    if not _is_encoding_error(error):
        return None
    message = error.diag.message_primary or ""
    names, sequence = _NAMES.findall(message), _SEQUENCE.search(message)
    if sequence is not None and names[:1] == [_UTF8] and len(names) > 1:
        character = bytes(int(part, 16) for part in sequence.group().split()).decode("utf-8", "replace")
        return (
            f"This database stores text as {names[1]}, which has no {character!r} (U+{ord(character[0]):04X}). "
            "Leave that character out, or replace it."
        )
    return (
        "A value holds bytes that are not valid text, so it cannot be read as text. Leave that column out, or read it as "
        "bytes: encode(convert_to(column, 'SQL_ASCII'), 'escape')."
    )


def _is_encoding_error(error: psycopg.Error) -> bool:
    return isinstance(error, (psycopg.errors.UntranslatableCharacter, psycopg.errors.CharacterNotInRepertoire))
