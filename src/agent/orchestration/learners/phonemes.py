"""English letters to sounds, roughly, and where two utterances differ in their sounds. Pure.

The rules cover common spellings, not every word. They are the same for both texts, so equal words never differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# The longest spelling that fits comes first. The sounds are ARPAbet's.
_SPELLINGS: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    sorted(
        {
            "tch": ("CH",), "sch": ("S", "K"), "igh": ("AY",), "eigh": ("EY",), "ough": ("AO",), "tion": ("SH", "AH", "N"),
            "sion": ("ZH", "AH", "N"), "ch": ("CH",), "sh": ("SH",), "th": ("TH",), "ph": ("F",), "wh": ("W",), "ck": ("K",), "ng": ("NG",),
            "qu": ("K", "W"), "kn": ("N",), "wr": ("R",), "gh": ("G",), "ee": ("IY",), "ea": ("IY",), "oo": ("UW",), "ou": ("AW",), "ow": ("OW",),
            "oi": ("OY",), "oy": ("OY",), "ai": ("EY",), "ay": ("EY",), "oa": ("OW",), "au": ("AO",), "aw": ("AO",), "ie": ("IY",), "ew": ("UW",),
            "ar": ("AA", "R"), "er": ("ER",), "ir": ("ER",), "ur": ("ER",), "or": ("AO", "R"), "ce": ("S",), "ci": ("S", "IH"), "cy": ("S", "IY"),
            "ge": ("JH",), "a": ("AE",), "b": ("B",), "c": ("K",), "d": ("D",), "e": ("EH",), "f": ("F",), "g": ("G",), "h": ("HH",), "i": ("IH",),
            "j": ("JH",), "k": ("K",), "l": ("L",), "m": ("M",), "n": ("N",), "o": ("AA",), "p": ("P",), "q": ("K",), "r": ("R",), "s": ("S",),
            "t": ("T",), "u": ("AH",), "v": ("V",), "w": ("W",), "x": ("K", "S"), "y": ("Y",), "z": ("Z",),
        }.items(),
        key=lambda pair: -len(pair[0]),
    )
)  # fmt: skip
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A sound that was expected (None: it was added) and the one that was heard (None: it was left out).

    Not `sure`: it may have been right; let the word be said once more, and correct nothing.
    """

    word: str
    expected: str | None
    heard: str | None
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How near an utterance is to a text; `score` is the share of expected sounds that were not surely wrong."""

    score: float
    sounds: int
    mistakes: Sequence[Mistake]


def sounds_of(word: str) -> tuple[str, ...]:
    """Return the sounds of an English word. A final e is silent, and doubled letters are one sound."""
    left = re.sub(r"(.)\1", lambda match: match.group() if match.group(1) in "eo" else match.group(1), word.lower())
    left = re.sub(r"(?<=[a-z]{2})e$", "", left.replace("'", "")) or left
    sounds: list[str] = []
    while left:
        spelling, found = next(((one, made) for one, made in _SPELLINGS if left.startswith(one)), (left[0], ()))
        sounds += found
        left = left[len(spelling) :]
    return tuple(sounds)


def words_of(text: str) -> list[str]:
    """Return the English words of a text in small letters."""
    return [word for one in _WORD.findall(text.lower()) if (word := one.strip("'"))]


def compare(text: str, spoken: str) -> Comparison:
    """Return where the sounds of what was spoken differ from those of the text."""
    expected = [(word, sound) for word in words_of(text) for sound in sounds_of(word)]
    heard = [sound for word in words_of(spoken) for sound in sounds_of(word)]
    return compare_sounds(expected, heard)


def compare_sounds(expected: Sequence[tuple[str, str]], heard: Sequence[str]) -> Comparison:
    """Return the fewest mistakes that turn the expected sounds (each with its word) into those that were heard."""
    costs = _costs([sound for _, sound in expected], heard)
    mistakes: list[Mistake] = []
    at, to = len(expected), len(heard)
    while at or to:
        if at and to and costs[at][to] == costs[at - 1][to - 1] + (expected[at - 1][1] != heard[to - 1]):
            at, to = at - 1, to - 1
            if expected[at][1] != heard[to]:
                mistakes.append(Mistake(word=expected[at][0], expected=expected[at][1], heard=heard[to]))
        elif at and costs[at][to] == costs[at - 1][to] + 1:
            at -= 1
            mistakes.append(Mistake(word=expected[at][0], expected=expected[at][1], heard=None))
        else:
            to -= 1
            mistakes.append(Mistake(word=expected[at - 1][0] if at else "", expected=None, heard=heard[to]))
    wrong = sum(one.expected is not None for one in mistakes)
    score = 1 - wrong / len(expected) if expected else float(not heard)
    return Comparison(score=round(score, 4), sounds=len(expected), mistakes=mistakes[::-1])


def _costs(expected: Sequence[str], heard: Sequence[str]) -> list[list[int]]:
    costs = [list(range(len(heard) + 1))]
    for at, sound in enumerate(expected, start=1):
        row = [at]
        for to, other in enumerate(heard, start=1):
            row.append(min(costs[at - 1][to - 1] + (sound != other), costs[at - 1][to] + 1, row[to - 1] + 1))
        costs.append(row)
    return costs
