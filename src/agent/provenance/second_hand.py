"""Whether a text is second hand: it repeats what stood in data, not what the user said. Pure.

What a row, a comment or an error message says may be written by anybody, for the agent to read. It may be remembered,
but as `external`: as something that was read somewhere, never as what a human or the agent itself found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Shorter runs are names and phrases that anybody uses.
_RUN = 3
_TARGET = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|\b[A-Z]{2}\d{2}[A-Z0-9]{10,30}\b", re.I)


def is_second_hand(text: str, *, data: Iterable[str], user_words: str) -> bool:
    """Whether `text` shares a run of words, an address or a link with `data` that is not in what the user `said`."""
    own, spoken = _runs(text) - _runs(user_words), user_words.casefold()
    targets = {target for target in _TARGET.findall(text.casefold()) if target not in spoken}
    if not own and not targets:
        return False
    for one in data:
        folded = one.casefold()
        if any(target in folded for target in targets) or (own and not own.isdisjoint(_runs(one))):
            return True
    return False


def says(spoken: str, text: str) -> bool:
    """Whether `spoken` holds the words of `text`, in that order, whatever their case and punctuation."""
    wanted = " ".join(_words(text))
    return bool(wanted) and f" {wanted} " in f" {' '.join(_words(spoken))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def _runs(text: str) -> set[tuple[str, ...]]:
    """Every run of words that is long enough and more than figures: totals and dates are no sentences."""
    words = _words(_TARGET.sub(" ", text))  # these are compared whole
    runs = {tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1)}
    return {run for run in runs if sum(word.isalpha() for word in run) == _RUN}
