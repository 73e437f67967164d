"""Show text that arrives in pieces: wrap it at words as it arrives, and show its Markdown where the terminal can.

Words are final when they are written, so nothing flickers. Bold and code are held back until they are closed, and a table
or a block of code until its line or the table is whole. Of the characters of an answer only well-formed marks of headings,
lists, bold and code are replaced: a lone `*`, `_` or `<` can be part of a value, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agent.cli.terminal.clean_text import clean
from agent.cli.terminal.render import result_table

_PIECES = re.compile(r"\s+|\S+")
_SPANS = re.compile(
    r"(?<![\w*])\*\*(?=[^\s*])(?P<bold>.*?[^\s*])\*\*(?![\w*])"
    r"|(?<!`)`(?P<code>[^`]+)`(?!`)"
    r"|(?P<open>(?<![\w*])\*\*(?=[^\s*])|(?<!`)`)"
)
_MARK = re.compile(r"(\s*)([-*+]|\d{1,3}[.)]|#{1,6})(?=\s)")
_FENCE = "```"
_RULE = re.compile(r"\|?[\s:|-]+\|?")
_BAR = re.compile(r"(?<!\\)\|")
_MOST_ROWS = 100


class StreamedText:
    """A writer of streamed text to a console, wrapped at words inside a margin. `markdown` shows headings, lists, bold and code."""

    def __init__(self, console: Console, *, indent: str = "", wrap: bool = True, markdown: bool = False) -> None:
        self._console = console
        self._indent = indent
        self._limit = console.width if wrap else 10**9
        self._markdown = markdown
        self._held = ""
        self._line = ""  # of the present line: what is held back
        self._table: list[str] = []
        self._in_code = False
        self._start_line()

    def write(self, text: str) -> None:
        """Write the next piece of text."""
        text, self._held = self._held + text, ""
        if text.endswith("\r"):  # its line feed may follow
            text, self._held = text[:-1], "\r"
        *whole, self._line = (self._line + clean(text)).split("\n")
        for line in whole:
            self._end_line(line)
        self._write_settled()
        self._console.file.flush()

    def end(self) -> None:
        """Write the text that is held back, and end the line."""
        self._line, self._held = self._line + clean(self._held), ""
        if self._line or self._begun:
            self._end_line(self._line)
            self._line = ""
        self._flush_table()
        self._console.file.flush()

    def _start_line(self) -> None:
        self._begun, self._style = False, ""
        self._gap = self._hang = ""
        self._column = 0

    def _end_line(self, line: str) -> None:
        if self._markdown and not self._begun and line.lstrip().startswith(_FENCE):
            self._flush_table()
            self._in_code = not self._in_code
        elif self._in_code:
            self._print(Text(f"{self._indent}{line}".rstrip(), style="cyan"))
            self._print("\n")
        elif not self._begun and line.startswith("|"):
            self._table.append(line)
        else:
            self._place(line)
            self._print("\n")
            self._start_line()

    def _write_settled(self) -> None:
        """Write what of the unfinished line cannot change its meaning any more: whole words outside of open marks."""
        if self._in_code or (not self._begun and self._line.startswith("|")):
            return
        settled = self._line[: _settled(self._line, markdown=self._markdown)]
        mark = None if self._begun else _MARK.match(f"{settled} ")
        if settled and not (mark and mark.end() == len(settled)):  # a mark stands with what follows it
            self._line = self._line[len(settled) :]
            self._place(settled)

    def _place(self, text: str) -> None:
        if not self._begun:
            self._flush_table()
            text = self._begin(text) if self._markdown else text
            self._begun = True
        styled = _styled(text) if self._markdown else Text(text)
        styled.stylize(self._style)
        for piece in _PIECES.finditer(styled.plain):
            if piece[0].isspace():
                self._gap = piece[0]
            else:
                self._place_word(styled[piece.start() : piece.end()])

    def _begin(self, text: str) -> str:
        """Return a line's text with its mark as it is shown: a heading has none."""
        mark = _MARK.match(text)
        if mark is None:
            return text
        margin, sign = mark[1], mark[2]
        if sign.startswith("#"):
            self._style = "bold"
            return text[mark.end() :].lstrip()
        sign = sign if sign[0].isdigit() else "•"
        self._hang = " " * (len(margin) + len(sign) + 1)
        return f"{margin}{sign}{text[mark.end() :]}"

    def _place_word(self, word: Text) -> None:
        if self._column and self._column + len(self._gap) + word.cell_len > self._limit:
            self._print("\n")
            self._column, self._gap = 0, self._hang
        before = self._gap if self._column else self._indent + self._gap
        self._print(before)
        self._print(word)
        self._column += len(before) + word.cell_len
        self._gap = ""

    def _flush_table(self) -> None:
        lines, self._table = self._table, []
        parsed = markdown_table(lines)
        if parsed is not None:
            columns, rows = parsed
            result_table(self._console, columns, rows, indent=self._indent, most_rows=_MOST_ROWS)
            return
        for line in lines:
            self._print(f"{self._indent}{line}\n")

    def _print(self, text: str | Text) -> None:
        if isinstance(text, Text) and (text.spans or text.style):
            self._console.print(text, end="", soft_wrap=True)
        else:
            self._console.file.write(str(text))


def _settled(line: str, *, markdown: bool) -> int:
    """Return how much of an unfinished line is settled: to the last blank that stands outside of marks, closed or open."""
    outside = line
    for span in _SPANS.finditer(line) if markdown else ():
        if span["open"]:
            outside = outside[: span.start()]
            break
        outside = outside[: span.start()] + "x" * len(span[0]) + outside[span.end() :]
    blank = re.search(r"\s\S*\Z", outside)
    return len(outside[: blank.start()].rstrip()) if blank else 0


def _styled(text: str) -> Text:
    """Return `text` with its bold and code as styles."""
    styled, at = Text(), 0
    for span in _SPANS.finditer(text):
        if span["open"]:
            continue
        styled.append(text[at : span.start()])
        styled.append(span["bold"] or span["code"], style="bold" if span["bold"] else "cyan")
        at = span.end()
    return styled.append(text[at:])


def markdown_table(lines: Sequence[str]) -> tuple[list[str], list[list[str]]] | None:
    """Return the column names and rows of a Markdown table, or None if the lines are no table."""
    if len(lines) < 3 or not _RULE.fullmatch(lines[1].strip()):
        return None
    head, *rows = (_cells(line) for line in (lines[0], *lines[2:]))
    return (head, rows) if all(len(row) == len(head) for row in rows) else None


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(inner)]
