"""Explains a server error without quoting rows. Pure.

A message of the server may quote rows that nobody may see: "Failing row contains (1, Ann, 123-45-6789)". So a message is
passed on only where it can name nothing but the statement and names of the catalogs. All others are replaced by a sentence
of ours for the SQLSTATE, with the names of the constraint, table and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from agent.db.failures import known_state

# Source files of the server whose primary messages name objects and quote no value.
_NAMES_ONLY_FILES = frozenset({
    "execMain.c", "nbtinsert.c", "execIndexing.c", "ri_triggers.c", "execPartition.c", "nodeModifyTable.c", "aclchk.c",
    "execReplication.c", "tuplesort.c", "tuplesortvariants.c",
})  # fmt: skip
# Files that check definitions before any row is read: their details and hints contain names only, too.
_DEFINITION_FILES = frozenset({
    "tablecmds.c", "rewriteHandler.c", "dependency.c", "heap.c", "index.c", "indexcmds.c", "view.c", "typecmds.c", "functioncmds.c",
    "schemacmds.c", "parse_utilcmd.c", "createas.c", "trigger.c", "policy.c", "matview.c", "statscmds.c", "alter.c", "plancat.c",
})  # fmt: skip
# Files that set the constraint, table and column fields of an error to real names; users' code can put anything there.
_FIELD_FILES = _NAMES_ONLY_FILES | _DEFINITION_FILES | {"execExprInterp.c", "domains.c"}

_BY_STATE = {
    "21000": "A subquery, or a row to be changed, must be one row and is several: select it more closely, or use LIMIT or an aggregate",
    "22001": "A value is longer than its column allows: shorten it",
    "22003": "A number is out of the range of its type: use a wider one (bigint, numeric), or leave such rows out",
    "22004": "A value is NULL where none may be: give one, or filter NULLs out",
    "22007": "A value cannot be read as a date or time in the requested format: look at the column's format, or leave such rows out",
    "22008": "A date or time is out of range: correct the value, or leave such rows out",
    "22021": "Bytes are not text in the encoding of the database",
    "22P05": "A character has no equivalent in the encoding of the database or in a requested one (JSON's \\u0000 has none in any):"
    " leave such text out, or replace it",
    "22012": "It divides by zero: divide by nullif(x, 0)",
    "22023": "A function got an argument that it does not accept: look at its arguments",
    "2201B": "A regular expression is not valid: correct it",
    "22P02": "A value cannot be read as the type that it is converted to: compare it as text, or leave such rows out before the conversion",
    "23502": "A column that must have a value would be NULL: give it a value",
    "23503": "A foreign key is violated: a value refers to a row that does not exist, or a row that others refer to would be removed."
    " Write the referenced row first, or change the referring rows first",
    "23505": "Another row has the same key already: look for it, and change that one or use another value",
    "23514": "A check refuses the values: look at the constraint's definition (pg_get_constraintdef) and use values that it allows",
    "23P01": "The values conflict with another row by an exclusion constraint: look for that row, or use other values",
    "25P02": "An earlier error has ended the transaction",
    "40001": "Somebody else changed the same rows meanwhile: try again",
    "40P01": "It and another transaction waited for each other (a deadlock): try again",
    "42501": "A right is missing for it",
    "42601": "A text in it has a syntax error",
    "42703": "It names a column that does not exist",
    "42704": "It names an object that does not exist",
    "42883": "It names a function or operator that does not exist for these types",
    "42P01": "It names a table or view that does not exist",
    "44000": "The view shows no such row, so its check option refuses it: use values that the view would show",
    "54000": "A limit of the server is reached: make its values, or the statement, smaller",
    "P0001": "Code of the application refused it",
    "P0002": "Code of the application found no row",
    "P0003": "Code of the application found more than one row",
    "P0004": "An assertion in code of the application failed",
}  # fmt: skip
_BY_CLASS = {
    "0A": "It asks for what the server does not support",
    "22": "A value is not allowed where it is used: look at its type and at the functions that get it",
    "23": "A constraint is violated: use other values",
    "25": "The transaction does not allow it",
    "28": "A right is missing for it",
    "2B": "Other objects depend on what it removes",
    "38": "Code of the application failed",
    "39": "Code of the application failed",
    "3F": "It names a schema that does not exist",
    "42": "Something that it names does not exist or has another type",
    "53": "The server lacks memory, disk or connections for it: read or write less at once",
    "54": "A limit of the server is reached: make its values, or the statement, smaller",
    "55": "What it works on is not in a state that allows it",
    "P0": "Code of the application refused it",
    "XX": "The server met an internal error",
}
# Type names in the server's messages: `invalid input syntax for type date: "..."`.
_TYPE = re.compile(
    r"(?:invalid input syntax for type|value too long for type|out of range for type) (?P<type>smallint|integer|bigint|numeric|real|"
    r"double precision|boolean|uuid|date|timestamp with(?:out)? time zone|timestamp|time|interval|jsonb?|inet|cidr|money|point|bytea|"
    r"character(?: varying)?\(\d{1,8}\))(?=$|:)"
)
_TYPE_STATES = frozenset({"22P02", "22007", "22003", "22001"})
_TYPE_FILES = frozenset({
    "numutils.c", "int.c", "int8.c", "float.c", "numeric.c", "bool.c", "uuid.c", "datetime.c", "date.c", "timestamp.c", "varchar.c",
    "json.c", "jsonb.c", "jsonfuncs.c", "network.c", "cash.c", "geo_ops.c", "varlena.c", "bytea.c",
})  # fmt: skip
_KEY = re.compile(r"\(([^=]{1,300}?)\)=\(")
_WORD = re.compile(r"[^\W\d][\w$]*")
_QUOTED = re.compile(r'"([^"]+)"')
_FRAME = re.compile(
    r"(?:PL/\w+ function|SQL function) (?P<name>\"?[\w.$]{1,130}\"?)(?:\([^()\n]*\))?(?: line (?P<line>\d+) at [\w ]+| statement \d+)(?=\n|$)"
)


def message_of(error: Any, *, sql: str = "", deny: str = "") -> str:
    """Return what may be shown of a psycopg error of the statement `sql`, without names that `deny` (AGENT_DENY) denies.

    The result is one or more sentences, without a full stop at the end.
    """
    denies = _DeniedNames(sql, deny)
    state, diag = known_state(error), error.diag
    if not error.sqlstate:  # an error of the driver or the connection, which quotes no rows
        return type(error).__name__ if diag.message_primary else str(error).strip().rstrip(".") or type(error).__name__
    texts = [text.rstrip(".") for text in _texts_without_values(diag, sql) if not denies(text)]
    if texts and texts[0] == (diag.message_primary or "").rstrip("."):
        return ". ".join([*texts, *_key_columns(diag, denies), *_remedy(state)])
    names = list(_object_names(diag, denies))
    about = [f"It is about {', '.join(names)}"] if names else []
    sentences = [_meaning(state, diag), *about, *_key_columns(diag, denies), *_failing_function(diag, denies)]
    return ". ".join(sentences)


def notice_message(diagnostic: Any) -> str:
    """Return a notice in one line; of one from the application's code, which may quote rows, only that there was one."""
    if _is_from_code(diagnostic) or diagnostic.source_file not in _DEFINITION_FILES | {"aclchk.c"}:
        return "Code of the application raised a notice; its text is withheld, because it may quote rows."
    details = "; ".join((diagnostic.message_detail or "").splitlines())
    return ": ".join(filter(None, (diagnostic.message_primary, details)))


def _texts_without_values(diag: Any, sql: str) -> Iterator[str]:
    """Yield the texts of an error that cannot contain a value of a row."""
    primary = diag.message_primary
    if not primary:
        return
    # An error with a position in the statement's text was raised before the statement ran: it quotes that text only.
    if not _is_from_code(diag) and ((sql and diag.statement_position) or diag.source_file in _DEFINITION_FILES):
        yield from filter(None, (primary, diag.message_detail, diag.message_hint))
    elif diag.source_file in _NAMES_ONLY_FILES:
        yield primary


def _is_from_code(diag: Any) -> bool:
    """Return whether code that ran with the statement raised it: a function, a trigger, a foreign key's action."""
    return bool(diag.context or diag.internal_query or diag.internal_position)


def _meaning(state: str, diag: Any) -> str:
    meaning = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], "The server gives no reason that can be shown")
    match = _TYPE.match(diag.message_primary or "") if state in _TYPE_STATES else None
    if match and diag.source_file in _TYPE_FILES:
        meaning += f" (the type is {match['type']})"
    return f"{meaning} (SQLSTATE {state})" if state else meaning


def _remedy(state: str) -> Iterator[str]:
    if state in {"23502", "23503", "23505", "23514", "23P01", "44000"}:
        yield _BY_STATE[state]


def _failing_function(diag: Any, denies: _DeniedNames) -> Iterator[str]:
    """Yield sentences on the function that raised it, from the context's first line: later lines may quote statements."""
    match = _FRAME.match(diag.context or "")
    if match:
        name = match["name"].strip('"')
        function = "a function" if denies.name(name) else f"the function {name}"
        line = f" (line {match['line']})" if match["line"] else ""
        yield f"It came from {function}{line}; its message is withheld, because it may quote rows"
        yield "Its code is in prosrc of pg_proc"


def _object_names(diag: Any, denies: _DeniedNames) -> Iterator[str]:
    if diag.source_file not in _FIELD_FILES:
        return
    for kind in ("constraint", "column", "table"):
        name = getattr(diag, f"{kind}_name")
        if name and not denies.name(name):
            yield f"the {kind} {name}"


def _key_columns(diag: Any, denies: _DeniedNames) -> Iterator[str]:
    """Yield a sentence on the columns of a key, which a detail names before their values: `Key (a, b)=(1, 2) already exists`."""
    match = _KEY.search(diag.message_detail or "") if diag.source_file in _NAMES_ONLY_FILES - {"aclchk.c"} else None
    if match and not denies.name(match[1]):
        yield f"Its columns are ({match[1]})"


class _DeniedNames:
    """The names that AGENT_DENY denies and that the statement itself does not contain."""

    def __init__(self, sql: str, deny: str) -> None:
        self._in_statement = {word.lower() for word in _WORD.findall(sql)}
        last = {part.strip().lower().rpartition(".")[2] for part in deny.split(",") if part.strip()}
        # Where all columns of a table are denied, every name that is not in the statement is denied.
        self._denies_all = any(not part.strip("*?") for part in last)
        self._parts = last - self._in_statement

    def __call__(self, text: str) -> bool:
        """Return whether a text contains such a name, as a word or in quotes."""
        quoted = {name.lower() for name in _QUOTED.findall(text)}
        if self._denies_all and {word for name in quoted for word in _WORD.findall(name)} - self._in_statement:
            return True
        words = {word.lower() for word in _WORD.findall(text)} | quoted
        unknown = words - self._in_statement
        return any(fnmatchcase(word, part) for part in self._parts if part.strip("*?") for word in unknown)

    def name(self, name: str) -> bool:
        """Return whether a name of the catalogs is such a name or contains one: `clients_email_key`."""
        lowered = name.lower()
        if set(_WORD.findall(lowered)) <= self._in_statement:
            return False
        return self._denies_all or any(fnmatchcase(lowered, f"*{part}*") for part in self._parts)
