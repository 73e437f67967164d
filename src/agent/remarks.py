"""Write the remarks that belong to a result: an answer about some rows must not look like one about all. Pure functions.

A result carries its remarks (`ToolResult`). An answer begins with those on hidden rows and ends with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.types import HiddenRows

_BEGINNING = "Of the rows that I may "
_MOST_NAMED = 8
NOTHING_CHANGED = "Not so: no call of this turn has changed or sent anything"
MAIL_NOT_SENT = "Not so: no mail was sent in this turn"
NOT_ALL_CHANGED = "Not so: a change of this turn was not made"


def hidden_rows_remark(hidden: Sequence[HiddenRows], *, writes: bool) -> str:
    """Return the beginning of an answer that is only about the visible rows, or '' if no rows are hidden."""
    parts = [
        f"{'that of' if place else 'row-level security of'} {', '.join(_names(tables))} {words}"
        for place, (tables, words) in enumerate(_by_extent(hidden))
    ]
    return f"{_BEGINNING}{'change' if writes else 'see'} ({' and '.join(parts)})" if parts else ""


def _by_extent(hidden: Sequence[HiddenRows]) -> Iterator[tuple[list[str], str]]:
    for hides_all, words in ((False, "may hide others"), (True, "hides every row")):
        tables = [str(rows) for rows in hidden if rows.all is hides_all]
        if tables:
            yield tables, words


def _names(names: Sequence[str]) -> list[str]:
    left = len(names) - _MOST_NAMED
    return [*names[:_MOST_NAMED], f"{left} more"] if left > 0 else [*names]


def not_found_remark(numbers: Sequence[str]) -> str:
    """Return the remark on an answer with numbers that are in nothing that it can be from."""
    return f"Not found in any result: {', '.join(_names(numbers))}"


def with_remarks(answer: str, remarks: Iterable[str]) -> str:
    """Return `answer` with the remarks that it lacks: those on hidden rows before it, the others after it."""
    missing = [remark for remark in dict.fromkeys(remarks) if remark not in answer]
    first = [remark for remark in missing if remark.startswith(_BEGINNING)]
    last = [remark for remark in missing if remark not in first]
    text = f"{'; '.join(first)}: {answer}" if first else answer
    return f"{text}\n({'. '.join(last)}.)" if last else text
