"""Checks that a new value can be written exactly as it stands: its column holds it without rounding, guessing or translating."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.sql_writer import literal
from agent.providers.offline_model.tokenizer import is_plain, words_of

_NUMBER = re.compile(r"-?\d{1,30}(?:\.(?P<decimals>\d{1,30}))?")
_SCALE = re.compile(r"numeric\(\d+,\s*(\d+)\)", re.I)
_WHOLE = re.compile(r"(smallint|integer|int\d?|bigint|serial|bigserial)\b", re.I)
_INEXACT = re.compile(r"(real|double|float)", re.I)
_TRUTH = {"true": "true", "false": "false", "yes": "true", "no": "false"}
_CLOSING_WORDS = re.compile(r"(?:[.!?]|[,\s](?:please|thanks|thank you|now))$", re.I)
_SECOND_CHANGE = re.compile(r"(?:,| and)\s(?:set|change|update|the|its)\s.*\sto\s", re.I | re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewValue:
    """The new value of a column: its text, and how SQL writes it."""

    column: Column
    text: str
    sql: str


def new_value(relation: Relation, column: Column | None, text: str, *, quoted: bool) -> NewValue | str:
    """Return the value, or a question about what is not exact. Without a column, it is the one that has `text` as a label."""
    if column is None:
        return _labelled(relation, text)
    if not column.readable or column.name in relation.key:
        return f"I do not change {column.name} of {relation.display_name}."
    if not quoted and not _is_text(column):
        text = text.rstrip(".!").rstrip()
    if not text or not is_plain(text):
        return "The new value is empty, or has signs that cannot be stored as they stand."
    problem = _open_end(text) if not quoted and _is_text(column) else None
    return problem or _typed(column, text, quoted=quoted)


def _is_text(column: Column) -> bool:
    return not (column.numeric or column.temporal or column.boolean or column.opaque or _complete(column))


def _complete(column: Column) -> bool:
    return bool(column.values) and not column.more_values


def _open_end(text: str) -> str | None:
    if text.lower() == "null" or text.lower() in ("empty", "nothing", "none", "blank"):
        return f"Is {text!r} the text itself, or shall the field be empty? Please put a text in quotes; I cannot empty a field."
    if _CLOSING_WORDS.search(text) or _SECOND_CHANGE.search(text) or text[0] in "\"'\u201c\u201e\u2018":
        return f"I cannot tell whether all of {text!r} is the new value; please put exactly the new value in quotes."
    return None


def _typed(column: Column, text: str, *, quoted: bool) -> NewValue | str:
    if column.boolean:
        return _checked(column, text, _TRUTH.get(text.lower()), "true or false")
    if column.numeric:
        return _numeric(column, text)
    if column.temporal:
        return _checked(column, text, literal(text) if _is_moment(text) else None, "a date such as 2026-03-31")
    if column.opaque:
        return f"{column.name} has the type {column.type}; I change only single values."
    if _complete(column):
        return _label(column, text)
    return NewValue(column=column, text=text, sql=literal(text))


def _checked(column: Column, text: str, sql: str | None, wanted: str) -> NewValue | str:
    if sql is None:
        return f"{text!r} is not a value for {column.name} ({column.type}); please write {wanted}."
    return NewValue(column=column, text=text, sql=sql)


def _numeric(column: Column, text: str) -> NewValue | str:
    number = _NUMBER.fullmatch(text)
    scale = _SCALE.match(column.type)
    decimals = 0 if _WHOLE.match(column.type) else int(scale[1]) if scale else None
    if number and decimals is not None and len(number["decimals"] or "") > decimals:
        return f"{column.name} ({column.type}) would round {text}; please write at most {decimals} decimals."
    if number and _INEXACT.match(column.type) and len(text.strip("-0.").replace(".", "")) > 6:
        return f"{column.name} ({column.type}) would round {text}; please write at most 6 digits."
    exact = text if number else None
    return _checked(column, text, exact, "digits, with a point before decimals and no sign but a minus, as in 1234.50")


def _is_moment(text: str) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return bool(re.match(r"\d{4}-\d\d-\d\d", text))


def _label(column: Column, text: str) -> NewValue | str:
    same = [value for value in column.values if value == text] or [
        v for v in column.values if v.lower() == text.lower()
    ]
    if len(same) == 1 and column.numeric:
        return NewValue(column=column, text=same[0], sql=same[0])
    if len(same) == 1:
        return NewValue(column=column, text=same[0], sql=literal(same[0]))
    return f"{text!r} is not one of the values of {column.name}: {', '.join(column.values)}."


def _labelled(relation: Relation, text: str) -> NewValue | str:
    """Return the label `text` of the one column that has it."""
    text = text.rstrip(".!").rstrip()
    found = [c for c in relation.columns if _complete(c) and text.lower() in (value.lower() for value in c.values)]
    flags = [c for c in relation.columns if c.boolean and words_of(text) in (words_of(c.name), words_of(c.name)[1:])]
    if len(found) + len(flags) == 1:
        return _label(found[0], text) if found else NewValue(column=flags[0], text=text, sql="true")
    return f"I do not know which column of {relation.display_name} {text!r} belongs in; please name it, as in: Set the <column> of ..."
