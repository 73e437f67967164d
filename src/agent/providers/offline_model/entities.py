"""Finds the relations that a question mentions and their roles: asked about, grouped by, counted, excluded, or one named row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.providers.offline_model.join_graph import code_column, display_field
from agent.providers.offline_model.lexicon import ColumnName, Mention
from agent.providers.offline_model.query import Comparison, Field, LiteralValue
from agent.providers.offline_model.schema_parser import ForeignKey, Relation
from agent.providers.offline_model.tokenizer import FILLER, Sentence, count_of, number_of
from agent.text.words import word_set

Role = Literal["plain", "group", "none", "ranked", "counted", "named"]

_GROUP = word_set("per by each every across")
_NOT = word_set("no not never without zero lacking")
_DETERMINERS = word_set("the a an their its our any all his her have had placed made yet single with")
_NAMING = "number|no|id|named|called|with?"
_OWNERSHIP = word_set("of for from by to did does has have")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One relation in a question: `column` for "client name", `reference` for one row, `least` and `most` for how many rows."""

    mention: Mention
    relation: Relation
    role: Role
    via: ForeignKey | None = None
    column: ColumnName | None = None
    reference: Comparison | None = None
    least: int | None = None
    most: int | None = None

    @property
    def start(self) -> int:
        return self.mention.start


def take_entities(s: Sentence, mentions: Sequence[Mention], *, ranked_end: int | None) -> list[Entity]:
    """Return the entities among `mentions`, in order, and mark their words as used."""
    entities: list[Entity] = []
    owned: set[int] = set()
    for number, mention in enumerate(mentions):
        if not mention.relations or number in owned or not s.free(mention.start):
            continue
        follower = mentions[number + 1] if number + 1 < len(mentions) else None
        entity = _entity(s, mention, follower, ranked_end, first=not entities)
        entities.append(entity)
        if entity.column:
            owned.add(number + 1)
    return entities


def _entity(s: Sentence, mention: Mention, follower: Mention | None, ranked_end: int | None, *, first: bool) -> Entity:
    name = mention.relations[0]
    s.use(mention.start, mention.end)
    column = _following_column(s, mention, follower, name.relation)
    if column and follower:
        s.use(follower.start, follower.end)
    reference = None if column else _row_reference(s, mention, name.relation)
    role, least, most = _role(s, mention, ranked_end, first=first)
    if reference and role in ("plain", "group"):
        role = "named"
    return Entity(
        mention=mention,
        relation=name.relation,
        role=role,
        via=name.via,
        column=column,
        reference=reference,
        least=least,
        most=most,
    )


def _following_column(s: Sentence, mention: Mention, follower: Mention | None, relation: Relation) -> ColumnName | None:
    """Return the column in "client name", right after its relation."""
    if follower is None or follower.start != mention.end or not s.free(follower.start):
        return None
    column = next((c for c in follower.columns if c.relation.id == relation.id and not c.negated), None)
    if column is None or (column.column.temporal and column.short) or column.column.boolean:
        return None
    if follower.relations and s.tokens[mention.start].text.lower() != s.tokens[mention.start].stem:
        return None
    return column


def _role(s: Sentence, mention: Mention, ranked_end: int | None, *, first: bool) -> tuple[Role, int | None, int | None]:
    if ranked_end is not None and mention.start == ranked_end:
        return "ranked", None, None
    counted = _counted(s, mention.start)
    if counted and not first:
        return "counted", *counted
    at = mention.start - 1
    while at >= 0 and s.tokens[at].low in _DETERMINERS and s.tokens[at].low not in _NOT:
        at -= 1
    word = s.tokens[at].low if at >= 0 else ""
    if word in _GROUP:
        s.use(at, at + 1)
        if s.match(at - 1, "for|in"):
            s.use(at - 1, at)
        return "group", None, None
    if word in _NOT and not first:
        s.use(at, at + 1)
        return "none", None, 0
    return "plain", None, None


def _counted(s: Sentence, start: int) -> tuple[int | None, int | None] | None:
    """Return (least, most) of "more than 3", "at least 2", "exactly 1" or "with 3" right before a relation."""
    if not s.free(start - 1) or (count := count_of(s.tokens[start - 1])) is None:
        return None
    for words, least, most in (
        ("more than", count + 1, None),
        ("over|above", count + 1, None),
        ("at least", count, None),
        ("less|fewer than", None, count - 1),
        ("under|below", None, count - 1),
        ("at most", None, count),
        ("exactly", count, count),
        ("with|have|has|only", count, count),
    ):
        length = len(words.split())
        if s.match(start - 1 - length, words) == start - 1:
            s.use(start - 1 - length, start)
            return least, most
    return None


def _row_reference(s: Sentence, mention: Mention, relation: Relation) -> Comparison | None:
    """Return the comparison that picks the row of `relation` which the words after its name identify."""
    at = mention.end
    for naming in ("with? the? id|number|no|name =|is|:?", "named|called", "=|:"):
        at = s.match(at, naming) or at
    if not s.free(at):
        return None
    token = s.tokens[at]
    if (number := number_of(token)) and token.kind == "number" and re.fullmatch(r"-?\d+", number):
        if len(relation.key) != 1 or (
            s.match(at + 1, "and|or") and s.free(at + 2) and s.tokens[at + 2].kind == "number"
        ):
            return None
        key = relation.column(relation.key[0])
        if key is None or not (key.numeric or key.textual):
            return None
        s.use(mention.end, at + 1)
        return Comparison(
            field=Field(relation=relation, column=key),
            operator="=",
            value=LiteralValue(text=number, number=key.numeric),
        )
    end = name_end(s, at, lower=_lower_name_allowed(s, mention))
    return row_named(s, relation, at, end, since=mention.end) if end > at else None


def row_named(s: Sentence, relation: Relation, at: int, end: int, *, since: int) -> Comparison | None:
    """Return the comparison with the name or code in tokens `at` to `end`, and mark the tokens from `since` as used."""
    text = " ".join(token.text for token in s.tokens[at:end])
    exact = s.tokens[at].kind == "quoted"
    wanted = display_field(relation)
    if not exact and re.search(r"\d", text) and " " not in text and (coded := code_column(relation)):
        wanted, exact = Field(relation=relation, column=coded), True
    if wanted is None:
        return None
    s.use(since, end)
    return Comparison(field=wanted, operator="=" if exact else "word", value=LiteralValue(text=text))


def name_end(s: Sentence, at: int, *, lower: bool = False) -> int:
    """Return the end of the name at `at`: one quoted text, or capitalised words (with `lower`, any unknown words)."""
    if not s.free(at):
        return at
    if s.tokens[at].kind in ("quoted", "email"):
        return at + 1
    end = at
    while s.free(end) and s.tokens[end].kind == "word" and _in_name(s, end, lower=lower):
        end += 1
    return end


def _in_name(s: Sentence, at: int, *, lower: bool) -> bool:
    token = s.tokens[at]
    if token.capitalised and at > 0:
        return True
    return (
        lower
        and token.low not in FILLER
        and token.low not in _NOT
        and not token.low.startswith(("more", "less", "over", "under"))
    )


def _lower_name_allowed(s: Sentence, mention: Mention) -> bool:
    """Return whether a name in lower case may follow, as in "orders of client acme": a singular after a word of ownership."""
    last = s.tokens[mention.end - 1]
    before = mention.start - 1
    while before >= 0 and s.tokens[before].low in ("the", "a"):
        before -= 1
    return last.low == last.stem and before >= 0 and s.tokens[before].low in _OWNERSHIP
