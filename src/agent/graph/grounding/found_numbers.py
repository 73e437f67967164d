"""Look the numbers, days and times of an answer up in its evidence, and in what follows from that by simple arithmetic. Pure.

What an offer or a question says states nothing. Two numbers are added, subtracted or divided only if the sentence speaks of that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from agent.graph.grounding import cues
from agent.graph.grounding.derived_numbers import (
    Pool,
    Table,
    clock_spans,
    counts_of,
    days_of,
    effects_of,
    few_numbers,
    numbers_in_texts,
    numbers_of,
    pairable,
    pairs,
    partial_shares,
    sums_of,
)
from agent.graph.grounding.evidence import Evidence, readings_of_day
from agent.graph.grounding.number_words import (
    Reading,
    Stated,
    StatedDate,
    StatedTime,
    dates_in,
    every_number,
    lengths_in,
    numbers_in,
    times_in,
    without_code,
)
from agent.text.words import stems
from agent.types import ToolResult

_MOST_DAYS = 60
_LONGEST_SENTENCE = 1_000
_MOST_FACTORS = 40
_NEAR = 300
_QUOTABLE = 4
_FEW = 10
_PHONE_DIGITS = 7
# So many units of the last digit make a number of three digits.
_EXACT = 100
# A number of so many units of its last digit does not follow from others by chance.
_PRECISE = 2000


def unfound_numbers(answer: str, evidence: Evidence) -> list[str]:
    """Return the numbers, days and times of an answer that are in none of its evidence and do not follow from it, as written."""
    text = _without_quotes(without_code(answer), evidence)
    if not evidence.calls and not cues.ABOUT_DATA.search(f"{cues.GENERAL.sub('', answer)}\n{evidence.question}"):
        return []
    if not evidence.calls and cues.GENERAL.search(evidence.question):
        return []
    finder = _Finder(text, evidence)
    unfound = _unfound(text, finder)
    if unfound and finder.goes_on():
        unfound = _unfound(text, finder)
    return list(dict.fromkeys(unfound))


def _unfound(text: str, finder: _Finder) -> list[str]:
    unfound: list[str] = []
    for sentence in _sentences(text):
        if cues.OFFER.search(sentence) or sentence.rstrip().endswith("?"):
            continue
        days, without_days = dates_in(sentence)
        times, without_times = times_in(without_days)
        lengths, rest = lengths_in(without_times)
        unfound += [day.text for day in days if not finder.day(day)]
        unfound += [time.text for time in times if not finder.time(time)]
        unfound += [length.text for length in lengths if not finder.length(length)]
        unfound += finder.numbers(rest, listed=cues.LINE_OF_LIST.match(sentence) is not None)
    return unfound


def _without_quotes(text: str, evidence: Evidence) -> str:
    """Return an answer without the texts that it repeats from cells as they stand there: names, codes, times, addresses."""
    cells = {cell for table in evidence.tables for row in table.rows for cell in row if isinstance(cell, str)}
    quoted = [
        cell
        for cell in cells
        if _QUOTABLE <= len(cell) <= len(text) and re.search(r"\d", cell) and re.search(r"[^\d.,\s-]", cell)
    ]
    for cell in sorted(quoted, key=len, reverse=True):
        if cell in text:
            text = re.sub(rf"(?<!\w){re.escape(cell)}(?!\w)", " ", text)
    digits = [re.sub(r"\D", "", str(cell)) for table in evidence.tables for row in table.rows for cell in row]
    known = {run.lstrip("0") for run in digits if _PHONE_DIGITS <= len(run) <= 2 * _PHONE_DIGITS}
    return cues.PHONE.sub(lambda found: " " if re.sub(r"\D", "", found[0]).lstrip("0") in known else found[0], text)


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in [*(match.start() for match in cues.SENTENCE.finditer(text)), len(text)]:
        yield from (part for part in _parts(text[start:end]) if part.strip())
        start = end


def _parts(sentence: str) -> Iterator[str]:
    """Yield a sentence, a very long one in parts: each number of a part is compared with each other one."""
    while len(sentence) > _LONGEST_SENTENCE:
        end = max(sentence.rfind(" ", 0, _LONGEST_SENTENCE), _LONGEST_SENTENCE // 2)
        yield sentence[:end]
        sentence = sentence[end:]
    yield sentence


@lru_cache(maxsize=64)
def _says(cue: re.Pattern[str], text: str) -> bool:
    """Return whether a text holds a cue; each number of a sentence asks for the same ones."""
    return cue.search(text) is not None


class _Finder:
    """Looks stated numbers up in the evidence, and in what follows from it."""

    def __init__(self, answer: str, evidence: Evidence) -> None:
        self._evidence, self._answer = evidence, answer
        calls = (*evidence.earlier_calls, *evidence.calls)
        self._given, self._counted, self._summed, self._pairs = Pool(), Pool(), Pool(), Pool()
        self._ratios, self._said = Pool(), Pool()
        self._shares, self._shown_pairs, self._spans = Pool(), Pool(), Pool()
        self._spans.add((first - second).total_seconds() for first in evidence.moments for second in evidence.moments)
        self._days: set[date] = set()
        self._derived: list[float] = []
        self._scaled, self._few = Pool(), Pool()
        texts = [*evidence.texts, str(evidence.today.year)]
        self._said.add(number for text in texts for number in every_number(text))
        self._said.add(number for call in calls for number in numbers_of(call.arguments))
        self._said.add(number for call in calls for number in _lengths(call.arguments))
        self._given.add(self._said.values)
        for call in calls:
            self._given.add(numbers_of(_facts_of(call.result)))
        for table in evidence.tables:
            self._counted.add(counts_of(table))
            self._counted.add(_named_counts(table, answer))
            self._summed.add(sums_of(table))
            self._spans.add(clock_spans(table))
            self._ratios.add(partial_shares(table))
        self._counted.add(_line_counts(answer))
        messages = [str(call.result.get("message") or "") for call in calls]
        self._counted.add(count for text in (*messages, *evidence.context) for count in _block_counts(text))
        self._summed.add(effects_of(messages))
        self._described = any("\n" in message for message in messages)
        self._add_pairs()

    def _add_pairs(self) -> None:
        shown = [one for one in numbers_in(self._answer) if not one.in_words]
        found = [*(one.readings[-1].value for one in shown if self._is_direct(one)), *self._derived]
        texts = (self._evidence.question, *self._evidence.memories)
        said = [number for text in texts for number in every_number(text)]
        groups = pairable(self._evidence.tables)
        single = groups[-1]
        self._add_scaled([*few_numbers(self._evidence.tables), *said], found)
        self._add_shares([*single, *said, *found][: 2 * _FEW], "\n".join([*texts, self._answer]))
        if len(found) + len(said) <= _FEW:
            self._shown_pairs.add(number for a, b in pairs([[*found, *said]]) for number in (a - b, a + b))
        both = set(pairs([*groups, numbers_in_texts(self._evidence.tables), found, [*single, *said]]))
        self._pairs.add(number for a, b in both for number in (a - b, a + b))
        self._pairs.add([sum(found)] if len(found) > 1 else [])
        self._ratios.add(ratio for a, b in both if b for ratio in (a / b, (a - b) / b))

    def _add_scaled(self, few: list[float], found: list[float]) -> None:
        """Add what numbers are for another period, be they whole or in hundredths."""
        self._few.add([*few, *self._derived])
        factors = {factor * part for period in cues.PERIODS for factor in (period, 1 / period) for part in (1, 0.01)}
        self._scaled.add(base * factor for base in (*few, *found) for factor in factors)

    def _add_shares(self, bases: list[float], text: str) -> None:
        """Add the shares of numbers, by the percentages of the text that the evidence holds."""
        shares = [float(share[1].replace(",", ".")) for share in cues.PERCENT.finditer(text)]
        percents = [share for share in shares if self._given.holds(share, 0)][:_FEW]
        self._shares.add(base * factor for base in bases for percent in percents for factor in _factors(percent))

    def goes_on(self) -> bool:
        """Let what was found be added, compared and shared further, as an answer does that goes on from its own sums."""
        if not self._derived:
            return False
        self._derived = list(dict.fromkeys(self._derived))[: 2 * _FEW]
        self._add_pairs()
        return True

    def _is_direct(self, one: Stated) -> bool:
        pools = (self._given, self._counted, self._summed)
        return any(pool.holds(reading.value, 0.5 * reading.step * 0.999) for pool in pools for reading in one.readings)

    def numbers(self, sentence: str, *, listed: bool) -> list[str]:
        """Return the numbers of a sentence that are not found, as written."""
        around = self._answer if listed else sentence
        unfound: list[Stated] = []
        stated = numbers_in(sentence)
        joined = [one for one in stated if " " in one.text and not one.in_words and one.text[-1:].isdigit()]
        for one in stated:
            inside = next(
                (whole for whole in joined if whole is not one and whole.start <= one.start < whole.end), None
            )
            if (
                one in joined
                or self._is_ratio(one, sentence)
                or (one.in_words and not self._is_counted_noun(one, sentence))
            ):
                continue
            if self._is_general_year(one, sentence):
                continue
            if self._found(one, sentence, around) or (inside is not None and self._found(inside, sentence, around)):
                self._derived.append(one.readings[0].value)
                continue
            unfound.append(one)
        return [one.text.strip() for one in unfound]

    def _is_general_year(self, one: Stated, sentence: str) -> bool:
        """Return whether a number is a year, where no result holds any."""
        if (
            one.readings[0].value not in cues.YEARS
            or len(one.text) != 4
            or not cues.BEFORE_YEAR.search(sentence[: one.start])
        ):
            return False
        return not any(
            int(number) in cues.YEARS for table in self._evidence.tables for number in numbers_of(table.rows)
        )

    def _is_ratio(self, one: Stated, sentence: str) -> bool:
        """Return whether a number is a part of one like "3 in 10" that says a share of the evidence."""
        for match in cues.PART_OF.finditer(sentence):
            part, whole = (float(match[name]) for name in ("part", "whole"))
            if match.start() <= one.start < match.end() and whole and part <= whole:
                return any(pool.holds(part / whole, 0.5 / whole) for pool in (self._given, self._ratios))
        return False

    def _is_counted_noun(self, one: Stated, sentence: str) -> bool:
        """Return whether a number in words counts what the question or a statement names: only then it is a fact."""
        if one.readings[0].value < 2 or self._described:
            return False
        words = re.findall(r"\w+", sentence[one.end :])
        following = stems(" ".join(words[: 4 if words[:1] == ["of"] else 2]))
        names = [name for table in self._evidence.tables for name in table.columns]
        known = stems(
            " ".join([self._evidence.question, *names, *(str(call.arguments) for call in self._evidence.calls)])
        )
        return bool({*following} & {*known})

    def _found(self, one: Stated, sentence: str, around: str) -> bool:
        before, after = sentence[max(0, one.start - _NEAR) : one.start], sentence[one.end :][:_NEAR]
        readings = list(one.readings)
        loose = (
            bool(cues.LOOSE.search(before)) or after.lstrip().startswith(("+", "or so")) or not one.text[-1:].isdigit()
        )
        if loose and one.unit != "%":
            readings += [Reading(value=reading.value, step=_coarse(reading)) for reading in one.readings]
        return any(self._follows(reading, one.unit, before, after, around) for reading in readings) or self._is_product(
            one, sentence
        )

    def _is_product(self, one: Stated, sentence: str) -> bool:
        """Return whether a number is a given one times another of its sentence, such as eight hours at a rate."""
        others = {
            other.readings[0].value
            for other in numbers_in(re.sub(r"(?<=\w)-(?=[^\W\d])", " ", sentence))[:_MOST_FACTORS]
            if other.text != one.text and other.unit != "%"
        }
        return any(
            other > 1
            and any(pool.holds(reading.value / other, 0.5 * reading.step / other) for pool in (self._said, self._few))
            for other in others
            for reading in one.readings
        )

    def _follows(self, reading: Reading, unit: str, before: str, after: str, around: str) -> bool:
        value = reading.value
        # A number with decimals may have been cut instead of rounded.
        within = reading.step * 0.999 if reading.step < 1 else 0.5 * reading.step
        if self._given.holds(value, within) and not self._counts_a_part(value, around):
            return True
        if unit == "%":
            return self._is_share(value, 0.5 * reading.step)
        return (
            self._counted.holds(value, 0)
            or self._summed.holds(value, within)
            or self._combines(value, within, f"{around}\n{self._evidence.question}", times=unit == "x")
            or self._in_other_units(value, within, unit, before, after)
        )

    def _is_share(self, percent: float, within: float) -> bool:
        share, near = percent / 100, within / 100
        shares = (self._ratios, self._given, self._summed)
        return any(pool.holds(share, near) for pool in shares) or (
            self._ratios.holds(1 - share, near)
            or self._pairs.holds(percent, within)
            or self._summed.holds(percent, within)
        )

    def _combines(self, value: float, within: float, around: str, *, times: bool) -> bool:
        """Return whether a number follows from two others, and has many digits or words around it that say so."""
        if self._shares.holds(value, within) or self._shown_pairs.holds(value, within):
            return True
        precise = value >= _PRECISE * within or not _says(cues.ENGLISH, self._answer)  # the words are English
        if (precise or _says(cues.COMPARED, around) or _says(cues.ADDED, around)) and self._pairs.holds(value, within):
            return True
        return bool(precise or times or _says(cues.SHARED, around)) and self._ratios.holds(value, within)

    def _counts_a_part(self, value: float, around: str) -> bool:
        """Return whether a number is only how many rows a cut result shows, and the sentence does not say that there are more."""
        cut = [call.result for call in self._evidence.calls if call.result.get("truncated")]
        if not cut or _says(cues.CUT_SHORT, around):
            return False
        shown = {
            float(size) for result in cut for size in (len(result.get("rows") or ()), result.get("row_count") or 0)
        }
        cells = Pool()
        for call in self._evidence.calls:
            cells.add(numbers_of([call.result.get("rows"), call.result.get("data")]))
        return value in shown and not cells.holds(value, 0)

    def _in_other_units(self, value: float, within: float, unit: str, before: str, after: str) -> bool:
        """Return whether a number is another one in another unit: of time, of size, of money, or for another period."""
        pools = (self._given, self._summed)
        if cues.TIME_UNIT.match(after) or unit in cues.SHORT_UNITS:
            lasts = any(self._spans.holds(value * factor, within * factor) for factor in (1, 60, 3600, 86_400))
            if lasts or self._is_span(value, within) or _holds_scaled((*pools, self._pairs), value, within, cues.UNITS):
                return True
        if cues.PERIOD.search(f"{before} {after}") and self._scaled.holds(value, within):
            return True
        if len(self._evidence.days) <= _FEW and _says(cues.AGE, self._answer) and self._is_span(value, within):
            return True
        exact = cues.MONEY.search(before) or cues.MONEY_AFTER.match(after) or within < 0.5 or value % 1000 == 0
        return bool(exact) and _holds_scaled(pools, value, within, (100, 1000))

    def _is_span(self, value: float, within: float) -> bool:
        """Return whether a number is the days, weeks, months or years between two days of the evidence."""
        days = sorted({*self._evidence.days, *self._days})[-_MOST_DAYS:]
        spans = Pool()
        spans.add((first - second).days / unit for first in days for second in days for unit in (1, 7, 30.44, 365.25))
        return spans.holds(value, max(within, 1.0))

    def day(self, stated: StatedDate) -> bool:
        """Return whether a day is in the evidence, or bounds a month, a year or a span that is."""
        days = self._evidence.days
        if any(
            (stated.year in {None, day.year})
            and (
                (stated.month, stated.day) == (day.month, day.day)
                or (stated.swapped and (stated.day, stated.month) == (day.month, day.day))
            )
            for day in days
        ):
            return True
        found = [day for day in readings_of_day(stated, self._evidence.today) if self._bounds(day, days)]
        self._days.update(found)
        return bool(found)

    def _bounds(self, day: date, days: set[date]) -> bool:
        asked = days_of(str(call.arguments) for call in self._evidence.calls)
        if {day + timedelta(days=1), day - timedelta(days=1)} & asked:
            return True
        first_or_last = day.day == 1 or (day + timedelta(days=1)).day == 1
        if first_or_last and self._given.holds(day.year, 0):
            return True
        bases = days if len(days) <= _MOST_DAYS else {self._evidence.today, *asked}
        if any(
            self._few.holds(months, 0) or self._few.holds(months / 12, 0)
            for base in {*bases, *self._days}
            if (months := _months_between(base, day))
        ):
            return True
        return any(self._said.holds(abs((day - base).days), 0) for base in bases)

    def time(self, stated: StatedTime) -> bool:
        """Return whether a time of day, or a length, is in the evidence."""
        if all(self._given.holds(part, 0) for part in (stated.first, stated.second)):
            return True
        if all(self._given.holds(part, 0) for part in divmod(stated.minutes, 60)):
            return True
        if any(moment.minute == stated.second for moment in self._evidence.moments):
            return True  # perhaps in another time zone
        return self._lasts(60 * stated.first + stated.second, 0.999) or self._lasts(60 * stated.minutes, 60)

    def length(self, stated: Stated) -> bool:
        """Return whether a length of time, in seconds, is in the evidence, in whatever unit, or is the sum of what is."""
        return any(self._lasts(reading.value, reading.step * 0.999) for reading in stated.readings)

    def _lasts(self, seconds: float, within: float) -> bool:
        factors = (1, 1000, 1 / 60, 1 / 3600, 1 / 86_400)
        pools = (self._given, self._summed, self._pairs, self._spans)
        return any(pool.holds(seconds * factor, within * factor) for pool in pools for factor in factors)


def _block_counts(text: str) -> Iterator[float]:
    """Yield how many lines of a description begin with the same word, such as TABLE, and how many lines stand under each of them."""
    lines = [line for line in text.splitlines() if line.strip()]
    yield from map(float, Counter(line.split()[0] for line in lines if not line[0].isspace()).values())
    under = 0
    for line in [*lines, "end"]:
        if line[0].isspace():
            under += 1
        elif under:
            yield float(under)
            under = 0


def _holds_scaled(pools: Iterable[Pool], value: float, within: float, units: Iterable[float]) -> bool:
    factors = [factor for unit in units for factor in (unit, 1 / unit)]
    return any(pool.holds(value * factor, within * factor) for pool in pools for factor in factors)


def _months_between(first: date, second: date) -> int:
    """Return how many whole months are between two days, or 0; the last day of a term counts as the next."""
    for day in (second, second + timedelta(days=1)):
        if day.day == first.day:
            return abs(12 * (day.year - first.year) + day.month - first.month)
    return 0


def _factors(percent: float) -> tuple[float, ...]:
    """Return by what a number is multiplied to be a share of it, more by that share, less by it, or what it was before."""
    share = percent / 100
    return (share, 1 + share, 1 - share, 1 / (1 + share))


def _coarse(reading: Reading) -> float:
    """Return the unit of a rounded number: 1,200 is about everything from 1,150 to 1,250."""
    step = reading.step
    while reading.value and reading.value % (step * 10) == 0 and step * 10 <= reading.value:
        step *= 10
    if step > reading.step:
        return step
    return max(reading.step, reading.value * (0.1 if reading.value < _EXACT * reading.step else 0.01))


def _facts_of(result: ToolResult) -> dict[str, Any]:
    """Return what a result says, without its flags."""
    return {name: value for name, value in result.items() if name not in {"truncated", "success"}}


def _lengths(arguments: Mapping[str, Any]) -> Iterator[float]:
    """Yield how many items the lists of arguments have, such as the addresses of a mail."""
    yield from (float(len(value)) for value in arguments.values() if isinstance(value, list))


def _named_counts(table: Table, answer: str) -> Iterator[float]:
    """Yield of how many rows the answer names a cell, and in how many rows each of its longer words stands."""
    lowered = answer.lower()
    for place in range(len(table.columns)):
        cells = [str(cell).lower() for cell in table.column(place) if isinstance(cell, str) and len(str(cell)) > 1]
        yield float(sum(cell in lowered for cell in {*cells}))
    if table.whole:
        lines = [" ".join(str(cell).lower() for cell in row) for row in table.rows]
        for word in set(re.findall(r"[^\W\d_]{4,}", lowered)):
            yield float(sum(word in line for line in lines))


def _line_counts(answer: str) -> Iterator[float]:
    """Yield how many lines the lists and tables of an answer have."""
    lines = [line for line in answer.splitlines() if cues.LINE_OF_LIST.match(line)]
    rows = [line for line in lines if line.lstrip().startswith("|")]
    yield float(len(lines) - len(rows))
    yield float(max(0, len(rows) - 2))
