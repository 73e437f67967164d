"""Answers questions about the schema with describe_schema: "What tables are there?", "describe orders"."""

from __future__ import annotations

import re

from agent.providers.offline_model.answers import failure_message
from agent.providers.offline_model.reader import Reader
from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import sentence_of
from agent.providers.offline_model.turn_view import Answer, Call, Refusal, Step, Turn, texts_in
from agent.text.words import word_set

_ABOUT_DATABASE = re.compile(
    r"^\W*(?:please )?(?:(?:what|which) (?:tables|relations|views|data|tables and views)(?: (?:are|do|is|does|can|exist)\b.*)?|"
    r"(?:list|show|give|name)(?: me)?(?: all)?(?: of)?(?: the)? (?:tables|relations|views|schema)(?: (?:in|of) .*)?|"
    r"what(?:'s| is) in (?:the|this) (?:database|db|schema)|describe (?:the |this )?(?:database|schema|db)|how many tables .*)\W*$",
    re.I,
)
_ABOUT_RELATION = re.compile(
    r"^\W*(?:please )?(?:can you )?(?:describe|explain|(?:show|give)(?: me)? the (?:columns|structure|schema|fields|definition) (?:of|for)|"
    r"(?:what|which) (?:columns|fields)(?: are in| does| do| has)?|what(?:'s| is) (?:the )?(?:structure|schema|definition) of|"
    r"(?:list|show)(?: me)?(?: all)?(?: the)? (?:columns|fields) (?:of|in|for))\b(?P<rest>.*)$",
    re.I | re.S,
)
_FILLER_WORDS = word_set(
    """
    the table view have has does do in of there contain columns column fields structure schema it ? . !
    """
)


def describe(turn: Turn) -> Step | None:
    """Return the call that describes the database or one relation, or its result."""
    if _ABOUT_DATABASE.match(turn.question):
        return _describe(turn, None)
    match = _ABOUT_RELATION.match(turn.question)
    if not match:
        return None
    relation = _relation(turn, match["rest"])
    if relation is not None:
        return _describe(turn, f"{relation.schema}.{relation.name}")
    if turn.has_described() or "describe_schema" not in turn.tools:
        return Refusal(reason="I do not know that table")
    return Call(tool="describe_schema", arguments={})


def _describe(turn: Turn, name: str | None) -> Step:
    arguments = {"name": name} if name else {}
    if turn.has_described(name):
        outcome = next(o for o in turn.outcomes if o.tool == "describe_schema" and o.arguments.get("name") == name)
        texts = texts_in(outcome.result)
        return (
            Answer(text="\n".join(texts)) if outcome.success and texts else Answer(text=failure_message(outcome.result))
        )
    if "describe_schema" in turn.tools:
        return Call(tool="describe_schema", arguments=arguments)
    return Refusal(reason="I have no tool for looking at the schema here")


def _relation(turn: Turn, text: str) -> Relation | None:
    """Return the relation that `text` names, if the text has no other words with a meaning."""
    r = Reader(sentence_of(text), turn.names, turn.graph)
    for at, token in enumerate(r.s.tokens):
        for name, end in r.relations(at):
            if all(t.low in _FILLER_WORDS for t in r.s.tokens[end:]):
                return name.relation
        if token.low not in _FILLER_WORDS:
            return None
    return None
