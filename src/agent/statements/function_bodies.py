"""Finds the users' functions that can be judged by their body, like a statement, so that no human must register them. Pure.

These are functions in SQL that run with the caller's rights, take and return types of the server, and read no table: most
policies call one, such as `auth.uid()`. What a body that is stored as text means depends on the caller's search path, so the
server resolves it under the path with which it will run. A few functions in PL/pgSQL are known by a hash of their words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidArguments
from agent.statements import allow_list as allowed
from agent.statements.parser import Name, Statement, parse
from agent.statements.sizes import too_large

# Functions of Supabase that only take a file's path apart: for each, the hashes of its words in its versions.
_KNOWN_WORDS = {
    Name("storage", "foldername"): {"60852b7ca08f0004ab4441cd0dfeb2bc398b0f681accde5215c8550ed2a2f9fe"},
    Name("storage", "filename"): {"0e33f79a85bd120fafc713a0f58ffe51ed446721ff7ea0b3417a4dfdd0d25ce8"},
    Name("storage", "extension"): {
        "03a1475fb66e688298a03468e93ba61eba800cef28fdcdff07eb77834ffac753",
        "ed89139393e19227b6436986363f39a0a353f28cd36720bce83ff45affc7fe00",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The text of a function, and how to declare one like it.

    `own_path` says that the function sets its search path, so that it finds only the server's own names.
    """

    name: Name
    language: str
    text: str
    arguments: str
    returns: str
    own_path: bool

    @classmethod
    def of(cls, name: Name, language: str, detail: Mapping[str, Any] | None) -> Body | None:
        """Return the body in a row of the catalogs; None for a function that is not judged by its text."""
        if detail is None or detail["text"] is None:
            return None
        return cls(
            name=name, language=language, text=detail["text"], arguments=detail["arguments"] or "",
            returns=detail["returns"], own_path=detail["own_path"],
        )  # fmt: skip

    def query(self) -> Statement | None:
        """Return the function's one query; None if it is anything else than a query that the server may resolve."""
        if self.language != "sql":
            return None
        try:
            statement = parse(self.text)
        except InvalidArguments:
            return None
        is_read = statement.kind == "SelectStmt" and all(kind in allowed.READ_NODES for kind, _ in statement.parts)
        return statement if is_read and not too_large(statement) else None

    @property
    def known(self) -> bool:
        """Return whether it is word for word a known function; that holds only while its names mean the server's own."""
        return self.language == "plpgsql" and _words_hash(self.text) in _KNOWN_WORDS.get(self.name, ())


def _words_hash(text: str) -> str | None:
    """Return a hash of a text's words, without comments, spaces and the case of unquoted names; None if it cannot be read."""
    from postgast import PgQueryError, scan

    data = text.encode(errors="replace")
    try:
        tokens = scan(text).tokens
    except PgQueryError:
        return None
    words = []
    for token in tokens:
        kind = token.DESCRIPTOR.fields_by_name["token"].enum_type.values_by_number[token.token].name
        word = data[token.start : token.end].decode(errors="replace")
        if kind not in {"SQL_COMMENT", "C_COMMENT"}:
            folded = token.keyword_kind or (kind == "IDENT" and not word.startswith('"'))
            words.append(word.lower() if folded else word)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
