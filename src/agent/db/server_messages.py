"""What the server says of a statement that it refuses, without what it quotes of rows. Pure.

A message may quote rows that nobody may see: "Failing row contains (1, Ann, 123-45-6789)". So a text of the server is passed on
only where it can speak of nothing but the statement and the names in the catalogs; all others become a sentence of ours,
by the SQLSTATE, with the names of the constraint, table and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from agent.db.failures import known_state

# Files of the server whose first line of a message names objects, and quotes no value.
_NAMES_ONLY = frozenset({
    "execMain.c", "nbtinsert.c", "execIndexing.c", "ri_triggers.c", "execPartition.c", "nodeModifyTable.c", "aclchk.c",
    "execReplication.c", "tuplesort.c", "tuplesortvariants.c",
})  # fmt: skip
# Files that check what a statement wants to do with objects, before there are rows: their details and hints are of names too.
_OF_DEFINITIONS = frozenset({
    "tablecmds.c", "rewriteHandler.c", "dependency.c", "heap.c", "index.c", "indexcmds.c", "view.c", "typecmds.c", "functioncmds.c",
    "schemacmds.c", "parse_utilcmd.c", "createas.c", "trigger.c", "policy.c", "matview.c", "statscmds.c", "alter.c", "plancat.c",
})  # fmt: skip
# Files that put the names of a constraint, table or column beside a message; code of users can put anything there.
_NAMING = _NAMES_ONLY | _OF_DEFINITIONS | {"execExprInterp.c", "domains.c"}

_BY_STATE = {
    "21000": "A subquery, or a row to be changed, was to be one row and is several: name it more closely, or use LIMIT or an aggregate",
    "22001": "A value is longer than its column allows: shorten it",
    "22003": "A number is out of the range of its type: use a wider one (bigint, numeric), or leave such rows out",
    "22004": "A value is NULL where none may be: give one, or filter NULLs out",
    "22007": "A value cannot be read as a date or time in the way that was asked for: look at the column's format, or leave such rows out",
    "22008": "A date or time is out of range: correct the value, or leave such rows out",
    "22021": "Bytes are not text in the encoding of the database",
    "22P05": "A character has no equivalent in the encoding of the database, or none in one that is asked for (JSON's \\u0000 has none at all):"
    " leave such text out, or write it otherwise",
    "22012": "It divides by zero: divide by nullif(x, 0)",
    "22023": "A function was given a value that it does not know: look at its arguments",
    "2201B": "A regular expression is not valid: correct it",
    "22P02": "A value cannot be read as the type that it is converted to: compare it as text, or leave such rows out before the conversion",
    "23502": "A column that must have a value would be NULL: give it one",
    "23503": "A foreign key is violated: a value has no row in the table that it refers to, or a row that others refer to would go."
    " Write the row that is referred to first, or change the rows that refer to it first",
    "23505": "Another row has the same key already: look for it, and change that one or use another value",
    "23514": "A check refuses the values: look at the constraint's definition (pg_get_constraintdef) and use values that it allows",
    "23P01": "Another row is in conflict with the values by an exclusion constraint: look for it, or use other values",
    "25P02": "An earlier error has ended the transaction",
    "40001": "Somebody else changed the same rows meanwhile: try again",
    "40P01": "It and another transaction waited for each other (a deadlock): try again",
    "42501": "A right is missing for it",
    "42601": "A text in it cannot be read in the syntax that it should have",
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
    "22": "A value is not one that is allowed there: look at the types and functions that it is given to",
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
# Types of the server, by the names that its messages have for them; `invalid input syntax for type date: "..."`.
_TYPE = re.compile(
    r"(?:invalid input syntax for type|value too long for type|out of range for type) (?P<type>smallint|integer|bigint|numeric|real|"
    r"double precision|boolean|uuid|date|timestamp with(?:out)? time zone|timestamp|time|interval|jsonb?|inet|cidr|money|point|bytea|"
    r"character(?: varying)?\(\d{1,8}\))(?=$|:)"
)
_TYPED = frozenset({"22P02", "22007", "22003", "22001"})
_FILES_OF_TYPES = frozenset({
    "numutils.c", "int.c", "int8.c", "float.c", "numeric.c", "bool.c", "uuid.c", "datetime.c", "date.c", "timestamp.c", "varchar.c",
    "json.c", "jsonb.c", "jsonfuncs.c", "network.c", "cash.c", "geo_ops.c", "varlena.c", "bytea.c",
})  # fmt: skip
_KEY = re.compile(r"\(([^=]{1,300}?)\)=\(")
_WORD = re.compile(r"[^\W\d][\w$]*")
_QUOTED = re.compile(r'"([^"]+)"')
_FRAME = re.compile(
    r"(?:PL/\w+ function|SQL function) (?P<name>\"?[\w.$]{1,130}\"?)(?:\([^()\n]*\))?(?: line (?P<line>\d+) at [\w ]+| statement \d+)(?=\n|$)"
)
_READ_CODE = "its code is in prosrc of pg_proc"


def message_of(error: Any, *, sql: str = "", deny: str = "") -> str:
    """What to tell of an error of psycopg, for the statement `sql`; names that `deny` (AGENT_DENY) denies are left out.

    Sentences, without a full stop at the end.
    """
    hides = _Hidden(sql, deny)
    state, diag = known_state(error), error.diag
    if not error.sqlstate:  # of the driver or the connection: no rows were there
        return type(error).__name__ if diag.message_primary else str(error).strip().rstrip(".") or type(error).__name__
    passed = [text.rstrip(".") for text in _passed(diag, sql) if not hides(text)]
    if passed and passed[0] == (diag.message_primary or "").rstrip("."):
        return ". ".join([*passed, *_key(diag, hides), *_remedy(state)])
    names = list(_names(diag, hides))
    sentences = [_meaning(state, diag), *([f"It is about {', '.join(names)}"] if names else []), *_key(diag, hides)]
    sentences += _code(diag, hides)
    return ". ".join(sentences)


def notice_message(diagnostic: Any) -> str:
    """A notice in one line where it is of names; one of the application's code may quote rows, and says only that it came."""
    if _by_code(diagnostic) or diagnostic.source_file not in _OF_DEFINITIONS | {"aclchk.c"}:
        return "Code of the application gave a notice; its words are kept back, as they may quote rows."
    details = "; ".join((diagnostic.message_detail or "").splitlines())
    return ": ".join(filter(None, (diagnostic.message_primary, details)))


def _passed(diag: Any, sql: str) -> Iterator[str]:
    """The texts of the server that can hold no value of a row."""
    primary = diag.message_primary
    if not primary:
        return
    # A place in the statement's text comes with what is wrong before it runs: it quotes that text.
    if not _by_code(diag) and ((sql and diag.statement_position) or diag.source_file in _OF_DEFINITIONS):
        yield from filter(None, (primary, diag.message_detail, diag.message_hint))
    elif diag.source_file in _NAMES_ONLY:
        yield primary


def _by_code(diag: Any) -> bool:
    """Whether it came out of code that ran with the statement: a function, a trigger, what a foreign key does."""
    return bool(diag.context or diag.internal_query or diag.internal_position)


def _meaning(state: str, diag: Any) -> str:
    meaning = _BY_STATE.get(state) or _BY_CLASS.get(state[:2], "The server gives no reason that can be told")
    match = _TYPE.match(diag.message_primary or "") if state in _TYPED else None
    if match and diag.source_file in _FILES_OF_TYPES:
        meaning += f" (the type is {match['type']})"
    return f"{meaning} (SQLSTATE {state})" if state else meaning


def _remedy(state: str) -> Iterator[str]:
    if state in {"23502", "23503", "23505", "23514", "23P01", "44000"}:
        yield _BY_STATE[state]


def _code(diag: Any, hides: _Hidden) -> Iterator[str]:
    """Which function it came from, by the first line of where it was: those that follow may quote statements."""
    match = _FRAME.match(diag.context or "")
    if match:
        name = match["name"].strip('"')
        which = "a function" if hides.name(name) else f"the function {name}"
        line = f" (line {match['line']})" if match["line"] else ""
        yield f"It came from {which}{line}, whose words are kept back, as they may quote rows: {_READ_CODE}"


def _names(diag: Any, hides: _Hidden) -> Iterator[str]:
    if diag.source_file not in _NAMING:
        return
    for what in ("constraint", "column", "table"):
        name = getattr(diag, f"{what}_name")
        if name and not hides.name(name):
            yield f"the {what} {name}"


def _key(diag: Any, hides: _Hidden) -> Iterator[str]:
    """The columns of a key, which a detail names before their values: `Key (a, b)=(1, 2) already exists`."""
    match = _KEY.search(diag.message_detail or "") if diag.source_file in _NAMES_ONLY - {"aclchk.c"} else None
    if match and not hides.name(match[1]):
        yield f"Its columns are ({match[1]})"


class _Hidden:
    """Which texts and names hold a name that AGENT_DENY denies, and that the statement itself does not name."""

    def __init__(self, sql: str, deny: str) -> None:
        self._said = {word.lower() for word in _WORD.findall(sql)}
        last = {part.strip().lower().rpartition(".")[2] for part in deny.split(",") if part.strip()}
        # Where all columns of a table are denied, no name that the statement does not hold is told.
        self._every = any(not part.strip("*?") for part in last)
        self._parts = last - self._said

    def __call__(self, text: str) -> bool:
        """Whether a text tells such a name: as a word, or in quotes."""
        quoted = {name.lower() for name in _QUOTED.findall(text)}
        if self._every and {word for name in quoted for word in _WORD.findall(name)} - self._said:
            return True
        words = {word.lower() for word in _WORD.findall(text)} | quoted
        return any(fnmatchcase(word, part) for part in self._parts if part.strip("*?") for word in words - self._said)

    def name(self, name: str) -> bool:
        """Whether a name of a catalog is such a name or is made of one: `clients_email_key`."""
        lowered = name.lower()
        if set(_WORD.findall(lowered)) <= self._said:
            return False
        return self._every or any(fnmatchcase(lowered, f"*{part}*") for part in self._parts)
