"""Which rows the user meant: those that a name in the user's words leads to. Pure.

A model looks up "Anna Smith" and goes on with her number or her address. That the row was read says nothing, any row may
have been read; that the user named it does.
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
    """The user's words, ready to be looked into."""

    text: str
    words: frozenset[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> UserWords:
        text = folded("\n".join(texts))
        return cls(f" {text} ", frozenset(text.split()))

    def holds(self, text: str) -> bool:
        """Whether they hold all of `text`, in its order."""
        wanted = folded(text)
        return bool(wanted) and f" {wanted} " in self.text

    def names(self, text: str) -> bool:
        """Whether they hold a word of a name."""
        return any(
            len(word) >= _SHORTEST_NAME and word not in STOP_WORDS for word in set(folded(text).split()) & self.words
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRows:
    """Rows that one statement read, and the column that each of their columns shows, where that is known."""

    statement: Statement | None
    sources: Sequence[Column | None]
    rows: Sequence[Sequence[Any]]

    def named(self, user_words: UserWords) -> Iterator[tuple[bool, Sequence[Any]]]:
        """Each row, with whether the user named it: in the statement's condition, or by what stands in its name columns."""
        all_of_them = self.statement is not None and _asks_by_name(self.statement, user_words)
        places = [place for place, source in enumerate(self.sources) if source and _is_name(source.name)]
        for row in self.rows:
            yield all_of_them or any(_is_named(row[place], user_words) for place in places if place < len(row)), row


def named_keys(reads: Sequence[ReadRows], user_words: UserWords) -> frozenset[str]:
    """What stands in rows that the user named: their numbers and codes."""
    return frozenset(str(cell) for read in reads for named, row in read.named(user_words) if named for cell in row)


def means_its_row(statement: Statement, known: frozenset[str], user_words: UserWords) -> bool:
    """Whether every constant that says which rows a change is of is the user's own word, or was read in a row so named.

    Of a new row that is each whole number.
    """
    return all(key in known or user_words.holds(key) for key in (*keys_of(statement), *numbers_inserted(statement)))


def _asks_by_name(statement: Statement, user_words: UserWords) -> bool:
    """Whether a condition on a column of names holds the user's word: full_name = 'Anna Smith', name ILIKE '%anna%'."""
    if statement.kind != "SelectStmt" or not statement.node.HasField("where_clause"):
        return False
    return any(
        _is_of_a_name(part) and any(len(one) >= _SHORTEST_NAME and user_words.holds(one) for one in constants_in(part))
        for part in walk(statement.node.where_clause)
        if kind_of(part) == "A_Expr"
    )


def _is_of_a_name(condition: Message) -> bool:
    columns = (part for part in walk(condition) if kind_of(part) == "ColumnRef" and part.fields)
    return any(_is_name(part.fields[-1].string.sval) for part in columns)


def _is_name(column: str) -> bool:
    return bool(_NAMES & set(words(column)))


def _is_named(cell: Any, user_words: UserWords) -> bool:
    return isinstance(cell, str) and len(cell) <= _LONGEST_NAME and "@" not in cell and user_words.names(cell)
