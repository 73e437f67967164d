"""Show what a command gives: one JSON document, or a sentence or a table for people. The terminal's library is loaded when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def show_done(value: Any, sentence: str, *, as_json: bool) -> None:
    """Print `value` as JSON, or the sentence that says what was done."""
    from agent.cli.terminal.render import print_json, say, stdout

    if as_json:
        print_json(value)
    else:
        say(stdout(), sentence)


def show_listing(
    value: Any, columns: Sequence[str], rows: Sequence[Sequence[object]], *, as_json: bool, empty: str
) -> None:
    """Print `value` as JSON, or the rows as a table; `empty` is said if there is none."""
    from agent.cli.terminal.render import listing, print_json, stdout

    if as_json:
        print_json(value)
    else:
        listing(stdout(), columns, rows, empty=empty)
