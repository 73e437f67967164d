"""Which functions of users are judged by what they do, as a statement would be, and need no human's word. Pure.

Those are functions in SQL that run with the caller's rights, take and return types of the server, and read no table: most
policies call one (`auth.uid()`, say). A body that is text means what the caller's search path makes of it, so the server is
asked what that is, with the path under which it will run. Of functions in PL/pgSQL only a few are known, by their words.
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

# Of Supabase: what they do with a file's path is known. Each has a hash of its words, as Postgres cuts them, by version.
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
    """The text of a function, and how to declare one like it. `own_path` says that it looks only the server's names up."""

    name: Name
    language: str
    text: str
    arguments: str
    returns: str
    own_path: bool

    @classmethod
    def of(cls, name: Name, language: str, detail: Mapping[str, Any] | None) -> Body | None:
        """The body that a row of the catalogs holds; None of a function that is not judged by its text."""
        if detail is None or detail["text"] is None:
            return None
        return cls(
            name=name, language=language, text=detail["text"], arguments=detail["arguments"] or "",
            returns=detail["returns"], own_path=detail["own_path"],
        )  # fmt: skip

    def query(self) -> Statement | None:
        """Its one query, where the server may be shown it."""
        if self.language != "sql":
            return None
        try:
            statement = parse(self.text)
        except InvalidArguments:
            return None
        known = statement.kind == "SelectStmt" and all(kind in allowed.READ_NODES for kind, _ in statement.parts)
        return statement if known and not too_large(statement) else None

    @property
    def known(self) -> bool:
        """Whether it is word for word one of those of which it is known what they do, if its names mean the server's own."""
        return self.language == "plpgsql" and _words_hash(self.text) in _KNOWN_WORDS.get(self.name, ())


def _words_hash(text: str) -> str | None:
    """A hash of a text's words: comments, spaces and the case of what is not quoted do not count."""
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
