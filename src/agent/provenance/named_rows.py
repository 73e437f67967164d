"""Finds the rows that the user named. Pure.

A model looks up "Anna Smith" and goes on with her number or her address. It proves nothing that the row was read, because
the model may read any row. It does prove something that the user named it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.provenance.origins import folded
from agent.provenance.written_values import Column, constants_in, keys_of, numbers_inserted
from agent.statements.parser import Message, Statement, kind_of, walk
from agent.text.words import STOP_WORDS, word_set, words

_NAMES = word_set("name names firstname lastname surname company organisation organization label title subject")
_SHORTEST_NAME = 3
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class UserWords:
    """The user's messages, prepared for being searched: one folded text, and its words."""

    text: str
    words: frozenset[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> UserWords:
        """Return the words of these messages."""
        text = folded("\n".join(texts))
        return cls(f" {text} ", frozenset(text.split()))

    def holds(self, text: str) -> bool:
        """Return whether the user said all words of `text`, in its order."""
        wanted = folded(text)
        return bool(wanted) and f" {wanted} " in self.text

    def holds_part_of(self, name: str) -> bool:
        """Return whether the user said one of the words of a name."""
        return any(
            len(word) >= _SHORTEST_NAME and word not in STOP_WORDS for word in set(folded(name).split()) & self.words
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRows:
    """The rows that one statement read; `sources` has the table's column that each of its columns shows, where known."""

    statement: Statement | None
    sources: Sequence[Column | None]
    rows: Sequence[Sequence[Any]]

    def named(self, user_words: UserWords) -> Iterator[tuple[bool, Sequence[Any]]]:
        """Yield each row with whether the user named it.

        The user named it if a condition of the statement, or a name column of the row, holds the user's words.
        """
        every_row = self.statement is not None and _selects_by_name(self.statement, user_words)
        places = [place for place, source in enumerate(self.sources) if source and _is_name_column(source.name)]
        for row in self.rows:
            yield every_row or any(_is_named(row[place], user_words) for place in places if place < len(row)), row


def named_keys(reads: Sequence[ReadRows], user_words: UserWords) -> frozenset[str]:
    """Return the cells of the rows that the user named, as text: the keys of those rows are among them."""
    return frozenset(str(cell) for read in reads for named, row in read.named(user_words) if named for cell in row)


def user_named_row(statement: Statement, known: frozenset[str], user_words: UserWords) -> bool:
    """Return whether the user said every constant that selects the rows of a change, or `known` holds it.

    `known` are the `named_keys`. Of an INSERT the constants are its whole numbers, which may refer to other rows.
    """
    return all(key in known or user_words.holds(key) for key in (*keys_of(statement), *numbers_inserted(statement)))


def _selects_by_name(statement: Statement, user_words: UserWords) -> bool:
    """Return whether a condition on a name column holds the user's words: full_name = 'Anna Smith', name ILIKE '%anna%'."""
    if statement.kind != "SelectStmt" or not statement.node.HasField("where_clause"):
        return False
    return any(
        _has_name_column(part)
        and any(len(text) >= _SHORTEST_NAME and user_words.holds(text) for text in constants_in(part))
        for part in walk(statement.node.where_clause)
        if kind_of(part) == "A_Expr"
    )


def _has_name_column(condition: Message) -> bool:
    columns = (part for part in walk(condition) if kind_of(part) == "ColumnRef" and part.fields)
    return any(_is_name_column(part.fields[-1].string.sval) for part in columns)


def _is_name_column(column: str) -> bool:
    return bool(_NAMES & set(words(column)))


def _is_named(cell: Any, user_words: UserWords) -> bool:
    return isinstance(cell, str) and len(cell) <= _LONGEST_NAME and "@" not in cell and user_words.holds_part_of(cell)
