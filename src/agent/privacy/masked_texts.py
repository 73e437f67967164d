"""Statements and code with every constant and comment masked, as the languages' own scanners find them. Pure.

What Postgres, or Python, does not read as one whole statement, or program, is hidden: in free text every word is a name.
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
HIDDEN = "(statement hidden)"
HIDDEN_CODE = "(code hidden)"
# The parser is C code that recurses: a longer text could overflow its stack.
_MOST_CHARACTERS = 20_000
_QUOTED = frozenset({"SCONST", "USCONST", "BCONST", "XCONST"})
_NUMBERS = frozenset({"ICONST", "FCONST"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
# Fields of the grammar that hold names which a statement gives, and lists whose names are columns of a table instead.
_GIVEN = {
    "Alias": ("aliasname", "colnames"), "CommonTableExpr": ("ctename", "aliascolnames"), "ResTarget": ("name",),
    "WindowDef": ("name", "refname"), "RangeTableFuncCol": ("colname",), "JsonTableColumn": ("name",),
    "PrepareStmt": ("name",), "ExecuteStmt": ("name",), "DeallocateStmt": ("name",), "DeclareCursorStmt": ("portalname",),
    "ClosePortalStmt": ("portalname",), "FetchStmt": ("portalname",), "TransactionStmt": ("savepoint_name", "gid"),
    "NotifyStmt": ("conditionname",), "ListenStmt": ("conditionname",), "UnlistenStmt": ("conditionname",),
}  # fmt: skip
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
    """A statement without any constant, comment, or name that is more than one plain word; `known` names are shown.

    Names that the statement gives itself (aliases) are numbered, since they may be anything.
    """
    try:
        given = sorted(_names_given(_parsed(sql)) - set(known))
        numbered = {name: f"name{number}" for number, name in enumerate(given, 1)}
        return "".join(_shown(kind, text, known, numbered) for kind, _, text in _pieces(sql))
    except _Unreadable:
        return HIDDEN


def without_texts(sql: str) -> str:
    """A statement of our own making without the values that it quotes."""
    return "".join(f"'{MASK}'" if kind in _QUOTED else text for kind, _, text in _pieces(sql))


def texts_masked_at(sql: str, places: Collection[int], *, every: bool = False) -> str:
    """A statement without its comments and without the constants that begin at these bytes, or without `every` constant."""
    shown = []
    masks = False
    for kind, start, text in _pieces(sql):
        masks = every or masks or start in places
        constant = kind in _QUOTED | _NUMBERS
        shown.append(f"/* {MASK} */" if kind in _COMMENTS else f"'{MASK}'" if masks and constant else text)
        # A sign stands before its number, and the letter of N'...' before its text.
        masks = masks and not constant
    return "".join(shown)


def sql_by_names(sql: str) -> str:
    """A statement that nobody has looked at more closely, as everybody may see it: where it names a secret, no constant is shown."""
    if not any(looks_secret(word) for word in _WORD.findall(sql)) and not keys_in(sql):
        return sql
    try:
        return texts_masked_at(sql, (), every=True)
    except _Unreadable:
        return HIDDEN


def is_plain_name(text: str, known: Collection[str] = ()) -> bool:
    """Whether a name is known, or is one word that is not in the form of a value."""
    if text in known:
        return True
    return bool(_PLAIN.fullmatch(text)) and not _LONG_NUMBER.search(text) and not looks_sensitive_value(text)


def masked_code(code: str) -> str:
    """Python code without any constant or comment."""
    try:
        ast.parse(code)
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return HIDDEN_CODE
    lines = code.splitlines(keepends=True)
    shown: list[str] = []
    row, column = 1, 0
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind not in _CODE_MASKED | _CODE_SHOWN:
            return HIDDEN_CODE
        gap = _between(lines, (row, column), token.start)
        if gap.strip(f"{_SPACE}\\"):
            return HIDDEN_CODE
        name = kind == "NAME" and not is_plain_name(token.string)
        shown += [gap, MASK if kind in _CODE_MASKED or name else token.string]
        row, column = token.end
    return "".join(shown)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    middle = lines[start[0] : end[0] - 1]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return "".join([lines[start[0] - 1][start[1] :], *middle, last])


class _Unreadable(Exception):
    """Postgres's scanner does not read it to its end."""


def _parsed(sql: str) -> Any:
    """The tree of one statement. Raises `_Unreadable`."""
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
    """The names that a statement gives to rows, columns, queries, cursors and the like, and that nothing else has."""
    found: set[str] = set()
    pending = [tree]
    while pending:
        message = pending.pop()
        kind = message.DESCRIPTOR.name
        for field, value in message.ListFields():
            if field.name in _GIVEN.get(kind, ()):
                found.update([value] if isinstance(value, str) else [one.string.sval for one in value])
            if field.message_type is not None:
                inner = [value] if hasattr(value, "ListFields") else value
                # What is assigned to names columns of a table.
                assigns = (kind, field.name) in _ASSIGNED
                pending += [one.res_target.val if assigns else one for one in inner]
    return found - {""}


def _pieces(sql: str) -> Iterator[tuple[str, int, str]]:
    """(kind, first byte, text) of every token, and of the space between them as ''. Raises `_Unreadable`."""
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
    """The grammar's name of a token; of any word of the language "KEYWORD"."""
    kind = token.DESCRIPTOR.fields_by_name["token"].enum_type.values_by_number.get(token.token)
    if token.keyword_kind != 0:
        return "KEYWORD"
    return str(kind.name) if kind is not None else "OTHER"


def _space(written: bytes, at: int) -> tuple[str, int, str]:
    text = written.decode()
    if text.strip(_SPACE):
        raise _Unreadable
    return "", at, text


def _shown(kind: str, text: str, known: Collection[str], numbered: Mapping[str, str]) -> str:
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
