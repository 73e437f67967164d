"""Applies an earlier question and the SQL that answered it to a new question. Pure.

    "How many clients are in Berlin?", "... WHERE city = 'Berlin'", and now "How many clients are in Köln?"  ->  "... city = 'Köln'"

Two questions are of one family if they differ only in constants that the SQL holds. Another wording of a family is accepted if it
says the same things: the same counts, comparisons and negations, and nearly the same nouns. In doubt there is no match.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.text.words import STOP_WORDS, related, stem, word_set

# Returns a column's value as the data spells it, for a word that is one.
Values = Callable[[str], "str | None"]

_LITERAL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(?<![\w.$])\d+(?:\.\d+)?(?![\w.])")
_UNIT_NUMBER = re.compile(r"(\d+) (?:second|minute|hour|day|week|month|year)s?")
_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"\n]{1,200}\"|(?<!\w)'[^'\n]{1,200}'(?!\w)|\u201c[^\u201d\n]{1,200}\u201d)"
    r"|(?P<date>\d{4}-\d\d-\d\d(?![\w-]))|(?P<number>[$€£]?(?<![\w.])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|[$€£]?(?<![\w.])\d+(?:\.\d+)?(?![\w-]))"
    r"|(?P<word>[^\W_]+(?:[-'\u2019_.@+&][^\W_]+)*)"
)
_NUMBER_WORDS = {
    word: str(n)
    for n, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_LONGEST_VALUE = 6  # words
_MARK = "\u00a7"
# Texts whose constants are not read here: escapes, other quotes, comments.
_UNREAD = re.compile(r"(?i)\b(?:e|b|x|n|u&)'|\$\w*\$|--|/\*")
# Words that decide what a question asks, by what they say. Each group is one meaning.
_GROUPS = {
    word: group
    for group, words in {
        "<most>": "most highest top largest biggest greatest best maximum max greatest highest",
        "<least>": "least lowest smallest fewest worst minimum min bottom cheapest",
        "<more>": "more over above greater exceed exceeds exceeding exceeded beyond larger bigger higher longer",
        "<less>": "less under below fewer smaller lower shorter cheaper",
        "<not>": "not no never without none lacking missing except excluding neither nor lack lacks isn't aren't don't doesn't didn't haven't hasn't wasn't weren't cannot",
        "<before>": "before until",
        "<after>": "after since",
        "<between>": "between",
        "<last>": "last latest newest recent recently past previous",
        "<first>": "first earliest oldest",
        "<average>": "average avg mean typical typically",
        "<total>": "total sum altogether combined overall totals",
        "<count>": "many count number counts",
        "<each>": "each every per",
        "<share>": "percent percentage share ratio proportion rate fraction",
        "<distinct>": "different distinct unique",
        "<only>": "only just solely",
        "<or>": "or either",
        "<now>": "now today current currently",
        "<this>": "this",
        "<next>": "next upcoming",
    }.items()
    for word in words.split()
}
_TIMES = word_set(
    "day days week weeks month months quarter quarters year years hour hours minute minutes yesterday tomorrow tonight morning "
    "january february march april may june july august september october november december monday tuesday wednesday thursday friday "
    "saturday sunday spring summer autumn winter"
)
_TIME_STEMS = frozenset(map(stem, _TIMES))
# They change nothing about what is asked.
_EMPTY = word_set(
    "please hi hello hey so ok okay well actually currently can could would will you your i we us me my our tell show list give get find "
    "display need want like know see let lets check look pull fetch print return there exist exists have has had do does did is are was were "
    "be been being what what's whats which who whom how's that those these the a an of for in on at to with from by and as it its their them "
    "all any some database system data currently right here records record entries entry rows row much how whose located based registered recorded listed stored given give gives gave giving "
    "away go goes going went come comes came bring brings brought sit sits sitting according up out off far ever they they're we've we're "
    "you've i'd it's there's"
)
_ALIKE = 0.5
_BETWEEN = " was answered by this SQL: "
_EXAMPLE = re.compile(
    rf'^(?P<begin>Worked|Confirmed) example: (?P<question>"(?:[^"\\]|\\.)*"){_BETWEEN}(?P<sql>.+)$', re.DOTALL
)
_PLAIN_NUMBERS = ("0", "1", "100", "100.0")  # of nothing, of one, of a share


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int

    @property
    def low(self) -> str:
        return self.text.casefold().replace("\u2019", "'")


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant of the SQL: its value, where it stands, and whether it is written in quotes."""

    value: str
    start: int
    end: int
    quoted: bool


@dataclass(frozen=True, slots=True)
class _Slot:
    """A part of the question, tokens `first` to `last` (exclusive), that the SQL holds as `value`."""

    first: int
    last: int
    value: str
    label: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """The SQL for a new question, and whether that differs from the example only in constants; else it is another wording."""

    sql: str
    exact: bool
    likeness: float = 1.0


def text_of(question: str, sql: str) -> str:
    """Return the content of a skill's memory."""
    return f"Worked example: {json.dumps(question, ensure_ascii=False)}{_BETWEEN}{sql}"


def example_in(text: str) -> WorkedExample | None:
    """Return the example in a skill's text, or None if it holds none."""
    match = _EXAMPLE.match(text)
    if match is None:
        return None
    try:
        return WorkedExample(str(json.loads(match["question"])), match["sql"], confirmed=match["begin"] == "Confirmed")
    except ValueError:
        return None


class WorkedExample:
    """A question and the SQL that answered it; `confirmed` by a human, or by several conversations."""

    def __init__(self, question: str, sql: str, *, confirmed: bool = False) -> None:
        self.question, self.sql, self.confirmed = question, sql, confirmed
        self._tokens = _tokens(question)
        self._constants = _constants(sql)
        self._slots = _slots(self._tokens, self._constants)

    @property
    def family(self) -> str:
        """The question with a mark in the place of each constant, and without what changes nothing."""
        return " ".join(part for part, _ in self._parts())

    @property
    def shape(self) -> str:
        """The SQL with a mark in the place of each constant that the question names, in single spaces."""
        return " ".join(self._filled({slot.value: _MARK for slot in self._slots}, raw=True).split())

    def apply(self, question: str, values: Values) -> Applied | None:
        """Return the SQL for another question, or None if it asks something else.

        `values` returns a column's value for a word that is one.
        """
        asked = _tokens(question)
        found = self._exactly(asked, values)
        if found is not None:
            return Applied(self._filled(found), exact=True)
        return self._in_other_words(asked, values)

    def _parts(self) -> Iterator[tuple[str, _Slot | None]]:
        at = 0
        while at < len(self._tokens):
            slot = next((one for one in self._slots if one.first == at), None)
            if slot is not None:
                yield ("#" if not _quoted_in(self._constants, slot.value) else "?"), slot
                at = slot.last
                continue
            token = self._tokens[at]
            if not _is_empty(token):
                yield _canonical(token), None
            at += 1

    def _exactly(self, asked: Sequence[_Token], values: Values) -> dict[str, str] | None:
        """Return the new value of each constant if the questions differ in nothing else."""
        parts, words = list(self._parts()), [token for token in asked if not _is_empty(token)]
        return next(_aligned(parts, words, {}, self._constants, values), None)

    def _in_other_words(self, asked: Sequence[_Token], values: Values) -> Applied | None:
        numbers, names, rest = _split(asked, values)
        own_numbers, own_names, own_rest = _split(self._tokens, values)
        found: dict[str, str] = {}
        for mine, theirs in ((own_numbers, numbers), (own_names, names)):
            if len(mine) != len(theirs):
                return None
            slots = {slot.value.casefold() for slot in self._slots}
            changed = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.casefold() != b.casefold()]
            # Which of several stands where is not to be guessed.
            if len(changed) > 1 or any(a.casefold() not in slots for a, _ in changed):
                if sorted(map(str.casefold, mine)) != sorted(map(str.casefold, theirs)):
                    return None
                changed = []
            found |= {
                slot.value: b for a, b in changed for slot in self._slots if slot.value.casefold() == a.casefold()
            }
        likeness = _likeness(own_rest, rest)
        # Another value and other words at once would be two guesses.
        least = 1.0 if any(new.casefold() != old.casefold() for old, new in found.items()) else _ALIKE
        return Applied(self._filled(found), exact=False, likeness=likeness) if likeness >= least else None

    def _filled(self, new: dict[str, str], *, raw: bool = False) -> str:
        pieces, at = [], 0
        for constant in self._constants:
            if constant.value in new:
                value = new[constant.value]
                pieces += [
                    self.sql[at : constant.start],
                    value.replace("'", "''") if constant.quoted and not raw else value,
                ]
                at = constant.end
        return "".join([*pieces, self.sql[at:]])


def explains(sql: str, words: str) -> bool:
    """Return whether each constant of an SQL text stands in `words`. None is hidden where constants cannot be read."""
    if _UNREAD.search(sql):
        return False
    said = words.casefold()
    numbers = {number for token in _tokens(words) if (number := _number(token)) is not None}
    return all(
        one.value.casefold() in said if one.quoted else one.value in numbers or one.value in _PLAIN_NUMBERS
        for one in _constants(sql)
    )


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind, raw = str(match.lastgroup), match.group()
        shown = raw[1:-1] if kind == "quoted" else raw
        if kind == "word":
            shown = re.sub(r"(?i)['\u2019]s$", "", raw)
        if kind == "number":
            shown = raw.lstrip("$€£").replace(",", "")
        found.append(_Token(kind, shown, match.start(), match.end()))
    return found


def _constants(sql: str) -> list[_Constant]:
    """Return the constants of an SQL text by their places; a pattern counts without its wildcards at both ends."""
    found: list[_Constant] = []
    if _UNREAD.search(sql):
        return found
    for match in _LITERAL.finditer(sql):
        text = match.group()
        if text.startswith('"'):
            continue
        if not text.startswith("'"):
            found.append(_Constant(text, match.start(), match.end(), quoted=False))
            continue
        inner = text[1:-1]
        unit = _UNIT_NUMBER.fullmatch(inner)
        if unit:
            found.append(_Constant(unit[1], match.start() + 1, match.start() + 1 + len(unit[1]), quoted=False))
            continue
        left = len(inner) - len(inner.lstrip("%"))
        bare = inner.strip("%")
        if bare:
            start = match.start() + 1 + left
            found.append(_Constant(bare.replace("''", "'"), start, start + len(bare), quoted=True))
    return found


def _slots(tokens: Sequence[_Token], constants: Sequence[_Constant]) -> list[_Slot]:
    """Return the parts of a question that the SQL holds as constants, each place once, the longest first."""
    slots: list[_Slot] = []
    taken: set[int] = set()
    for constant in sorted(constants, key=lambda one: -len(one.value)):
        for first, last in _places(tokens, constant):
            if taken.isdisjoint(range(first, last)) and all(slot.value != constant.value for slot in slots):
                taken.update(range(first, last))
                slots.append(_Slot(first, last, constant.value, label=_is_label(tokens, first, last)))
                break
    return slots


def _places(tokens: Sequence[_Token], constant: _Constant) -> Iterator[tuple[int, int]]:
    wanted = " ".join(constant.value.casefold().split())
    for first in range(len(tokens)):
        if not constant.quoted and _number(tokens[first]) == constant.value:
            yield first, first + 1
        if constant.quoted:
            for last in range(first + 1, min(first + _LONGEST_VALUE, len(tokens)) + 1):
                if " ".join(token.low for token in tokens[first:last]) == wanted:
                    yield first, last


def _is_label(tokens: Sequence[_Token], first: int, last: int) -> bool:
    """Return whether a value is written as a plain word, and so could be any word: not a name, quoted, or a number."""
    return all(token.kind == "word" and token.text == token.text.lower() for token in tokens[first:last])


def _number(token: _Token) -> str | None:
    return token.text if token.kind == "number" else _NUMBER_WORDS.get(token.low) if token.kind == "word" else None


def _quoted_in(constants: Sequence[_Constant], value: str) -> bool:
    return any(one.value == value and one.quoted for one in constants)


def _is_empty(token: _Token) -> bool:
    return token.kind == "word" and token.low in _EMPTY and not token.text.isupper()


def _canonical(token: _Token) -> str:
    if token.kind != "word":
        return token.low
    return _NUMBER_WORDS.get(token.low) or _GROUPS.get(token.low) or stem(token.low)


def _aligned(
    parts: Sequence[tuple[str, _Slot | None]],
    words: Sequence[_Token],
    found: dict[str, str],
    constants: Sequence[_Constant],
    values: Values,
) -> Iterator[dict[str, str]]:
    """Yield the values of the slots with which the words are the parts."""
    if not parts:
        if not words:
            yield found
        return
    part, slot = parts[0]
    if slot is None:
        if words and _canonical(words[0]) == part:
            yield from _aligned(parts[1:], words[1:], found, constants, values)
        return
    for last in range(1, min(_LONGEST_VALUE, len(words)) + 1):
        value = _value(words[:last], slot, _quoted_in(constants, slot.value), values)
        if value is not None:
            yield from _aligned(parts[1:], words[last:], {**found, slot.value: value}, constants, values)


def _value(words: Sequence[_Token], slot: _Slot, quoted: bool, values: Values) -> str | None:  # noqa: FBT001  # a part of its slot
    """Return what the words say in the place of a constant, or None if they may say something else."""
    if not quoted:
        return _number(words[0]) if len(words) == 1 else None
    if len(words) == 1 and words[0].kind in ("quoted", "date"):
        return words[0].text if words[0].kind == "quoted" or re.fullmatch(r"\d{4}-\d\d-\d\d", slot.value) else None
    text = " ".join(word.text for word in words)
    if text.casefold() == slot.value.casefold():
        return slot.value
    if slot.label:
        return values(text)
    if re.fullmatch(r"[\d.\-:/ ]+", slot.value):  # a code or a time is not replaced by a word
        return None
    named = all(word.text[:1].isupper() or word.kind == "number" for word in (words[0], words[-1]))
    plain = any(word.low in _GROUPS or word.low in _TIMES or word.low in STOP_WORDS for word in words)
    return values(text) or (text if named and not plain else None)


def _split(tokens: Sequence[_Token], values: Values) -> tuple[list[str], list[str], set[str]]:
    """Return the numbers, the names and values, and all other words of a question that say something."""
    numbers: list[str] = []
    names: list[str] = []
    rest: set[str] = set()
    run: list[str] = []
    for at, token in enumerate([*tokens, _Token("end", "", 0, 0)]):
        is_name = token.kind == "word" and at > 0 and token.text[:1].isupper() and not token.text.isupper()
        if is_name and token.low not in _GROUPS and token.low not in _TIMES and not _is_empty(token):
            run.append(token.text)
            continue
        if run:
            names.append(" ".join(run))
            run = []
        number = _number(token)
        if number is not None:
            numbers.append(number)
        elif token.kind in ("quoted", "date"):
            names.append(token.text)
        elif token.kind == "word" and (value := values(token.text)) is not None:
            names.append(value)
        elif token.kind == "word":
            rest.add(_canonical(token))
    rest -= {stem(word) for word in _EMPTY} | _EMPTY
    return numbers, names, {word for word in rest if word.startswith("<") or word not in STOP_WORDS}


def _likeness(own: set[str], asked: set[str]) -> float:
    """Return how alike two questions' words are: 1 for the same words, less for synonyms; 0 if they ask different things.

    A word that the other question has neither by itself nor as a synonym makes another question: "arriving" is not "departing",
    and "gold clients" are not all clients. A word that decides must be the same in both.
    """
    differing = own ^ asked
    decided = any(word.startswith("<") or word in _TIME_STEMS for word in differing)
    strange = any(not related(word) & (asked if word in own else own) for word in differing)
    if decided or strange or not own & asked:
        return 0.0
    return (len(own & asked) + 0.8 * len(differing)) / len(own | asked)
