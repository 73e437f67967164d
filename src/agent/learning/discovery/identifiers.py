"""Writes names, types and comments of the catalogs so that each stays on one line of the schema text.

A catalog is untrusted input: a table may be called `x"\\nTABLE public.forged`, a comment may hold instructions. Names are
quoted as in SQL, comments become one short line.
"""

from __future__ import annotations

import re
import unicodedata

from agent.text.words import word_set

COMMENT_CHARS = 200

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_PART = re.compile(r"""[uU]&"(?P<escaped>(?:[^"]|"")+)"|"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[^\W\d][\w$]*)""")
_ESCAPE = re.compile(r"\\(?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4})|(\\))")
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

# Every keyword of PostgreSQL 18 that quote_ident() quotes.
_KEYWORDS = word_set(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case
    cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on
    only or order out outer overlaps overlay placing position precision primary real references returning right
    row select session_user setof similar smallint some substring symmetric system_user table tablesample then
    time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where
    window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
    xmlserialize xmltable
    """
)

_SHORT_TYPES = (
    (re.compile(r"^timestamp(\(\d\))? with time zone"), r"timestamptz\1"),
    (re.compile(r"^timestamp(\(\d\))? without time zone"), r"timestamp\1"),
    (re.compile(r"^time(\(\d\))? with time zone"), r"timetz\1"),
    (re.compile(r"^time(\(\d\))? without time zone"), r"time\1"),
    (re.compile(r"^character varying"), "varchar"),
    (re.compile(r"^character(?=\(|\[|$)"), "char"),
    (re.compile(r"^double precision"), "float8"),
    (re.compile(r"^bit varying"), "varbit"),
    (re.compile(r"^interval [a-z ]+"), "interval"),
)


def quote_name(name: str) -> str:
    """Return `name` as SQL, quoted where Postgres's `quote_ident` quotes; with control characters as `U&"..."`."""
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    if all(_is_safe(character) for character in name):
        return '"' + name.replace('"', '""') + '"'
    return 'U&"' + "".join(map(_escaped, name)) + '"'


def qualified(schema: str, name: str) -> str:
    """Return `schema.name` as SQL, the form in which the agent names relations, types and functions."""
    return f"{quote_name(schema)}.{quote_name(name)}"


def parse_name(text: str) -> tuple[str, ...] | None:
    """Return the parts of a name as Postgres reads it: quoted parts unchanged, others in lower case; None if it is no name."""
    parts: list[str] = []
    position = 0
    while match := _PART.match(text, position):
        if match["escaped"] is not None:
            parts.append(_unescaped(match["escaped"].replace('""', '"')))
        elif match["quoted"] is not None:
            parts.append(match["quoted"].replace('""', '"'))
        else:
            parts.append(match["bare"].lower())
        position = match.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ".":
            return None
        position += 1
    return None


def one_line(text: str | None, limit: int = COMMENT_CHARS) -> str:
    """Return `text` on one line, without control, formatting and surrogate characters, cut to `limit` characters."""
    if not text:
        return ""
    # Cut first, because a comment can be a megabyte long.
    head = text[: limit * 4]
    flat = " ".join("".join(c if _is_safe(c) else " " for c in head).split())
    return flat if len(flat) <= limit and len(head) == len(text) else f"{flat[: limit - 1].rstrip()}…"


def short_type(name: str) -> str:
    """Return a type of `format_type` by the short name that Postgres accepts too, such as `timestamptz`."""
    flat = one_line(name)
    for pattern, short in _SHORT_TYPES:
        flat, replaced = pattern.subn(short, flat, count=1)
        if replaced:
            break
    return flat


def _is_safe(character: str) -> bool:
    return character.isprintable() or (character == " " or unicodedata.category(character) not in _UNSAFE_CATEGORIES)


def _escaped(character: str) -> str:
    if character == '"':
        return '""'
    if character == "\\":
        return "\\\\"
    return character if _is_safe(character) else f"\\+{ord(character):06x}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: found[3] or chr(int(found[1] or found[2], 16)), text)
