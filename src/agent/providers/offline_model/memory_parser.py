"""Parses the memory lines of a prompt, and the facts in them that give a word a meaning: "status 3 means paused".

Only facts from a human or the agent count: text from a database never changes what a question means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.providers.offline_model.tokenizer import clean, words_of

_LINE = re.compile(
    r"^\s*- \[(?P<kind>\w+), (?P<trust>\w+)(?:, [^\]]*)?\] (?P<text>.+) \(memory (?P<id>\d+)\)\s*$", re.M
)
_LONGEST_FACT = 200  # a longer sentence says more than what one word means
TRUSTED = ("human", "agent")
_MEANS = r"(?:means|mean|stands for|is|=|are|indicates|represents|denotes)"
_VALUE = r"""(?P<value>'[^']+'|"[^"]+"|-?\d+(?:\.\d+)?|[A-Z]{1,4}\b)"""
_FORMS = (
    # status 3 means paused; in campaigns, status = 3 means paused; campaign status 3 is paused
    re.compile(
        rf"^(?:(?:in|for|on) (?:the )?(?P<table>[\w ]+?),? )?(?:a |an |the )?(?P<column>[\w ]+?)(?: of| =| code| value)? {_VALUE} {_MEANS} "
        r"(?:that )?(?:it is |it's |they are |the \w+ is |an? )?(?P<phrase>[\w' -]+?)"
        r"(?: (?:in|for|on|of) (?:the )?(?P<table2>\w+)(?: table)?)?$",
        re.I,
    ),
    # paused means status 3; paused campaigns have status 3; "paused" is status = 3
    re.compile(
        rf"^(?:an? |the )?['\"]?(?P<phrase>[\w-]+)['\"]? (?P<table>\w+ )?(?:means|mean|is|are|have|has|stands for|refers to) (?:the |a |with )?"
        rf"(?P<column>[\w ]+?)(?: of| =| is)? {_VALUE}(?: in (?:the )?(?P<table2>\w+))?$",
        re.I,
    ),
)
# card letter of an owner means: S standard, F family; campaign status is a number: 1 is planned, 2 running
_LIST = re.compile(
    r"^(?:the |an? |our )?(?:(?P<owner>\w+)'s )?(?P<column>[\w ]+?)(?: of (?:the |an? )?(?P<of>\w+))?"
    r"(?:(?: (?:is|are) an? (?:number|letter|code)| means?| are codes| codes)? ?: ?| (?:is|are|go(?:es)? from|runs? from|can be|means?)? ?(?=['\"]?(?:\d+|[A-Z]{1,3})['\"]? (?:when|if|for|is|means|=|stands for|\()))(?P<list>.+)$",
    re.I,
)
_ITEM = re.compile(
    r"^(?P<value>'[^']+'|\"[^\"]+\"|-?\d+|[A-Z]{1,3})(?:,| is| means| =| for| stands for)? (?:(?:when|if) (?:it'?s |it is |it |they are |they |the )?)?(?:an? |the )?(?P<phrase>[\w' -]+)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLine:
    """One remembered sentence as the prompt shows it."""

    id: int
    kind: str
    trust: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """`phrase` means that `column`, of a relation named `table` if that is given, is `value`; all but the value are stems."""

    phrase: tuple[str, ...]
    column: tuple[str, ...]
    table: tuple[str, ...]
    value: str
    source: str


def parse_memories(texts: Iterable[str]) -> tuple[MemoryLine, ...]:
    """Return the memory lines in `texts`, each id once."""
    lines = {
        int(match["id"]): MemoryLine(
            id=int(match["id"]), kind=match["kind"], trust=match["trust"], text=match["text"].strip()
        )
        for text in texts
        for match in _LINE.finditer(text)
    }
    return tuple(lines.values())


def meanings(lines: Iterable[MemoryLine]) -> tuple[Meaning, ...]:
    """Return what the trusted ones among `lines` say about words."""
    return tuple(
        meaning
        for line in lines
        if line.trust in TRUSTED and line.kind in ("fact", "feedback", "skill")
        for meaning in meanings_of(line.text, source=f"memory {line.id}")
    )


def meanings_of(text: str, *, source: str) -> tuple[Meaning, ...]:
    """Return the meanings that one sentence gives to words: one, or those of a list of codes."""
    one = meaning_of(text, source=source)
    return (one,) if one else tuple(_listed(text, source=source))


def _listed(text: str, *, source: str) -> Iterator[Meaning]:
    """Yield the meanings of a list: "campaign status is a number: 1 is planned, 2 running", "a visit's state is 1 when it's booked, 2 when ..."."""
    match = _LIST.match(clean(text).strip().rstrip(".! ")) if len(text) <= 2 * _LONGEST_FACT else None
    if match is None:
        return
    items = [
        _ITEM.match(item.strip())
        for item in re.split(
            r"[,;] (?:and )?| (?:and|to) (?=['\"]?(?:\d|[A-Z]{1,3}\b))",
            re.sub(r" ?\((?P<said>[\w' -]+)\)", r" \g<said>", match["list"]),
        )
        if item.strip()
    ]
    if len(items) < 2 or not all(items):
        return
    table, column = (
        match["owner"] or match["of"] or "",
        re.sub(r"(?i) (?:letter|code|number|value|field|column)$", "", match["column"]),
    )
    for item in items:
        if item is not None:
            yield Meaning(
                phrase=words_of(item["phrase"]), column=words_of(column), table=words_of(table), value=item["value"].strip("'\""),
                source=source,
            )  # fmt: skip


def meaning_of(text: str, *, source: str) -> Meaning | None:
    """Return the meaning that one sentence gives to a word, or None."""
    if len(text) > _LONGEST_FACT:
        return None
    sentence = clean(text).strip().rstrip(".! ")
    for form in _FORMS:
        match = form.match(sentence)
        if match:
            table = match["table"] or match["table2"] or ""
            return Meaning(
                phrase=words_of(match["phrase"]),
                column=words_of(match["column"]),
                table=words_of(table),
                value=match["value"].strip("'\""),
                source=source,
            )
    return None
