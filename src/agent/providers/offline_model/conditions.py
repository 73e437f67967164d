"""Finds the conditions of a question: columns compared with values, labels, spans of time, missing values.

A condition is found before its column is certain; `value_binding` chooses the column once the main relation is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.providers.offline_model.dates import Period
from agent.providers.offline_model.entities import name_end
from agent.providers.offline_model.lexicon import ColumnName, Mention, ValueName
from agent.providers.offline_model.query import LiteralValue, Operator
from agent.providers.offline_model.tokenizer import FILLER, Sentence, number_of
from agent.text.words import word_set

_OPERATORS: tuple[tuple[str, Operator], ...] = (
    ("is|are|was? not equal to", "<>"),
    ("!=", "<>"),
    (">=|≥", ">="),
    ("<=|≤", "<="),
    (">", ">"),
    ("<", "<"),
    ("is|are|was|of|with|have|has? greater|more|higher|larger|bigger|longer than", ">"),
    ("is|are|was|of|with|have|has? less|lower|smaller|fewer|shorter|cheaper than", "<"),
    ("is|are|was|of? at least", ">="),
    ("is|are|was|of? at most", "<="),
    ("is|are|was? exactly", "="),
    ("is|are|was|of? over|above|exceeding|exceeds|exceed", ">"),
    ("is|are|was|of? under|below", "<"),
    ("worth more than|over", ">"),
    ("costing|worth? over|above", ">"),
)
_TEXT_OPERATORS: tuple[tuple[Operator, tuple[str, ...]], ...] = (
    ("contains", ("contains|containing|contain|includes|including|like", "with the? word")),
    ("starts", ("starts|starting|beginning|begins with",)),
)
_NULL_OPERATORS: tuple[tuple[Operator, tuple[str, ...]], ...] = (
    ("is not null", ("is|are|was? not empty|missing|null|blank|unset", "is|are set|filled|given|known")),
    ("is null", ("is|are not set", "is|are|was? empty|missing|null|blank|unset|unknown", "has|have|had no value")),
)
_NOT = word_set("not except excluding non never")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCondition:
    """A condition whose column is not chosen yet: `columns` or `values` are the candidates; without both it is about the amount.

    `adjectives` are boolean columns that the same word may mean ("active" for `is_active`). Without a `value` the operator is
    "is null", "is not null", "=" (true) or "<>" (false).
    """

    at: int
    end: int
    operator: Operator = "="
    columns: tuple[ColumnName, ...] = ()
    values: tuple[ValueName, ...] = ()
    adjectives: tuple[ColumnName, ...] = ()
    value: LiteralValue | None = None
    period: Period | None = None


def take_column_conditions(
    s: Sentence, mentions: Sequence[Mention], periods: Sequence[Period]
) -> list[PendingCondition]:
    """Return the conditions that name their column. They run before anything else uses their words."""
    conditions: list[PendingCondition] = []
    for number, mention in enumerate(mentions):
        if s.free(mention.start) and mention.columns and not mention.relations:
            conditions += _on_column(s, mention, mentions[number + 1 :], periods)
    return conditions


def take_other_conditions(
    s: Sentence, mentions: Sequence[Mention], periods: Sequence[Period], known: Sequence[PendingCondition]
) -> list[PendingCondition]:
    """Return labels ("shipped"), comparisons without a column ("over 100") and spans of time, merged in order with `known`."""
    conditions = list(known)
    for number, mention in enumerate(mentions):
        if s.free(mention.start) and mention.values:
            conditions.append(_on_value(s, mention, mentions[number + 1 : number + 2]))
    conditions += _bare_comparisons(s, mentions)
    dated = {pending.period.at for pending in conditions if pending.period}
    conditions += [PendingCondition(at=p.at, end=p.at, period=p) for p in periods if p.at not in dated]
    return sorted(conditions, key=lambda pending: pending.at)


def _on_column(
    s: Sentence, mention: Mention, following: Sequence[Mention], periods: Sequence[Period]
) -> list[PendingCondition]:
    columns, start, end = mention.columns, mention.start, mention.end
    timed = tuple(c for c in columns if c.column.temporal or (c.column.numeric and "year" in c.column.name.lower()))
    period = next((p for p in periods if end <= p.at <= end + 1), None)
    if timed and period:
        s.use(start, end)
        return [PendingCondition(at=start, end=end, columns=timed, period=period)]
    if missing := _missing(s, mention):
        return [missing]
    if between := _between(s, mention):
        return between
    pending = _compared(s, mention, following)
    return [pending] if pending else _adjective(s, mention)


def _missing(s: Sentence, mention: Mention) -> PendingCondition | None:
    """Return the condition of "email is empty", "without an email" or "with a phone"."""
    start, end, columns = mention.start, mention.end, mention.columns
    for operator, phrases in _NULL_OPERATORS:
        for phrase in phrases:
            if after := s.match(end, phrase):
                s.use(start, after)
                return PendingCondition(at=start, end=after, columns=columns, operator=operator)
    at = start - 1
    while at >= 0 and s.tokens[at].low in ("a", "an", "any", "the", "have", "has", "their") and at not in s.used:
        at -= 1
    if (
        at < start - 1
        and s.match(at, "with")
        and s.tokens[at + 1].low in ("a", "an", "any")
        and not _operator(s, end)[0]
    ):
        s.use(at, end)
        return PendingCondition(at=start, end=end, columns=columns, operator="is not null")
    if s.match(at, "without|no|missing|lacking"):
        s.use(at, end)
        return PendingCondition(at=start, end=end, columns=columns, operator="is null")
    return None


def _between(s: Sentence, mention: Mention) -> list[PendingCondition]:
    start = s.match(mention.end, "is|are|was|of? between|from")
    if not start or not s.free(start + 2):
        return []
    first, second = number_of(s.tokens[start]), number_of(s.tokens[start + 2])
    if first is None or second is None or not s.match(start + 1, "and|to"):
        return []
    s.use(mention.start, start + 3)
    bounds: tuple[tuple[Operator, str], ...] = ((">=", first), ("<=", second))
    return [
        PendingCondition(
            at=mention.start,
            end=start + 3,
            columns=mention.columns,
            operator=c,
            value=LiteralValue(text=v, number=True),
        )
        for c, v in bounds
    ]


def _compared(s: Sentence, mention: Mention, following: Sequence[Mention]) -> PendingCondition | None:
    end = mention.end
    for text_operator, phrases in _TEXT_OPERATORS:
        for phrase in phrases:
            start = s.match(end, phrase)
            if start and (value := _text_value(s, start, lower=True)):
                return _pending(s, mention, text_operator, value)
    operator, after = _operator(s, end)
    if operator and (number := _number(s, after)):
        return _pending(s, mention, operator, (LiteralValue(text=number, number=True), after + 1))
    return _equal(s, mention, following)


def _equal(s: Sentence, mention: Mention, following: Sequence[Mention]) -> PendingCondition | None:
    """Return the condition of "status is paused", "status = 3", "with status paused" or "city is Berlin"."""
    verb_end = s.match(mention.end, "is|are|was|=|equals|equal|:|of to?")
    at = verb_end or mention.end
    negated = s.match(at, "not")
    at = negated or at
    label = next((m for m in following if m.start == at and m.values), None)
    if label and s.free(label.start):
        own = tuple(v for v in label.values if any(v.column is c.column for c in mention.columns))
        if own:
            s.use(mention.start, label.end)
            return PendingCondition(at=mention.start, end=label.end, values=own, operator="<>" if negated else "=")
    introduced = bool(verb_end) or (mention.start > 0 and s.tokens[mention.start - 1].low in ("with", "where", "whose"))
    value = _value(s, at, lower=introduced and not any(m.start == at for m in following))
    return _pending(s, mention, "<>" if negated else "=", value) if value else None


def _value(s: Sentence, at: int, *, lower: bool) -> tuple[LiteralValue, int] | None:
    number = _number(s, at)
    return (LiteralValue(text=number, number=True), at + 1) if number else _text_value(s, at, lower=lower)


def _text_value(s: Sentence, at: int, *, lower: bool) -> tuple[LiteralValue, int] | None:
    end = name_end(s, at)
    if end == at and lower and s.free(at) and s.tokens[at].kind == "word" and s.tokens[at].low not in FILLER:
        end = at + 1
    return (LiteralValue(text=" ".join(token.text for token in s.tokens[at:end])), end) if end > at else None


def _pending(
    s: Sentence, mention: Mention, operator: Operator, value_and_end: tuple[LiteralValue, int]
) -> PendingCondition:
    value, end = value_and_end
    s.use(mention.start, end)
    return PendingCondition(at=mention.start, end=end, columns=mention.columns, operator=operator, value=value)


def _adjective(s: Sentence, mention: Mention) -> list[PendingCondition]:
    """Return the condition of "active" for `is_active`, "shipped" for `shipped_at` or "unpaid" for `paid_at`."""
    if mention.values or mention.relations:
        return []
    columns = tuple(c for c in mention.columns if c.short and (c.column.boolean or c.column.temporal))
    columns = columns or tuple(c for c in mention.columns if c.column.boolean)
    if not columns:
        return []
    negated = _negated(s, mention.start) ^ columns[0].negated
    s.use(mention.start, mention.end)
    if columns[0].column.boolean:
        return [PendingCondition(at=mention.start, end=mention.end, columns=columns, operator="<>" if negated else "=")]
    return [
        PendingCondition(
            at=mention.start, end=mention.end, columns=columns, operator="is null" if negated else "is not null"
        )
    ]


def _on_value(s: Sentence, mention: Mention, following: Sequence[Mention]) -> PendingCondition:
    negated = _negated(s, mention.start)
    values, end = mention.values, mention.end
    for column in following:  # "high priority"
        own = tuple(v for v in values if any(v.column is c.column for c in column.columns))
        if column.start == end and own and s.free(column.start):
            values, end = own, column.end
    s.use(mention.start, end)
    adjectives = tuple(c for c in mention.columns if c.column.boolean and not c.negated)
    operator: Operator = "<>" if negated else "="
    return PendingCondition(at=mention.start, end=end, values=values, adjectives=adjectives, operator=operator)


def _negated(s: Sentence, start: int) -> bool:
    for at in (start - 1, start - 2, start - 3):
        if s.free(at) and s.tokens[at].low in _NOT:
            s.use(at, at + 1)
            return True
        if not s.free(at) or s.tokens[at].low not in ("yet", "been", "are", "is", "the", "than", "already"):
            break
    end = s.match(start - 2, "other than")
    if end:
        s.use(start - 2, end)
    return bool(end)


def _bare_comparisons(s: Sentence, mentions: Sequence[Mention]) -> list[PendingCondition]:
    """Return comparisons without a column ("orders over 100") or with the column after them ("more than 600 pages")."""
    conditions = []
    for at in range(len(s.tokens)):
        between = s.match(at, "between")
        if between and s.match(between + 1, "and"):
            low, high = _number(s, between), _number(s, between + 2)
            if low and high:
                s.use(at, between + 3)
                conditions += [
                    PendingCondition(at=at, end=between + 3, operator=">=", value=LiteralValue(text=low, number=True)),
                    PendingCondition(at=at, end=between + 3, operator="<=", value=LiteralValue(text=high, number=True)),
                ]
                continue
        operator, after = _operator(s, at)
        number = _number(s, after) if operator else None
        if operator and number:
            named = next((m for m in mentions if m.start == after + 1 and m.columns and s.free(m.start)), None)
            end = named.end if named else after + 1
            s.use(at, end)
            columns = named.columns if named else ()
            value = LiteralValue(text=number, number=True)
            conditions.append(PendingCondition(at=at, end=end, operator=operator, columns=columns, value=value))
    return conditions


def _operator(s: Sentence, at: int) -> tuple[Operator | None, int]:
    for phrase, operator in _OPERATORS:
        if after := s.match(at, phrase):
            return operator, after
    return None, at


def _number(s: Sentence, at: int) -> str | None:
    if not s.free(at):
        return None
    number = number_of(s.tokens[at])
    if number is not None and s.match(at + 1, "euro|euros|eur|dollar|dollars|usd|percent"):
        s.use(at + 1, at + 2)
    return number
