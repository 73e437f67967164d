"""Takes the thinking out of a model's text. Some local servers leave it there, between `<think>` tags.

Only a block at the beginning of the text or of a line is thinking: a cell of a table that holds the word is not.
"""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<think>", "</think>"
# What a server leaves whose template has opened the block before the model began.
_WITHOUT_BEGINNING = re.compile(r"\A(?:(?!<think>).)*?</think>\s*", re.DOTALL | re.IGNORECASE)


class ThinkingFilter:
    """Filters one streamed text, piece by piece; a tag may be cut anywhere."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._line_begins = True
        self._after_thinking = False

    def feed(self, text: str) -> str:
        """Return what of the text so far can be shown now."""
        self._held += text
        shown = ""
        while self._held:
            piece = self._inner() if self._inside else self._outer()
            if piece is None:
                break
            shown += piece
        return shown

    def end(self) -> str:
        """Return what was held back and turned out to be text, at the end of the stream."""
        rest, self._held = self._held, ""
        return "" if self._inside else rest

    def _inner(self) -> str | None:
        """Skip thinking up to its end; return None until more text comes."""
        at = self._held.lower().find(_CLOSE)
        if at < 0:
            self._held = self._held[-len(_CLOSE) + 1 :]
            return None
        self._held = self._held[at + len(_CLOSE) :]
        self._inside, self._line_begins, self._after_thinking = False, True, True
        return ""

    def _outer(self) -> str | None:
        """Return the next piece of text, to the end of its line; return None while it may be the beginning of a tag."""
        if self._after_thinking:
            self._held = self._held.lstrip()
        if self._line_begins:
            begun = self._held.lstrip().lower()
            if begun.startswith(_OPEN):
                self._held = self._held.lstrip()[len(_OPEN) :]
                self._inside = True
                return ""
            if _OPEN.startswith(begun):
                return None
        self._after_thinking = False
        line, newline, self._held = self._held.partition("\n")
        self._line_begins = bool(newline)
        return line + newline


def without_thinking(text: str) -> str:
    """Return a whole text without its thinking, also where only the end of the thinking is marked."""
    thinking = ThinkingFilter()
    return _WITHOUT_BEGINNING.sub("", thinking.feed(text) + thinking.end(), count=1)
