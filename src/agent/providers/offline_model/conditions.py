"""The conditions in a question: columns compared with values, labels, spans of time, missing values.

They are found first and given their column later, when it is known who the question is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.providers.offline_model.dates import Period
from agent.providers.offline_model.entities import name_end
from agent.providers.offline_model.lexicon import ColumnName, Mention, ValueName
from agent.providers.offline_model.query import Comparison, Given
from agent.providers.offline_model.tokenizer import FILLER, Sentence, number_of

_OPERATORS: tuple[tuple[str, Comparison], ...] = (
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
_CONTAINS = ("contains|containing|contain|includes|including|like", "with the? word")
_STARTS = ("starts|starting|beginning|begins with",)
_EMPTY = ("is|are not set", "is|are|was? empty|missing|null|blank|unset|unknown", "has|have|had no value")
_FILLED = ("is|are|was? not empty|missing|null|blank|unset", "is|are set|filled|given|known")
_NOT = frozenset({"not", "except", "excluding", "non", "never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A condition without its column yet: `columns` or `values` are the candidates, none means the relation's own measure.

    `adjectives` are columns for which the same word would be true ("active" for `is_active`). `value` may be None with "is null", "is not null", "=" (true) and "<>" (false).
    """

    at: int
    end: int
    comparison: Comparison = "="
    columns: tuple[ColumnName, ...] = ()
    values: tuple[ValueName, ...] = ()
    adjectives: tuple[ColumnName, ...] = ()
    value: Given | None = None
    period: Period | None = None


def take_column_conditions(s: Sentence, mentions: Sequence[Mention], periods: Sequence[Period]) -> list[Pending]:
    """Conditions that name their column; they come before anything else may claim its words."""
    found: list[Pending] = []
    for number, mention in enumerate(mentions):
        if s.free(mention.start) and mention.columns and not mention.relations:
            found += _on_column(s, mention, mentions[number + 1 :], periods)
    return found


def take_other_conditions(
    s: Sentence, mentions: Sequence[Mention], periods: Sequence[Period], known: Sequence[Pending]
) -> list[Pending]:
    """Labels ("shipped"), bare comparisons ("over 100") and spans of time; with `known`, in their order."""
    found = list(known)
    for number, mention in enumerate(mentions):
        if s.free(mention.start) and mention.values:
            found.append(_on_value(s, mention, mentions[number + 1 : number + 2]))
    found += _bare_comparisons(s, mentions)
    dated = {pending.period.at for pending in found if pending.period}
    found += [Pending(at=p.at, end=p.at, period=p) for p in periods if p.at not in dated]
    return sorted(found, key=lambda pending: pending.at)


def _on_column(s: Sentence, mention: Mention, following: Sequence[Mention], periods: Sequence[Period]) -> list[Pending]:
    columns, start, end = mention.columns, mention.start, mention.end
    timed = tuple(c for c in columns if c.column.temporal or (c.column.numeric and "year" in c.column.name.lower()))
    period = next((p for p in periods if end <= p.at <= end + 1), None)
    if timed and period:
        s.use(start, end)
        return [Pending(at=start, end=end, columns=timed, period=period)]
    if missing := _missing(s, mention):
        return [missing]
    if between := _between(s, mention):
        return between
    pending = _compared(s, mention, following)
    return [pending] if pending else _adjective(s, mention)


def _missing(s: Sentence, mention: Mention) -> Pending | None:
    """For "email is empty", "without an email", "with a phone"."""
    start, end, columns = mention.start, mention.end, mention.columns
    for patterns, comparison in ((_FILLED, "is not null"), (_EMPTY, "is null")):
        for pattern in patterns:
            if after := s.match(end, pattern):
                s.use(start, after)
                return Pending(at=start, end=after, columns=columns, comparison=comparison)  # type: ignore[arg-type]  # one of the two above
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
        return Pending(at=start, end=end, columns=columns, comparison="is not null")
    if s.match(at, "without|no|missing|lacking"):
        s.use(at, end)
        return Pending(at=start, end=end, columns=columns, comparison="is null")
    return None


def _between(s: Sentence, mention: Mention) -> list[Pending]:
    start = s.match(mention.end, "is|are|was|of? between|from")
    if not start or not s.free(start + 2):
        return []
    first, second = number_of(s.tokens[start]), number_of(s.tokens[start + 2])
    if first is None or second is None or not s.match(start + 1, "and|to"):
        return []
    s.use(mention.start, start + 3)
    bounds: tuple[tuple[Comparison, str], ...] = ((">=", first), ("<=", second))
    return [
        Pending(
            at=mention.start, end=start + 3, columns=mention.columns, comparison=c, value=Given(text=v, number=True)
        )
        for c, v in bounds
    ]


def _compared(s: Sentence, mention: Mention, following: Sequence[Mention]) -> Pending | None:
    end = mention.end
    for comparison, patterns in (("contains", _CONTAINS), ("starts", _STARTS)):
        for pattern in patterns:
            after = s.match(end, pattern)
            if after and (found := _text_value(s, after, lower=True)):
                return _pending(s, mention, comparison, found)  # type: ignore[arg-type]  # one of the two above
    operator, after = _operator(s, end)
    if operator and (number := _number(s, after)):
        return _pending(s, mention, operator, (Given(text=number, number=True), after + 1))
    return _equal(s, mention, following)


def _equal(s: Sentence, mention: Mention, following: Sequence[Mention]) -> Pending | None:
    """For "status is paused", "status = 3", "with status paused", "city is Berlin"."""
    said = s.match(mention.end, "is|are|was|=|equals|equal|:|of to?")
    at = said or mention.end
    negated = s.match(at, "not")
    at = negated or at
    label = next((m for m in following if m.start == at and m.values), None)
    if label and s.free(label.start):
        own = tuple(v for v in label.values if any(v.column is c.column for c in mention.columns))
        if own:
            s.use(mention.start, label.end)
            return Pending(at=mention.start, end=label.end, values=own, comparison="<>" if negated else "=")
    introduced = bool(said) or (mention.start > 0 and s.tokens[mention.start - 1].low in ("with", "where", "whose"))
    found = _value(s, at, lower=introduced and not any(m.start == at for m in following))
    return _pending(s, mention, "<>" if negated else "=", found) if found else None


def _value(s: Sentence, at: int, *, lower: bool) -> tuple[Given, int] | None:
    number = _number(s, at)
    return (Given(text=number, number=True), at + 1) if number else _text_value(s, at, lower=lower)


def _text_value(s: Sentence, at: int, *, lower: bool) -> tuple[Given, int] | None:
    end = name_end(s, at)
    if end == at and lower and s.free(at) and s.tokens[at].kind == "word" and s.tokens[at].low not in FILLER:
        end = at + 1
    return (Given(text=" ".join(token.text for token in s.tokens[at:end])), end) if end > at else None


def _pending(s: Sentence, mention: Mention, comparison: Comparison, found: tuple[Given, int]) -> Pending:
    value, end = found
    s.use(mention.start, end)
    return Pending(at=mention.start, end=end, columns=mention.columns, comparison=comparison, value=value)


def _adjective(s: Sentence, mention: Mention) -> list[Pending]:
    """For "active" for `is_active`, "shipped" for `shipped_at`, "unpaid" for `paid_at`."""
    if mention.values or mention.relations:
        return []
    said = tuple(c for c in mention.columns if c.short and (c.column.boolean or c.column.temporal))
    said = said or tuple(c for c in mention.columns if c.column.boolean)
    if not said:
        return []
    negated = _negated(s, mention.start) ^ said[0].negated
    s.use(mention.start, mention.end)
    if said[0].column.boolean:
        return [Pending(at=mention.start, end=mention.end, columns=said, comparison="<>" if negated else "=")]
    return [
        Pending(at=mention.start, end=mention.end, columns=said, comparison="is null" if negated else "is not null")
    ]


def _on_value(s: Sentence, mention: Mention, following: Sequence[Mention]) -> Pending:
    negated = _negated(s, mention.start)
    values, end = mention.values, mention.end
    for column in following:  # "high priority"
        own = tuple(v for v in values if any(v.column is c.column for c in column.columns))
        if column.start == end and own and s.free(column.start):
            values, end = own, column.end
    s.use(mention.start, end)
    adjectives = tuple(c for c in mention.columns if c.column.boolean and not c.negated)
    comparison: Comparison = "<>" if negated else "="
    return Pending(at=mention.start, end=end, values=values, adjectives=adjectives, comparison=comparison)


def _negated(s: Sentence, start: int) -> bool:
    for at in (start - 1, start - 2, start - 3):
        if s.free(at) and s.tokens[at].low in _NOT:
            s.use(at, at + 1)
            return True
        if not s.free(at) or s.tokens[at].low not in ("yet", "been", "are", "is", "the", "than", "already"):
            break
    found = s.match(start - 2, "other than")
    if found:
        s.use(start - 2, found)
    return bool(found)


def _bare_comparisons(s: Sentence, mentions: Sequence[Mention]) -> list[Pending]:
    """For "orders over 100": a comparison with no column named, or one named after it ("more than 600 pages")."""
    found = []
    for at in range(len(s.tokens)):
        between = s.match(at, "between")
        if between and s.match(between + 1, "and"):
            low, high = _number(s, between), _number(s, between + 2)
            if low and high:
                s.use(at, between + 3)
                found += [
                    Pending(at=at, end=between + 3, comparison=">=", value=Given(text=low, number=True)),
                    Pending(at=at, end=between + 3, comparison="<=", value=Given(text=high, number=True)),
                ]
                continue
        operator, after = _operator(s, at)
        number = _number(s, after) if operator else None
        if operator and number:
            named = next((m for m in mentions if m.start == after + 1 and m.columns and s.free(m.start)), None)
            end = named.end if named else after + 1
            s.use(at, end)
            columns = named.columns if named else ()
            given = Given(text=number, number=True)
            found.append(Pending(at=at, end=end, comparison=operator, columns=columns, value=given))
    return found


def _operator(s: Sentence, at: int) -> tuple[Comparison | None, int]:
    for pattern, comparison in _OPERATORS:
        if after := s.match(at, pattern):
            return comparison, after
    return None, at


def _number(s: Sentence, at: int) -> str | None:
    if not s.free(at):
        return None
    number = number_of(s.tokens[at])
    if number is not None and s.match(at + 1, "euro|euros|eur|dollar|dollars|usd|percent"):
        s.use(at + 1, at + 2)
    return number
