"""Writes an answer's Markdown as HTML: emphasis, lists, tables and code. Links, images and HTML stay the text that they are. Pure."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup

from agent.text.visible import clean

_RULES = ("emphasis", "backticks", "fence", "list", "table", "blockquote", "newline", "escape")
_MOST_CHARACTERS = 60_000


@cache
def _writer() -> MarkdownIt:
    # A link or an image in an answer may come from data, and would lead or tell somebody else where its reader goes.
    return MarkdownIt("zero", {"html": False, "linkify": False, "breaks": True, "maxNesting": 12}).enable(list(_RULES))


def answer_html(text: str) -> Markup:
    """Return an answer as HTML."""
    written = _writer().render(clean(text[:_MOST_CHARACTERS]))
    scrolled = written.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    return Markup(scrolled)  # noqa: S704  # the writer escapes every text
