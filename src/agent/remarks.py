"""What has to be said with a result, in words: an answer about some rows must not look like one about all. Pure.

A result carries its remarks (`ToolResult`); whoever answers from it begins with the first kind and ends with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.types import HiddenRows

_BEGINNING = "Of the rows that I may "
_MOST_NAMED = 8


def beginning(hidden: Sequence[HiddenRows], *, writes: bool) -> str:
    """How an answer begins that is only about the rows which may be seen; '' where that is all of them."""
    told = [
        f"{'that of' if place else 'row-level security of'} {', '.join(_names(tables))} {words}"
        for place, (tables, words) in enumerate(_by_extent(hidden))
    ]
    return f"{_BEGINNING}{'change' if writes else 'see'} ({' and '.join(told)})" if told else ""


def _by_extent(hidden: Sequence[HiddenRows]) -> Iterator[tuple[list[str], str]]:
    for hides_all, words in ((False, "may hide others"), (True, "hides every row")):
        tables = [str(one) for one in hidden if one.all is hides_all]
        if tables:
            yield tables, words


def _names(names: Sequence[str]) -> list[str]:
    left = len(names) - _MOST_NAMED
    return [*names[:_MOST_NAMED], f"{left} more"] if left > 0 else [*names]


def said_with(answer: str, remarks: Iterable[str]) -> str:
    """`answer` with the remarks that it does not hold yet: of which rows it is, first; what contradicts it, last."""
    missing = [remark for remark in dict.fromkeys(remarks) if remark not in answer]
    first = [remark for remark in missing if remark.startswith(_BEGINNING)]
    last = [remark for remark in missing if remark not in first]
    text = f"{'; '.join(first)}: {answer}" if first else answer
    return f"{text}\n({'. '.join(last)}.)" if last else text
