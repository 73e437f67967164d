"""Writes an answer's Markdown as HTML, and finds the statements in it. Links, images and HTML stay the text that they are. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from agent.errors import AgentError
from agent.statements.kinds import describe
from agent.statements.parser import parse
from agent.text.visible import clean

_RULES = ("emphasis", "backticks", "fence", "list", "table", "blockquote", "newline", "escape")
_MOST_CHARACTERS, _MOST_STATEMENTS = 60_000, 12
_LANGUAGES = {"sql", "pgsql", "postgres", "postgresql", "psql"}
_READS = {"SelectStmt", "ExplainStmt", "VariableShowStmt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A statement in an answer that nothing has run yet. `sentence` says what it does, `reads` whether it looks like a read."""

    place: int
    sql: str
    sentence: str
    reads: bool

    @property
    def digest(self) -> str:
        """Return what a form sends back, so that only the statement that was seen is accepted."""
        return hashlib.sha256(self.sql.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """A part of an answer, and the statements that it suggests."""

    html: Markup
    suggestions: tuple[Suggestion, ...] = ()


@cache
def _writer() -> MarkdownIt:
    # A link or an image in an answer may come from data, and would lead or tell somebody else where its reader goes.
    return MarkdownIt("zero", {"html": False, "linkify": False, "breaks": True, "maxNesting": 12}).enable(list(_RULES))


def answer_parts(text: str, *, ran: Iterable[str] = ()) -> tuple[AnswerPart, ...]:
    """Return an answer in parts, each ending with a block that suggests statements. Statements that `ran` are no suggestions."""
    tokens = _writer().parse(text[:_MOST_CHARACTERS])
    known, parts, place = {_bare(sql) for sql in ran}, list[AnswerPart](), 0
    begun, looked_at = 0, 0
    for end in _ends_of_blocks(tokens):
        found = []
        for token in tokens[looked_at:end]:
            if token.type == "fence" and token.info.strip().lower() in _LANGUAGES:
                suggestion = _suggestion(place, token.content) if place < _MOST_STATEMENTS else None
                place += 1
                if suggestion and _bare(suggestion.sql) not in known:
                    found.append(suggestion)
        looked_at = end
        if found or end == len(tokens):
            parts.append(AnswerPart(html=_html(tokens[begun:end]), suggestions=tuple(found)))
            begun = end
    return tuple(parts)


def _ends_of_blocks(tokens: Sequence[Token]) -> Iterator[int]:
    """Yield where each outermost block of an answer ends."""
    depth = 0
    for number, token in enumerate(tokens, start=1):
        depth += token.nesting
        if depth == 0:
            yield number


def _html(tokens: Sequence[Token]) -> Markup:
    writer = _writer()
    written = clean(writer.renderer.render(tokens, writer.options, {}))
    scrolled = written.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    return Markup(scrolled)  # noqa: S704  # the writer escapes every text


def _suggestion(place: int, sql: str) -> Suggestion | None:
    if clean(sql) != sql.replace("\t", "    "):  # it would run with characters that nobody sees
        return None
    try:
        statement = parse(sql.strip())
    except AgentError:  # an example with "..." in it, or several statements
        return None
    return Suggestion(
        place=place, sql=sql.strip(), sentence=describe(statement),
        reads=statement.kind in _READS and describe(statement).startswith(("Reads", "Explains", "Shows")),
    )  # fmt: skip


def _bare(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ").casefold()
