"""Changes one column of one row by an UPDATE: "Set campaign 3 to paused", "change the email of client 5 to ..."."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.providers.offline_model.answers import change_message, failure_message
from agent.providers.offline_model.entities import Entity, take_entities
from agent.providers.offline_model.lexicon import ColumnName, Lexicon, Mention, ValueName
from agent.providers.offline_model.query import Comparison
from agent.providers.offline_model.schema_parser import Column
from agent.providers.offline_model.sql_writer import render_update, value_for
from agent.providers.offline_model.tokenizer import Sentence, clean, number_of, sentence_of, stem, words_of
from agent.providers.offline_model.turn_view import Answer, Call, Refusal, Step, Turn

_VERBS = "set|change|update|mark|make|switch|move|rename|put|turn|correct"
_TO = "to|as|=|into|equal"
_POLITE = "please|can|could|would|you|now|i|want|need|we"
_OPPOSITES = {
    "deactivate": "inactive",
    "disable": "inactive",
    "reopen": "open",
    "resume": "active",
    "reactivate": "active",
    "unpause": "active",
    "enable": "active",
}
_STATUS = ("status", "state")
_CLIENTS = frozenset({"client", "customer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A new value for one column of one row; `literal` is the value as SQL."""

    row: Comparison
    column: Column
    value: str
    literal: str


def change(turn: Turn) -> Step | None:
    """Return the call that makes the change, or its outcome."""
    s = sentence_of(clean(turn.question))
    while s.match(_first_free(s), _POLITE):
        s.use(_first_free(s), _first_free(s) + 1)
    wanted = _by_verb(s, turn.lexicon) if s.match(_first_free(s), _VERBS) else _by_status_verb(s, turn.lexicon)
    if wanted is None or isinstance(wanted, Refusal):
        return wanted
    tool, arguments = _call(wanted, turn)
    outcome = turn.outcome(tool, **arguments)
    if outcome:
        text = f"{wanted.column.name} of {wanted.row.field.relation.display_name} {_row_label(wanted.row)} set to {wanted.value!r}"
        return Answer(text=change_message(outcome.result, text) if outcome.success else failure_message(outcome.result))
    if tool not in turn.tools:
        return Refusal(reason="I have no tool for changes here")
    return Call(tool=tool, arguments=arguments)


def _call(change: Change, turn: Turn) -> tuple[str, dict[str, object]]:
    """Return the tool and its arguments: the narrow tool for a client's status where it fits, else SQL."""
    relation = change.row.field.relation
    fits = _CLIENTS.intersection(words_of(relation.name)) and len(words_of(relation.name)) == 1
    if (
        "update_client_status" in turn.tools
        and fits
        and relation.id == relation.unqualified_target
        and change.column.name == "status"
        and change.row.value
    ):
        who = "client_id" if change.row.field.column.key else "client_name"
        text = change.row.value.text
        key: object = int(text) if who == "client_id" and change.row.value.number else text
        return "update_client_status", {who: key, "status": change.value}
    sql = render_update(relation, change.column, change.literal, change.row)
    return "execute_sql", {"sql": sql}


def _by_verb(s: Sentence, lexicon: Lexicon) -> Change | Refusal | None:
    """Return the change of "change <column> of <row> to <value>" or "set <row> to <label>"."""
    verb = _first_free(s)
    to = next((at for at in range(len(s.tokens) - 1, verb, -1) if s.match(at, _TO)), None)
    if to is None:
        if s.tokens[verb].low not in ("mark", "make"):
            return None
        to = len(s.tokens) - 2  # "mark invoice 5 paid"
    value_at = to + 1
    before = Sentence(tokens=s.tokens[:value_at], used=set(s.used) | {verb} | ({to} if s.match(to, _TO) else set()))
    value = " ".join(token.text for token in s.tokens[value_at:])
    return _change_of(before, lexicon, value)


def _by_status_verb(s: Sentence, lexicon: Lexicon) -> Change | Refusal | None:
    """Return the change of "pause the campaign 'Spring Sale'", where the verb leads to a label of the row's status."""
    verb = _first_free(s)
    if verb >= len(s.tokens) or s.tokens[verb].kind != "word":
        return None
    word = s.tokens[verb].low
    rest = Sentence(tokens=s.tokens, used=set(s.used) | {verb})
    entity = _row_entity(rest, lexicon)
    if entity is None:
        return None
    labels = [(column, value, phrase) for column, value, phrase in _labels(entity, lexicon) if _leads_to(word, phrase)]
    if len(labels) != 1:
        return None
    column, value, _ = labels[0]
    return _checked_change(rest, entity, column, value)


def _labels(entity: Entity, lexicon: Lexicon) -> list[tuple[Column, str, str]]:
    """Return the labels of the relation's columns with labels as (column, value, word)."""
    labels = {
        (term.column.name, term.value, words[0]): (term.column, term.value, words[0])
        for words, terms in lexicon.terms.items()
        for term in terms
        if len(words) == 1
        and isinstance(term, ValueName)
        and term.relation.id == entity.relation.id
        and (term.column.name in _STATUS or len(term.column.values) > 1)
    }
    return list(labels.values())


def _leads_to(verb: str, label: str) -> bool:
    """Return whether `verb` leads to the state `label`: pause to paused, cancel to cancelled, activate to active."""
    if verb in _OPPOSITES:
        return label == stem(_OPPOSITES[verb])
    root = verb.removesuffix("e")
    if len(root) < 3:
        return False
    endings = ("e", "ed", "d", "n", "en", "led", "ped", "ted")
    return (
        label in {root + ending for ending in endings}
        or label in (root, verb)
        or (root.endswith("at") and label == root[:-2] + "e")
    )


def _change_of(s: Sentence, lexicon: Lexicon, value: str) -> Change | Refusal | None:
    entity = _row_entity(s, lexicon)
    if entity is None:
        return None
    value = _bare_value(value)
    mentions = [m for m in lexicon.mentions(s) if m.columns]
    column = _named_column(entity, mentions, s) or (entity.column.column if entity.column else None)
    if column is None and not mentions:
        target = _label_value(entity, value, lexicon)
        if target is None:
            return Refusal(
                reason=f"I do not know which column of {entity.relation.name} {value!r} belongs in; please name it"
            )
        column, value = target
    elif column is not None:
        value = next(
            (v for c, v, word in _labels(entity, lexicon) if c == column and (word,) == words_of(value)), value
        )
    if column is None:
        return Refusal(reason=f"{entity.relation.name} has no such column")
    return _checked_change(s, entity, column, value)


def _row_entity(s: Sentence, lexicon: Lexicon) -> Entity | None:
    """Return the entity of the one row that the sentence mentions, or None."""
    mentions = [m for m in lexicon.mentions(s) if m.relations]
    trial = Sentence(tokens=s.tokens, used=set(s.used))
    entities = take_entities(trial, mentions, ranked_end=None)
    if len(entities) != 1 or entities[0].reference is None:
        return None
    s.used |= trial.used
    return entities[0]


def _named_column(entity: Entity, mentions: Sequence[Mention], s: Sentence) -> Column | None:
    names: list[ColumnName] = [c for m in mentions for c in m.columns if c.relation.id == entity.relation.id]
    full = [c for c in names if not c.short] or names
    columns = {c.column.name: c.column for c in full}
    if len(columns) != 1:
        return None
    for mention in mentions:
        s.use(mention.start, mention.end)
    return next(iter(columns.values()))


def _label_value(entity: Entity, value: str, lexicon: Lexicon) -> tuple[Column, str] | None:
    """Return column and value of "set campaign 3 to paused": the column with this label, the status when several have it."""
    labels = [(column, v) for column, v, word in _labels(entity, lexicon) if (word,) == words_of(value)]
    exact = [(c, v) for c in entity.relation.columns for v in c.values if v.lower() == value.lower()]
    candidates = list(dict.fromkeys([*labels, *exact]))
    if len(candidates) > 1:
        candidates = [(column, v) for column, v in candidates if column.name in _STATUS]
    return candidates[0] if len(candidates) == 1 else None


def _checked_change(s: Sentence, entity: Entity, column: Column, value: str) -> Change | Refusal:
    assert entity.reference is not None  # noqa: S101  # _row_entity has checked
    left = s.leftover()
    if left:
        return Refusal(reason="I do not understand " + ", ".join(repr(word) for word in left))
    number = number_of(sentence_of(value).tokens[0]) if column.numeric and sentence_of(value).tokens else None
    literal = value_for(column, number if number is not None else value)
    if literal is None:
        return Refusal(reason=f"{value!r} is not a value for {column.name} ({column.type})")
    known = {label.lower() for label in column.values}
    if column.values and column.type.lower() not in ("text", "character varying") and value.lower() not in known:
        return Refusal(reason=f"{value!r} is not one of the values of {column.name}: {', '.join(column.values)}")
    return Change(row=entity.reference, column=column, value=value, literal=literal)


def _bare_value(value: str) -> str:
    return re.sub(r"^(?:the )?(?:status|state|value) ", "", value.strip().rstrip(".!?").strip())


def _row_label(row: Comparison) -> str:
    return row.value.text if row.value else ""


def _first_free(s: Sentence) -> int:
    return next((at for at in range(len(s.tokens)) if s.free(at)), len(s.tokens))
