"""Finds the rows that the user named. Pure.

A model looks up "Anna Smith" and goes on with her number or her address. It proves nothing that the row was read, because
the model may read any row. It does prove something that the user named it: by a name, by another value that a column other
than prose holds, by what it is the largest or the last of, or by a row that belongs to one that the user named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from agent.provenance.columns import entity_of, is_key, is_name, is_prose, is_title
from agent.provenance.moments import Moments, is_moment
from agent.provenance.origins import folded
from agent.provenance.written_values import (
    Column,
    columns_in,
    compares_values,
    conditions_of,
    constants_in,
    keys_of,
    numbers_inserted,
)
from agent.statements.parser import Message, Statement
from agent.text.words import STOP_WORDS, related, stem, stems, word_set, words

_SHORTEST_NAME = 3
_LONGEST_NAME = 100
_ORDINALS = frozenset(
    stem(word)
    for word in [
        "first",
        "last",
        "next",
        "earliest",
        "oldest",
        "newest",
        "youngest",
        "latest",
        "recent",
        "biggest",
        "largest",
        "smallest",
        "highest",
        "lowest",
        "longest",
        "shortest",
        "cheapest",
        "dearest",
        "best",
        "worst",
        "most",
        "least",
        "top",
        "soonest",
        "closest",
        "nearest",
    ]
)


# Words that may stand beside a name without being a part of it.
_FORMS_OF_ADDRESS = word_set("mr mrs ms miss dr prof herr frau")
_THINGS = word_set(
    "mail mails email emails message messages event events meeting meetings appointment appointments file files document "
    "documents folder invoice invoices bill bills payment payments transfer order orders booking bookings reservation flight "
    "flights hotel note notes task tasks todo reminder account contact entry item tomorrow today tonight"
)
_BEFORE_VERBS = word_set("and please to then also now just you we i ll can could would und bitte et y e en och")
# What people say for what a column or a code calls otherwise.
_MEANINGS = {
    stem(own): frozenset(map(stem, said.split()))
    for own, said in {
        "done": "tick check finish finished complete completed", "complete": "tick finish done", "resolved": "close done settle fix",
        "closed": "finish done resolve", "trash": "delete remove bin", "deleted": "remove trash", "yes": "accept confirm attend join",
        "accepted": "confirm attend join", "confirmed": "accept", "no": "decline reject refuse", "declined": "reject refuse cancel",
        "starred": "favourite favorite flag", "favourite": "star", "blocked": "lock freeze", "enabled": "disable activate deactivate on off",
        "active": "enable disable deactivate activate", "archived": "archiving", "paid": "pay settle", "shared": "share unshare",
    }.items()
}  # fmt: skip
# The fields of a SELECT that leave out no row and combine none.
_NO_CHOICE = frozenset({"target_list", "from_clause", "sort_clause", "limit_option", "op"})


ANY = "*"


class Key(NamedTuple):
    """A cell of a row that the user named, with the column that it is from; `table` is '' where that is not known."""

    table: str
    column: str
    text: str


@dataclass(frozen=True, slots=True)
class _Token:
    """A word of a message, as it is written there."""

    written: str
    start: int
    end: int

    @property
    def word(self) -> str:
        return self.written.casefold()

    @property
    def is_proper(self) -> bool:
        return self.written[:1].isupper() and self.word not in _FORMS_OF_ADDRESS

    def names(self, *, beside: _Token, is_title: bool) -> bool:
        """Return whether this word continues the name that the word `beside` it is a part of."""
        if self.word in STOP_WORDS or self.word in _THINGS or len(self.word) == 1:
            return False
        return is_title or self.is_proper or not beside.written[:1].isupper()


@dataclass(frozen=True)
class UserWords:
    """The user's messages, prepared for being searched: one folded text, its words, and the texts as they were written."""

    text: str
    words: frozenset[str]
    written: str = ""

    @classmethod
    def of(cls, texts: Sequence[str]) -> UserWords:
        """Return the words of these messages."""
        written = unicodedata.normalize("NFKC", "\n".join(texts))
        text = folded(written)
        return cls(f" {text} ", frozenset(text.split()), written)

    @cached_property
    def moments(self) -> Moments:
        """The moments that the user named."""
        return Moments.of(self.written)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The stems of the words."""
        return frozenset(map(stem, words(self.written)))

    @cached_property
    def clauses(self) -> tuple[tuple[str, bool], ...]:
        """Each word with whether a verb may stand there: at the start of a clause, after "and", "please" or "to"."""
        found, end, before = [], 0, ""
        for token in self._tokens:
            between = self.written[end : token.start]
            starts = not before or before in _BEFORE_VERBS or bool(re.search(r"[.,;:!?\n(]", between))
            found += [(word, starts) for word in words(token.written)]
            end, before = token.end, token.word
        return tuple(found)

    def holds(self, text: str) -> bool:
        """Return whether the user said all words of `text`, in its order. A number counts alone, not as a part of a date."""
        wanted = folded(text)
        if wanted.isdecimal():
            return bool(
                re.search(rf"(?<![\w:/.,-]){wanted}(?![\w:/-]|[.,]\d|\s?(?:o'clock|am|pm)\b)", self.written, re.I)
            )
        return bool(wanted) and f" {wanted} " in self.text

    def parts_of(self, name: str, *, is_title: bool = False) -> frozenset[str]:
        """Return the words of a name that the user said, and not as a part of another name.

        "Cancel the team sync" says no word of "Team lunch", and "Mail Anna Smith" none of "Anna Young". In a title every
        word counts, elsewhere only one that begins with a capital letter.
        """
        own = frozenset(folded(name).split())
        if own.isdisjoint(self.words):
            return frozenset()
        return frozenset(
            token.word
            for place, token in enumerate(self._tokens)
            if token.word in own
            and len(token.word) >= _SHORTEST_NAME
            and token.word not in STOP_WORDS
            and not any(
                near.word not in own and near.names(beside=token, is_title=is_title)
                for near in self._neighbours(place, is_title=is_title)
            )
        )

    def _neighbours(self, place: int, *, is_title: bool) -> Iterator[_Token]:
        """Yield the words right beside a word that may continue its name: the one after it, and of a person the one before."""
        token = self._tokens[place]
        after = self._tokens[place + 1] if place + 1 < len(self._tokens) else None
        if after is not None and self.written[token.end : after.start] in {" ", "-"}:
            yield after
        before = self._tokens[place - 1] if place > 0 and not is_title else None
        if before is not None and self.written[before.end : token.start] == " ":
            starts = self.written[: before.start].rstrip()[-1:] in {"", ".", "!", "?", ":"}
            if before.is_proper and not starts:
                yield before

    @cached_property
    def _tokens(self) -> tuple[_Token, ...]:
        return tuple(_Token(match.group(), match.start(), match.end()) for match in re.finditer(r"\w+", self.written))

    def say(self, own: str) -> bool:
        """Return whether the user said a stem, or a word that means the same."""
        single = own[:-1] if own[-2:-1] == own[-1:] else own  # cancelled, cancel
        return not self.stems.isdisjoint({own, single, f"un{own}", *related(own), *_MEANINGS.get(own, ())})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRows:
    """The rows that one statement read; `sources` has the table's column that each of its columns shows, where known."""

    statement: Statement | None
    sources: Sequence[Column | None]
    rows: Sequence[Sequence[Any]]
    labels: Sequence[str] = field(default=())

    def named(
        self, user_words: UserWords, known: Collection[Key] = frozenset()
    ) -> Iterator[tuple[bool, Sequence[Any]]]:
        """Yield each row with whether the user named it.

        The user named it if a condition of the statement holds the user's words or one of the `known` keys, or if a name
        column of the row does and no other row fits them better.
        """
        every_row = self.statement is not None and _picks(self.statement, user_words, known)
        first_row = self.statement is not None and not every_row and _is_ranking(self.statement, user_words)
        fits = [self._fit(row, user_words) for row in self.rows]
        whole = frozenset[str]().union(*(parts for parts, is_whole in fits if is_whole))
        for number, row in enumerate(self.rows):
            parts, is_whole = fits[number]
            is_best = bool(parts) and (is_whole or not (parts <= whole or any(parts < other for other, _ in fits)))
            yield every_row or is_best or (first_row and number == 0), row

    def keys(self, user_words: UserWords, known: Collection[Key] = frozenset()) -> Iterator[Key]:
        """Yield the cells of the rows that the user named, except for prose.

        A table's only row is as good as named. A key without a text says that its table was read.
        """
        if self._is_only_row():
            yield Key(_table_of(self.statement), ANY, ANY)
        yield from {Key(source.table, "", "") for source in self.sources if source}
        for named, row in self.named(user_words, known):
            for source, label, cell in zip(self.sources, self.labels or [""] * len(row), row, strict=False):
                column = source.name if source else label
                if named and cell is not None and not isinstance(cell, (bool, dict, list)) and not is_prose(column):
                    yield Key(source.table if source else "", column, str(cell))

    def _is_only_row(self) -> bool:
        """Return whether this is the only row of a table, so that there was nothing to choose."""
        if self.statement is None or self.statement.kind != "SelectStmt" or len(self.rows) != 1:
            return False
        filled = {field.name for field, _ in self.statement.node.ListFields()} - _NO_CHOICE
        tables = self.statement.node.from_clause
        return not filled and len(tables) == 1 and tables[0].WhichOneof("node") == "range_var"

    def _fit(self, row: Sequence[Any], user_words: UserWords) -> tuple[frozenset[str], bool]:
        """Return the words of the row's names that the user said, and whether that is a whole name."""
        parts: frozenset[str] = frozenset()
        is_whole = False
        for source, cell in zip(self.sources, row, strict=False):
            if source is None or not is_name(source.name) or not _may_be_name(cell):
                continue
            said = user_words.parts_of(cell, is_title=_is_title(cell, source.name))
            whole = user_words.holds(cell) and len(folded(cell)) >= _SHORTEST_NAME
            parts |= frozenset(folded(cell).split()) if whole else _without_kind(said, source.table)
            is_whole = is_whole or whole
        return parts, is_whole


def named_keys(reads: Sequence[ReadRows], user_words: UserWords) -> frozenset[Key]:
    """Return the cells of the rows that the user named, and of the rows that belong to these: their keys are among them."""
    known: frozenset[Key] = frozenset()
    for read in reads:
        known |= frozenset(read.keys(user_words, known))
    return known


def is_known(known: Collection[Key], text: str, *, table: str = "", column: str = "") -> bool:
    """Return whether a row that the user named has this value, where it can mean the same thing."""
    if Key(table, ANY, ANY) in known:
        return True
    return any(key.text == text and _can_mean(key, table, column, known) for key in known)


def user_named_row(statement: Statement, known: Collection[Key], user_words: UserWords) -> bool:
    """Return whether the user said every constant that selects the rows of a change, or `known` holds it.

    `known` are the `named_keys`. Of an INSERT the constants are its whole numbers, which may refer to other rows.
    """
    table = statement.node.relation.relname if statement.kind in {"UpdateStmt", "DeleteStmt"} else ""
    numbers = numbers_inserted(statement)
    return all(user_words.holds(text) or is_known(known, text) for text in numbers) and all(
        user_words.holds(text) or is_known(known, text, table=table, column="id" if text.isdecimal() else "")
        for text in keys_of(statement)
    )


def _can_mean(key: Key, table: str, column: str, known: Collection[Key]) -> bool:
    """Return whether a key may stand in a column: the key of a file in no column for events, if any event was read."""
    if key.text.isdecimal() and column and not is_key(key.column):
        return key.column == column
    wanted, found = entity_of(table, column), entity_of(key.table, key.column)
    if wanted is None or found is None or wanted == found or not key.table:
        return True
    is_own = column == "id" or any(wanted == entity_of(other.table, "id") for other in known if not other.text)
    return not is_own


def _table_of(statement: Statement | None) -> str:
    return str(statement.node.from_clause[0].range_var.relname) if statement is not None else ""


def _may_be_name(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) <= _LONGEST_NAME and "@" not in cell


def _without_kind(parts: frozenset[str], table: str) -> frozenset[str]:
    """Return the words without those that say what kind of row it is: "meeting" names no row of `meetings`."""
    own = set(stems(table))
    kinds = own.union(*(related(word) for word in own))
    return frozenset(part for part in parts if stem(part) not in kinds)


def _picks(statement: Statement, user_words: UserWords, known: Collection[Key]) -> bool:
    """Return whether a condition holds the user's words: full_name = 'Anna Smith', name ILIKE '%anna%', sender = 'a@b.example'."""
    if statement.kind != "SelectStmt" or not statement.node.HasField("where_clause"):
        return False
    return any(is_picking(part, user_words, known) for part in conditions_of(statement.node.where_clause))


def is_picking(condition: Message, user_words: UserWords, known: Collection[Key], *, table: str = "") -> bool:
    """Return whether a condition compares a column other than prose with what the user said, or with a `known` key."""
    alternatives = conditions_of(condition, "OR_EXPR")
    if len(alternatives) > 1:
        return all(is_picking(part, user_words, known, table=table) for part in alternatives)
    if condition.WhichOneof("node") != "a_expr" or not compares_values(condition.a_expr):
        return False
    constants = [text for text in constants_in(condition) if text.strip()]
    column = columns_in(condition)[0]
    return bool(constants) and all(
        is_said(text, user_words, column=column) or is_known(known, text, table=table, column=column)
        for text in constants
    )


def is_said(text: str, user_words: UserWords, *, column: str = "") -> bool:
    """Return whether the user said a constant that a condition compares with: a name, a number, or a moment."""
    if is_moment(text):
        own = Moments.of(text)
        return bool(own.days or own.times) and own.days <= user_words.moments.days
    if folded(text).isdecimal():
        return user_words.holds(text)
    said = words(text)
    if len(folded(text)) < _SHORTEST_NAME or STOP_WORDS.issuperset(said) or ("%" in text and _THINGS.issuperset(said)):
        return False
    is_held = user_words.holds(text) or all(stem(word) in user_words.stems for word in said)
    return is_held or _is_named_in_part(text, user_words, column=column)


def _is_named_in_part(text: str, user_words: UserWords, *, column: str) -> bool:
    """Return whether the user said a part of a name or of an address that tells it from others: Mia, news@dailydeals.example."""
    if "@" in text:
        local, _, domain = text.rpartition("@")
        return bool(user_words.parts_of(f"{local} {'.'.join(domain.split('.')[:-1])}"))
    is_name = "%" not in text and len(text) <= _LONGEST_NAME
    return is_name and bool(user_words.parts_of(text, is_title=_is_title(text, column)))


def _is_title(text: str, column: str) -> bool:
    """Return whether a text calls a thing, so that all of its words count: names of people begin with capital letters."""
    return is_title(column) or not text.istitle()


def _is_ranking(statement: Statement, user_words: UserWords) -> bool:
    """Return whether a statement sorts rows as the user did: the largest, the last, the cheapest."""
    return statement.kind == "SelectStmt" and bool(statement.node.sort_clause) and is_ranked(user_words)


def is_ranked(user_words: UserWords) -> bool:
    """Return whether the user means the first row of an order."""
    return any(stem(word) in _ORDINALS for word in user_words.words)
