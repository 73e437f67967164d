"""Masks the constants and comments in SQL and Python code, which the languages' own scanners find. Pure.

A text that is not one whole statement or program is hidden completely: a scanner takes every word of free text for a name.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from agent.privacy.sensitive import keys_in, looks_secret, looks_sensitive_value

MASK = "•••"
HIDDEN_SQL = "(statement hidden)"
HIDDEN_CODE = "(code hidden)"
# The parser is recursive C code: a longer text could overflow its stack.
_MOST_CHARACTERS = 20_000
_QUOTED = frozenset({"SCONST", "USCONST", "BCONST", "XCONST"})
_NUMBERS = frozenset({"ICONST", "FCONST"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
# Fields of the grammar that hold names which the statement itself gives.
_GIVEN = {
    "Alias": ("aliasname", "colnames"), "CommonTableExpr": ("ctename", "aliascolnames"), "ResTarget": ("name",),
    "WindowDef": ("name", "refname"), "RangeTableFuncCol": ("colname",), "JsonTableColumn": ("name",),
    "PrepareStmt": ("name",), "ExecuteStmt": ("name",), "DeallocateStmt": ("name",), "DeclareCursorStmt": ("portalname",),
    "ClosePortalStmt": ("portalname",), "FetchStmt": ("portalname",), "TransactionStmt": ("savepoint_name", "gid"),
    "NotifyStmt": ("conditionname",), "ListenStmt": ("conditionname",), "UnlistenStmt": ("conditionname",),
}  # fmt: skip
# Lists whose names are not given by the statement: they are columns of a table.
_ASSIGNED = frozenset({
    ("InsertStmt", "cols"), ("UpdateStmt", "target_list"), ("OnConflictClause", "target_list"), ("MergeWhenClause", "target_list"),
})  # fmt: skip
_SPACE = " \t\r\n\f\v"
_PLAIN = re.compile(r"[^\W\d][\w$]{0,62}")
_WORD = re.compile(r"[^\W\d][\w$]*")
_LONG_NUMBER = re.compile(r"\d{5}")
_CODE_MASKED = frozenset({
    "STRING", "NUMBER", "COMMENT", "FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END", "TSTRING_START", "TSTRING_MIDDLE", "TSTRING_END",
})  # fmt: skip
_CODE_SHOWN = frozenset({"NAME", "OP", "NEWLINE", "NL", "INDENT", "DEDENT", "ENCODING", "ENDMARKER"})


def masked_sql(sql: str, *, known: Collection[str] = ()) -> str:
    """Return a statement without constants and comments, and with no name that is neither `known` nor one plain word.

    Names that the statement gives itself (aliases) are numbered, since they may hold any text. Returns `HIDDEN_SQL` for a text
    that Postgres does not read as one statement.
    """
    try:
        given = sorted(_names_given(_parsed(sql)) - set(known))
        numbered = {name: f"name{number}" for number, name in enumerate(given, 1)}
        return "".join(_masked_token(kind, text, known, numbered) for kind, _, text in _tokens(sql))
    except _Unreadable:
        return HIDDEN_SQL


def without_texts(sql: str) -> str:
    """Return a statement that this program wrote without the values that it quotes."""
    return "".join(f"'{MASK}'" if kind in _QUOTED else text for kind, _, text in _tokens(sql))


def texts_masked_at(sql: str, places: Collection[int], *, every: bool = False) -> str:
    """Return a statement without its comments and without the constants that begin at these bytes, or any with `every`."""
    masked = []
    is_place = False
    for kind, start, text in _tokens(sql):
        is_place = every or is_place or start in places
        is_constant = kind in _QUOTED | _NUMBERS
        masked.append(f"/* {MASK} */" if kind in _COMMENTS else f"'{MASK}'" if is_place and is_constant else text)
        # A constant may begin with a token of its own: the sign of a number, or the letter of N'...'.
        is_place = is_place and not is_constant
    return "".join(masked)


def sql_by_names(sql: str) -> str:
    """Return a statement as everybody may see it, judged by its words alone: if one names a secret, no constant is shown."""
    if not any(looks_secret(word) for word in _WORD.findall(sql)) and not keys_in(sql):
        return sql
    try:
        return texts_masked_at(sql, (), every=True)
    except _Unreadable:
        return HIDDEN_SQL


def is_plain_name(text: str, known: Collection[str] = ()) -> bool:
    """Return whether a name is known, or is one word that does not have the form of a value."""
    if text in known:
        return True
    return bool(_PLAIN.fullmatch(text)) and not _LONG_NUMBER.search(text) and not looks_sensitive_value(text)


def masked_code(code: str) -> str:
    """Return Python code without constants and comments; `HIDDEN_CODE` for a text that is no Python program."""
    try:
        ast.parse(code)
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return HIDDEN_CODE
    lines = code.splitlines(keepends=True)
    masked: list[str] = []
    row, column = 1, 0
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind not in _CODE_MASKED | _CODE_SHOWN:
            return HIDDEN_CODE
        gap = _between(lines, (row, column), token.start)
        if gap.strip(f"{_SPACE}\\"):
            return HIDDEN_CODE
        is_odd_name = kind == "NAME" and not is_plain_name(token.string)
        masked += [gap, MASK if kind in _CODE_MASKED or is_odd_name else token.string]
        row, column = token.end
    return "".join(masked)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    middle = lines[start[0] : end[0] - 1]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return "".join([lines[start[0] - 1][start[1] :], *middle, last])


class _Unreadable(Exception):
    """Postgres cannot read a text as one statement."""


def _parsed(sql: str) -> Any:
    """Return the tree of one statement. Raises `_Unreadable`."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
    from postgast import PgQueryError, parse

    if len(sql) > _MOST_CHARACTERS or "\0" in sql:
        raise _Unreadable
    try:
        statements = parse(sql).stmts
    except (PgQueryError, DecodeError, UnicodeEncodeError) as error:
        raise _Unreadable from error
    if len(statements) != 1:
        raise _Unreadable
    return statements[0].stmt


def _names_given(tree: Any) -> set[str]:
    """Return the names that a statement gives to rows, columns, queries, cursors and the like."""
    names: set[str] = set()
    pending = [tree]
    while pending:
        message = pending.pop()
        kind = message.DESCRIPTOR.name
        for field, value in message.ListFields():
            if field.name in _GIVEN.get(kind, ()):
                names.update([value] if isinstance(value, str) else [part.string.sval for part in value])
            if field.message_type is not None:
                inner = [value] if hasattr(value, "ListFields") else value
                assigns = (kind, field.name) in _ASSIGNED
                pending += [part.res_target.val if assigns else part for part in inner]
    return names - {""}


def _tokens(sql: str) -> Iterator[tuple[str, int, str]]:
    """Yield (kind, first byte, text) of every token and of the space between them, whose kind is ''. Raises `_Unreadable`."""
    from google.protobuf.message import DecodeError
    from postgast import PgQueryError, scan

    try:
        written = sql.encode()
        tokens = scan(sql).tokens
    except (PgQueryError, DecodeError, UnicodeEncodeError) as error:
        raise _Unreadable from error
    at = 0
    for token in tokens:
        yield _space(written[at : token.start], at)
        yield _kind(token), token.start, written[token.start : token.end].decode()
        at = token.end
    yield _space(written[at:], at)


def _kind(token: Any) -> str:
    """Return the grammar's name of a token's kind; "KEYWORD" for every word of the language."""
    kind = token.DESCRIPTOR.fields_by_name["token"].enum_type.values_by_number.get(token.token)
    if token.keyword_kind != 0:
        return "KEYWORD"
    return str(kind.name) if kind is not None else "OTHER"


def _space(written: bytes, at: int) -> tuple[str, int, str]:
    text = written.decode()
    if text.strip(_SPACE):
        raise _Unreadable
    return "", at, text


def _masked_token(kind: str, text: str, known: Collection[str], numbered: Mapping[str, str]) -> str:
    if kind in _QUOTED:
        return f"'{MASK}'"
    if kind in _COMMENTS:
        return f"/* {MASK} */"
    if kind == "IDENT":
        name = text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()
        if name in numbered:
            return numbered[name]
        return text if is_plain_name(name, known) else f'"{MASK}"'
    if kind in {"KEYWORD", "", "NCHAR"} or (kind == "PARAM" and len(text) < 5):
        return text
    return MASK if any(character.isalnum() for character in text) or text.startswith('"') else text
