"""Text that arrives in pieces, wrapped at words as it comes."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console

from agent.cli.text import clean

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")


class WordWrap:
    """Writes streamed text to a console; on a terminal inside a margin, to a pipe as it is.

    A word is held back until its end is known. A line that begins with `|` is a table's and is left as it is.
    """

    def __init__(self, console: Console, *, indent: str = "") -> None:
        self._console = console
        self._indent = indent
        self._limit = console.width if console.is_terminal else 10**9
        self._held = ""
        self._gap = ""
        self._column = 0
        self._in_table = False

    def write(self, text: str) -> None:
        """The next piece of text."""
        pieces = _PIECES.findall(self._held + clean(text))
        self._held = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        for piece in pieces:
            self._place(piece)
        self._console.file.flush()

    def end(self) -> None:
        """Write what was held back, and end the line."""
        if self._held:
            self._place(self._held)
            self._held = ""
        if self._column:
            self._place("\n")
        self._console.file.flush()

    def _place(self, piece: str) -> None:
        if piece == "\n":
            self._out("\n")
            self._column, self._gap, self._in_table = 0, "", False
        elif piece.isspace():
            self._gap = piece
        else:
            self._place_word(piece)

    def _place_word(self, word: str) -> None:
        width = cell_len(word)
        if self._column == 0:
            self._in_table = word.startswith("|")
        elif self._column + len(self._gap) + width > self._limit and not self._in_table:
            self._out("\n")
            self._column, self._gap = 0, ""
        before = self._gap if self._column else self._indent + self._gap
        self._out(before + word)
        self._column += len(before) + width
        self._gap = ""

    def _out(self, text: str) -> None:
        self._console.file.write(text)
