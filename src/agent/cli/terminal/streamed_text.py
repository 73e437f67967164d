"""Show text that arrives in pieces: wrap it at words as it arrives, and show Markdown tables in it as tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console

from agent.cli.terminal.clean_text import clean
from agent.cli.terminal.render import result_table

_PIECES = re.compile(r"\n|[^\S\n]+|\S+")
_RULE = re.compile(r"\|?[\s:|-]+\|?")
_BAR = re.compile(r"(?<!\\)\|")
_MOST_ROWS = 100


class StreamedText:
    """A writer of streamed text to a console, wrapped at words inside a margin.

    It holds back a word until the word's end arrives, and the lines of a Markdown table until the table is whole.
    """

    def __init__(self, console: Console, *, indent: str = "", wrap: bool = True) -> None:
        self._console = console
        self._indent = indent
        self._limit = console.width if wrap else 10**9
        self._held = ""
        self._gap = ""
        self._column = 0
        self._table = ""

    def write(self, text: str) -> None:
        """Write the next piece of text."""
        pieces = _PIECES.findall(self._held + clean(text))
        self._held = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        for piece in pieces:
            self._place(piece)
        self._console.file.flush()

    def end(self) -> None:
        """Write the text that is held back, and end the line."""
        if self._held:
            self._place(self._held)
            self._held = ""
        if self._column or self._table:
            self._place("\n")
        self._flush_table()
        self._console.file.flush()

    def _place(self, piece: str) -> None:
        in_row = self._table and not self._table.endswith("\n")
        if in_row or (self._begins_line and piece.startswith("|")):
            self._table += piece
        else:
            self._flush_table()
            self._place_text(piece)

    @property
    def _begins_line(self) -> bool:
        return self._table.endswith("\n") or (not self._table and self._column == 0)

    def _place_text(self, piece: str) -> None:
        if piece == "\n":
            self._print("\n")
            self._column, self._gap = 0, ""
        elif piece.isspace():
            self._gap = piece
        else:
            self._place_word(piece)

    def _place_word(self, word: str) -> None:
        width = cell_len(word)
        if self._column and self._column + len(self._gap) + width > self._limit:
            self._print("\n")
            self._column, self._gap = 0, ""
        before = self._gap if self._column else self._indent + self._gap
        self._print(before + word)
        self._column += len(before) + width
        self._gap = ""

    def _flush_table(self) -> None:
        lines, self._table = self._table.splitlines(), ""
        parsed = markdown_table(lines)
        if parsed is not None:
            columns, rows = parsed
            result_table(self._console, columns, rows, indent=self._indent, most_rows=_MOST_ROWS)
            return
        for line in lines:
            self._print(f"{self._indent}{line}\n")

    def _print(self, text: str) -> None:
        self._console.file.write(text)


def markdown_table(lines: Sequence[str]) -> tuple[list[str], list[list[str]]] | None:
    """Return the column names and rows of a Markdown table, or None if the lines are no table."""
    if len(lines) < 3 or not _RULE.fullmatch(lines[1].strip()):
        return None
    head, *rows = (_cells(line) for line in (lines[0], *lines[2:]))
    return (head, rows) if all(len(row) == len(head) for row in rows) else None


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(inner)]
