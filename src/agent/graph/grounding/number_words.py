"""Read the numbers and dates that a text states, in figures and in words. Pure.

A number has several readings where its separators have (1.234 is a thousand in one country and about one in another). Codes
(`v2`, `a3f9`), ordinals of a list, names of standards and text in code fences state no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from agent.text import calendar_words

_UP_TO_NINETEEN = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    """
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = dict(zip(_TENS_WORDS.split(), range(20, 100, 10), strict=True))
_WORDS = {**{word: value for value, word in enumerate(_UP_TO_NINETEEN.split())}, **_TENS, "dozen": 12}
MONTHS = {
    name[:length]: number for number, name in enumerate(calendar_words.MONTHS, 1) for length in (3, len(name))
} | {"sept": 9}
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
_SCALES |= dict.fromkeys(["tsd", "tausend", "mille", "mil", "mila", "tys", "duizend", "тыс"], 1e3)
_SCALES |= dict.fromkeys(
    ["mio", "million", "millionen", "millions", "millones", "milioni", "milhões", "miljoen", "mln", "млн"], 1e6
)
_SCALES |= dict.fromkeys(
    ["mrd", "milliarde", "milliarden", "milliard", "milliards", "miliardi", "mld", "miljard", "млрд"], 1e9
) | {
    "万": 1e4,
    "億": 1e8,
    "亿": 1e8,
}
_SCALE_WORDS = "|".join(sorted((word for word in _SCALES if len(word) > 2), key=len, reverse=True))
_FIGURES = re.compile(
    r"(?<![\w.,])(?<!\d['\u2019])(?P<figures>\d{1,3}(?:[,.'\u2019\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?(?![.,]?\d))"
    rf"(?P<after>\s?%|(?:[-\u00a0 ])?(?:percent(?:age)?|{_SCALE_WORDS})\b|\s?[万億亿]|(?:k|m|mn|bn|x|th|st|nd|rd)\b|[^\W\d_]*)",
    re.IGNORECASE,
)
_SPACED = re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?![\d])")
_WORD = re.compile(
    rf"(?<![\w-])(?P<tens>(?:{'|'.join(_TENS)})[- ])?(?P<word>{'|'.join(sorted(_WORDS, key=len, reverse=True))})(?![\w-])",
    re.IGNORECASE,
)
_ANY_FIGURES = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*")
_LONGEST = 40
_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_CODE = re.compile(r"`([^`\n]*)`")
_HEX = re.compile(
    r"\b(?=[\da-fA-F-]*\d)[\da-fA-F]{4,}(?:-[\da-fA-F]{4,}){2,}\b|\b(?=\w*\d)(?=\w*[a-fA-F])[\da-fA-F]{7,}\b"
)
_LINK = re.compile(r"\b(?:https?|postgres(?:ql)?)://\S+")
_EAST = "\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"  # letters that need no space before digits
_PERCENT_BEFORE = re.compile(r"(?<![\w%])%\s?(\d+(?:[.,]\d+)?)(?!\s?%)")
_BESIDE_EAST = re.compile(rf"(?<=[{_EAST}])(?=\d)|(?<=\d)(?=[{_EAST}])")
_SCALE = re.compile(
    r"(?<=\d)(?:\s?/\s?|\s+(?:out )?of\s+)(?:5|10)\b(?=\s+(?:stars?|points)\b)|\b24/7\b|\bp\s?[=<>\u2248]\s?0?\.\d+"
)
_ORDINAL = re.compile(
    r"^[ \t>*_-]*(?:\d{1,3}[.)]|\|\s*\*{0,2}#?\d{1,3}\.?\*{0,2}\s*(?=\|.*\|))(?=[ \t]+\S|\s*\|)", re.MULTILINE
)
_NAMED = re.compile(
    r"\b(?:ports?|errors?|sqlstate|steps?|options?|sections?|pages?|phases?|versions?|releases?|levels?|chapters?|rules?|questions?|figures?|"
    r"articles?|postgres(?:ql)?|python|windows|points?|parts?|ranks?|top)[ \u00a0.:-]*#?(?=\d{1,5}\b)(?P<figures>\d{1,5})(?!\d|\.\d|,\d{3}|\s*%)|(?<!\w)#\d{1,2}(?=\s*[:.)]?\s)",
    re.IGNORECASE,
)
# Digits that belong to a name: COVID-19, HTTP/2, SQL:2016, TLS 1.3, version 9.5; but EUR 500 is an amount.
_IN_NAMES = re.compile(
    r"(?<![\w.,-])(?=[\w-]*[A-Z])[^\W\d_][\w-]*[-/:]\d+(?:\.\d+)*(?![\w,]|\.\d|\s?%)|"
    r"\b(?!(?:EUR|USD|GBP|CHF|JPY|CNY|INR|BRL|CAD|AUD|SEK|NOK|DKK|PLN|CZK|HUF|AND|OR|IS|ARE)\b)[A-Z][A-Z0-9]+ \d+(?:\.\d+)*(?![\w,]|\.\d|\s?%)|"
    r"\b(?:versions?|releases?|postgres(?:ql)?|python|java|node|windows|android|ios|wi-?fi) \d+(?:\.\d+)*(?:(?:,| and| or) \d+(?:\.\d+)*)*(?![\w,]|\.\d|\s?%)"
)
_QUOTED = re.compile(
    r'"[^"\n]*\s[^"\n]*"|[\u201c\u201e][^\u201c\u201d\n]*\s[^\u201c\u201d\n]*[\u201c\u201d]|\u00ab[^\u00bb\n]*\s[^\u00bb\n]*\u00bb'
)
_DATES = (
    re.compile(r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"),
    re.compile(r"(?<![\d/])(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})(?![\d/])"),
    re.compile(r"(?<![\d.])(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?!\d)"),
    re.compile(r"(?<![\d/])(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})(?!\d)"),
    re.compile(rf"\b(?P<name>{_MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])(?:,?\s+(?P<year>\d{{4}})\b)?", re.IGNORECASE),
    re.compile(rf"(?<![\d.,])(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?(?P<name>{_MONTH})\b\.?(?:,?\s+(?P<year>\d{{4}})\b)?", re.IGNORECASE),
)  # fmt: skip
_YEAR_AND_MONTH = re.compile(r"(?<![\d-])(?P<year>\d{4})-(?P<month>\d{2})(?![\d-])")
_TIME = re.compile(
    r"(?<![\d:])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?\s*(?P<half>[ap]\.?m\b)?(?![\d:])",
    re.IGNORECASE,
)
_PARTS = {"h": 3600, "m": 60, "s": 1, "d": 86_400}
_LENGTH = re.compile(
    r"(?<![\d.,])(?P<first>\d+)\s*(?P<unit>days?|d|hours?|hrs?|h|minutes?|mins?|min|m)\b\.?,?\s*(?:and|und|et|y|e)?\s*"
    r"(?P<second>\d+)\s*(?P<below>hours?|hrs?|h|minutes?|mins?|min|m|seconds?|secs?|sec|s)\b",
    re.IGNORECASE,
)
_ZONE = re.compile(r"(?<=\d)[+-]\d{2}(?::?\d{2})?\b|\b(?:UTC|GMT)\s?[+-]\d{1,2}(?::\d{2})?\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number that a figure may mean; `step` is the unit of its last digit."""

    value: float
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A number that a text states: as written, its readings, the word or sign after it, and its place in the text."""

    text: str
    readings: tuple[Reading, ...]
    unit: str = ""
    start: int = 0
    end: int = 0
    in_words: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedDate:
    """A day that a text states; `year` is None where it says none, and `swapped` where day and month may be the other way."""

    text: str
    year: int | None
    month: int
    day: int
    swapped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedTime:
    """A time of day, or a length in minutes and seconds, as written; `minutes` is what it says on a clock of 24 hours."""

    text: str
    minutes: int
    first: int
    second: int


def without_code(text: str) -> str:
    """Return a text without code, quotations, addresses, names with digits and the ordinals of its lists; a number in code quotes stays."""
    text = _PERCENT_BEFORE.sub(r"\1 %", _BESIDE_EAST.sub(" ", text.replace("\u066a", "%")))
    text = _HEX.sub(" ", _LINK.sub(" ", _FENCED.sub("\n", text)))
    text = _CODE.sub(lambda found: found[1] if re.fullmatch(r"[-+$€£]?[\d.,' ]+\s?%?", found[1]) else " ", text)
    text = _IN_NAMES.sub(" ", _QUOTED.sub(" ", _SCALE.sub(" ", text)))
    text = re.sub(r"(?<=\d)\*\*|\*\*(?=[\d$€£+-])|__", "", text)
    return _ORDINAL.sub(lambda found: "|" if "|" in found[0] else " ", text)


def dates_in(text: str) -> tuple[list[StatedDate], str]:
    """Return the days that a text states, and the text without them."""
    found: list[StatedDate] = []

    def take(match: re.Match[str], *, swapped: bool) -> str:
        parts = match.groupdict()
        month = MONTHS[parts["name"].lower()] if parts.get("name") else int(parts["month"])
        year, day = int(parts["year"]) if parts.get("year") else None, int(parts["day"])
        if not (1 <= day <= 31 and 1 <= month <= (31 if swapped else 12)):
            return match[0]
        found.append(StatedDate(text=match[0].strip(), year=year, month=month, day=day, swapped=swapped))
        return " "

    for pattern in _DATES:
        text = pattern.sub(partial(take, swapped=pattern in _DATES[2:4]), text)
    return found, text


def times_in(text: str) -> tuple[list[StatedTime], str]:
    """Return the times that a text states, and the text without them and without time zones."""
    found: list[StatedTime] = []

    def take(match: re.Match[str]) -> str:
        hour, minute = int(match["hour"]), int(match["minute"])
        if match["half"] and match["half"].lower().startswith("p"):
            hour = hour % 12 + 12
        elif match["half"]:
            hour %= 12
        found.append(
            StatedTime(text=match[0].strip(), minutes=60 * hour + minute, first=int(match["hour"]), second=minute)
        )
        return " "

    text = _TIME.sub(take, text)
    return found, _ZONE.sub(" ", text)


def lengths_in(text: str) -> tuple[list[Stated], str]:
    """Return the lengths of time in two units that a text states, such as 5 min 44 s, in seconds, and the text without them."""
    found: list[Stated] = []

    def take(match: re.Match[str]) -> str:
        above, below = (_PARTS[match[name][0].lower()] for name in ("unit", "below"))
        if below >= above:
            return match[0]
        value = float(int(match["first"]) * above + int(match["second"]) * below)
        found.append(Stated(text=match[0], readings=(Reading(value=value, step=float(below)),), unit="s"))
        return " "

    return found, _LENGTH.sub(take, text) if _LENGTH.search(text) else text


@lru_cache(maxsize=64)
def numbers_in(text: str) -> tuple[Stated, ...]:
    """Return the numbers that a text without code and dates states, in figures or in words, in their order."""
    text = _NAMED.sub(lambda found: " " * len(found[0]), text)
    text = _YEAR_AND_MONTH.sub(lambda found: f"{found['year']} {'':2}", text)
    figures = [found for match in _FIGURES.finditer(text) if (found := _stated(match)) is not None]
    spaced = [
        Stated(text=match[0], readings=(_reading(match[0].replace(" ", "")),), start=match.start(), end=match.end())
        for match in _SPACED.finditer(text)
    ]
    words = [_worded(match) for match in _WORD.finditer(text)]
    return tuple(sorted([*figures, *spaced, *words], key=lambda one: (one.start, -one.end)))


def _stated(match: re.Match[str]) -> Stated | None:
    after = match["after"].strip().lstrip("-\u00a0")
    scale = _SCALES.get("" if after == "m" else after.lower(), 1.0)
    known = {"", "%", "percent", "percentage", "x", "th", "st", "nd", "rd"}
    attached = match["after"][:1].isalpha()
    units = {"ms", "s", "h", "d", "min", "kb", "mb", "gb", "tb", "kg", "g", "km", "cm", "mm", "eur", "usd", "m", "c"}
    if attached and scale == 1.0 and after.lower() not in known | units:
        return None
    readings = tuple(Reading(value=one.value * scale, step=one.step * scale) for one in readings_of(match["figures"]))
    unit = "%" if after.startswith(("%", "percent")) else after.lower() if attached and scale == 1.0 else ""
    text = match["figures"] + (match["after"] if unit == "%" or scale != 1.0 else "")
    return Stated(text=text, readings=readings, unit=unit, start=match.start(), end=match.end())


def _worded(match: re.Match[str]) -> Stated:
    tens = _TENS[match["tens"][:-1].lower()] if match["tens"] else 0
    value = float(tens + _WORDS[match["word"].lower()])
    return Stated(
        text=match[0], readings=(Reading(value=value, step=1.0),), start=match.start(), end=match.end(), in_words=True
    )


def readings_of(figures: str) -> list[Reading]:
    """Return what a figure may mean: with its separators as those of thousands, and with the last one as the decimal point."""
    plain = re.sub(r"['\u2019\u00a0\u202f]", "", figures)
    separators = re.findall(r"[.,]", plain)
    if not separators:
        return [_reading(plain)]
    whole, last, fraction = plain.rpartition(separators[-1])
    as_decimal = re.sub(r"[.,]", "", whole) + "." + fraction
    readings = [_reading(as_decimal)] if separators.count(last) == 1 else []
    if len({*separators}) == 1 and len(fraction) == 3 and whole[:1] != "0":
        readings.append(_reading(re.sub(r"[.,]", "", plain)))
    return readings


def _reading(plain: str) -> Reading:
    _, _, fraction = plain.partition(".")
    return Reading(value=float(plain), step=10.0 ** -len(fraction))


def every_number(text: str) -> Iterator[float]:
    """Yield every number that the digits of a source may mean, also those inside of codes, dates and times."""
    for match in _ANY_FIGURES.finditer(text):
        for run in {match[0], *re.findall(r"\d+", match[0])}:
            if len(run) <= _LONGEST:
                yield from (reading.value for reading in readings_of(run))
    for match in _WORD.finditer(text):
        yield _worded(match).readings[0].value
