"""Decides whether a text is second-hand: it repeats data, not the user's words. Pure.

Anybody may have written a row, a comment or an error message for the agent to read. The agent may remember such a text, but
with the trust `external`: never as what a human said or the agent found out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# How many words a repeated run has at least: shorter runs are names and phrases that anybody uses.
_RUN = 3
_TARGET = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+|https?://\S+|\b[A-Z]{2}\d{2}[A-Z0-9]{10,30}\b", re.I)


def is_second_hand(text: str, *, data: Iterable[str], user_words: str) -> bool:
    """Return whether `text` shares with `data` a run of words, an address or a link that is not in the user's words."""
    own_runs, user_text = _runs(text) - _runs(user_words), user_words.casefold()
    targets = {target for target in _TARGET.findall(text.casefold()) if target not in user_text}
    if not own_runs and not targets:
        return False
    for source in data:
        folded = source.casefold()
        if any(target in folded for target in targets) or (own_runs and not own_runs.isdisjoint(_runs(source))):
            return True
    return False


def contains_words(text: str, words: str) -> bool:
    """Return whether `text` contains `words` in their order; case and punctuation do not matter."""
    wanted = " ".join(_words(words))
    return bool(wanted) and f" {wanted} " in f" {' '.join(_words(text))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return every run of `_RUN` words of letters in a text: runs with figures are totals and dates, not sentences."""
    words = _words(_TARGET.sub(" ", text))  # addresses and links are compared as a whole
    runs = {tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1)}
    return {run for run in runs if sum(word.isalpha() for word in run) == _RUN}
