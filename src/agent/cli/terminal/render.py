"""Print text, tables, query results, errors and JSON.

Every foreign text goes through `clean_text.clean` and into a `rich.text.Text`, because the consoles here interpret no markup.
If standard output is no terminal, there are no colours and no animations.
"""

from __future__ import annotations

import io
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from agent.cli.terminal.clean_text import cell, clean, count, fit_columns, is_number

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

INDENT = "  "
ASKS = "❯ "  # noqa: RUF001  # a prompt, not a comparison
PIPE_WIDTH = 100
_MOST_CELL = 48
_NARROW_CELL = 24  # used if not every column fits
GAP = 2
_LEAST_TEXT = 36  # a narrower column of text is hard to read
_MOST_ROWS = 12


def stdout(*, file: IO[str] | None = None, width: int | None = None) -> Console:
    """Return the console for answers."""
    return _console(file=file, width=width)


def stderr() -> Console:
    """Return the console for errors, progress and everything else that is no answer."""
    return _console(stderr=True)


def _console(*, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> Console:
    console = Console(stderr=stderr, file=file, width=width, markup=False, highlight=False, emoji=False)
    if width is None and not console.is_terminal:
        console.width = PIPE_WIDTH  # a pipe has no width of its own; lines of text are never cut there
    return console


def show_error(sentence: str) -> None:
    """Print one red sentence on standard error."""
    console = stderr()
    console.print(Text.assemble(("Error: ", "bold red"), (clean(sentence), "red")), soft_wrap=not console.is_terminal)


def show_traceback(error: Exception) -> None:
    """Print an error's traceback on standard error."""
    sys.stderr.write(clean("".join(traceback.format_exception(error))))


def print_json(value: Any) -> None:
    """Print one JSON document. Every character beyond ASCII is escaped, so that no terminal interprets it."""
    sys.stdout.write(json.dumps(_json_value(value), indent=2, default=str) + "\n")


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line, and flush it, because another program may read it at once."""
    sys.stdout.write(json.dumps(_json_value(value), default=str) + "\n")
    sys.stdout.flush()


def _json_value(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _json_value(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity and no NaN
    return value


def say(console: Console, text: str, style: str = "", *, indent: str = "") -> None:
    """Print foreign text, wrapped at words, with `indent` before each line."""
    if not console.is_terminal and not indent:
        console.print(Text(clean(text), style=style), soft_wrap=True)
        return
    from rich.padding import Padding

    show(console, Padding(Text(clean(text), style=style), (0, 0, 0, len(indent)), expand=False))


def show(console: Console, renderable: RenderableType) -> None:
    """Print without the blanks that rich puts at the ends of lines, which would end up in files and selections."""
    from rich.segment import Segment

    for line in console.render_lines(renderable, pad=False):
        while line and not line[-1].text.strip() and not (line[-1].style and line[-1].style.bgcolor):
            line.pop()
        if line:
            line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
        console.print(*(Text(segment.text, segment.style or "") for segment in line), sep="", soft_wrap=True)


def listing(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    empty: str,
    limit: int | None = None,
) -> None:
    """Print a table of the agent's own things with every column whole, or `empty` if there are no rows.

    The last column holds text: it takes the room that is left, and wraps. If the room is too small, the text stands below its
    row, together with the columns that do not fit. A last line says if `limit` is reached.
    """
    if not rows:
        say(console, empty, "dim")
        return
    cells = [[value if isinstance(value, Text) else Text(cell(value)) for value in row] for row in rows]
    widths = [max(len(name), *(row[place].cell_len for row in cells)) for place, name in enumerate(columns)]
    room = console.width - sum(widths[:-1]) - GAP * (len(columns) - 1)
    if room >= min(widths[-1], _LEAST_TEXT):
        show(console, _table_of(columns, rows, cells))
    else:
        _listing_below(console, columns, rows, cells, widths)
    if limit is not None and len(rows) >= limit:
        say(console, f"The list shows at most {limit}; --limit shows more.", "dim")


def _table_of(columns: Sequence[str], rows: Sequence[Sequence[object]], cells: Sequence[Sequence[Text]]) -> Table:
    table = small_table()
    for place, name in enumerate(columns):
        right = all(is_number(row[place]) for row in rows)
        table.add_column(name, justify="right" if right else "left", no_wrap=place < len(columns) - 1)
    for row in cells:
        table.add_row(*row[: len(columns)])
    return table


def _listing_below(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    cells: Sequence[Sequence[Text]],
    widths: Sequence[int],
) -> None:
    """Print as many leading columns as fit, and the other values of each row below it."""
    fitting = fit_columns(widths[:-1], room=console.width, gap=GAP)
    head = io.StringIO()
    show(stdout(file=head, width=console.width), _table_of(columns[:fitting], rows, cells))
    title, line, *lines = head.getvalue().splitlines()
    say(console, f"{title}\n{line}", "dim")
    for row, text in zip(cells, lines, strict=True):
        say(console, text)
        for name, value in zip(columns[fitting:-1], row[fitting:-1], strict=True):
            if value.plain:
                say(console, f"{name} {value.plain}", indent=INDENT)
        say(console, row[-1].plain, indent=INDENT)


def facts(console: Console, pairs: Sequence[tuple[str, object]], *, indent: str = "") -> None:
    """Print names and values, one pair on each line."""
    from rich.padding import Padding
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), value if isinstance(value, Text) else Text(clean(value)))
    show(console, Padding(table, (0, 0, 0, len(indent)), expand=False))


def result_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    row_count: int | None = None,
    indent: str = INDENT,
    most_rows: int = _MOST_ROWS,
) -> None:
    """Print rows of the application: as many columns and rows as fit, and a line that says what was left out."""
    from rich.padding import Padding

    if len(rows) == 1 and len(columns) > 3:
        pairs = [(cell(name), _value(value, None)) for name, value in zip(columns, rows[0], strict=False)]
        facts(console, pairs, indent=indent)
        return
    names = [cell(name, _MOST_CELL) for name in columns]
    first_rows = rows[:most_rows]
    widths = [_width(name, [row[place] for row in first_rows]) for place, name in enumerate(names)]
    room = console.width - len(indent)
    if sum(widths) + GAP * (len(widths) - 1) > room:
        widths = [min(width, _NARROW_CELL) for width in widths]
    fitting = fit_columns(widths, room=room, gap=GAP)
    table = small_table()
    for place, name in enumerate(names[:fitting]):
        right = all(is_number(row[place]) or row[place] is None for row in first_rows)
        table.add_column(
            Text(name), justify="right" if right else "left", no_wrap=True, overflow="ellipsis", max_width=widths[place]
        )
    for row in first_rows:
        table.add_row(*(_value(value, _MOST_CELL) for value in row[:fitting]))
    show(console, Padding(table, (0, 0, 0, len(indent)), expand=False))
    left_out = _left_out(names[fitting:], (row_count or len(rows)) - len(first_rows))
    if left_out:
        say(console, left_out, "dim", indent=indent)


def _value(value: object, limit: int | None) -> Text:
    return Text("null", style="dim italic") if value is None else Text(cell(value, limit))


def _width(name: str, values: Sequence[object]) -> int:
    from rich.cells import cell_len

    return max(cell_len(name), *(_value(value, _MOST_CELL).cell_len for value in values), 1)


def _left_out(columns: Sequence[str], rows: int) -> str:
    parts = []
    if rows > 0:
        parts.append(f"and {count(rows, 'more row')}")
    if columns:
        parts.append(f"not shown: {', '.join(columns)}")
    return "; ".join(parts)


def small_table() -> Table:
    """Return an empty table in the common style."""
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="dim",
        border_style="dim",
        padding=(0, 1, 0, 0),
    )


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a spinner on standard error inside the `with` block, if that is a terminal."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(Text(clean(text), style="dim"), spinner="dots"):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if that is a terminal. Yield the function (done, total) that moves it."""
    console = stderr()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", style="dim"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
