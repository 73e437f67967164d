"""What is shown on a terminal is text and nothing else, and it fits."""

from __future__ import annotations

import io
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from agent.cli.terminal import render
from agent.cli.terminal.clean_text import ago, cell, clean, fit_columns, is_number, left, one_line
from agent.cli.terminal.streamed_text import StreamedText, markdown_table
from agent.cli.terminal.turn_view import outcome_of, show_step, sources_line, worth_showing
from agent.types import ToolResult

HOSTILE = "\x1b]0;owned\x07\x1b[2J [red]markup[/red] :smile: \u202eevil\u202c \x9b31m \ud800 \x00 \r\n"


def terminal(width: int = 80, *, colour: bool = False) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, markup=False, highlight=False, emoji=False,
        color_system="standard" if colour else None, legacy_windows=False,
    )  # fmt: skip


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(st.text())
def test_cleaned_text_holds_nothing_that_a_terminal_interprets(text: str) -> None:
    shown = clean(text)
    for character in shown:
        hostile = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
        assert not hostile or character in "\n\u200c\u200d"
    assert clean(shown) == shown
    shown.encode()


@pytest.mark.parametrize("colour", [False, True])
def test_hostile_data_is_shown_and_not_obeyed(colour: bool) -> None:
    console = terminal(100, colour=colour)
    render.result_table(console, [HOSTILE, "b"], [[HOSTILE, 1], [{"x": HOSTILE}, None]])
    render.listing(console, ("id", "what"), [(1, HOSTILE)], empty="")
    render.facts(console, [("name", HOSTILE)])
    render.say(console, HOSTILE, indent="  ")
    stream = StreamedText(console)
    stream.write(HOSTILE)
    stream.end()
    output = written(console)
    assert "[red]markup[/red]" in output
    assert ":smile:" in output
    assert "\u202e" not in output
    assert "\x9b" not in output
    assert "\x1b]" not in output
    assert "\x1b[2J" not in output
    assert colour or "\x1b" not in output


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=12),
    st.integers(min_value=20, max_value=140),
    st.integers(min_value=2, max_value=30),
    st.data(),
)
def test_a_result_fits_any_terminal(columns: list[str], width: int, row_count: int, data: st.DataObject) -> None:
    value = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers()))
    row = data.draw(st.lists(value, min_size=len(columns), max_size=len(columns)))
    console = terminal(width)
    render.result_table(console, columns, [row] * row_count)
    for line in written(console).splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip(" ")


@given(
    st.lists(st.text(max_size=60), min_size=6, max_size=6),
    st.integers(min_value=20, max_value=140),
)
def test_a_listing_fits_any_terminal_and_keeps_ids_and_states(values: list[str], width: int) -> None:
    columns = ("id", "risk", "state", "asked by", "asked", "what")
    console = terminal(width)
    render.listing(console, columns, [("90fe91bc04de", "MEDIUM", *values[2:])] * 2, empty="")
    lines = written(console).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len([line for line in lines if line.startswith("90fe91bc04de")]) == 2
    assert "MEDIUM" in written(console)


def test_a_listing_puts_its_text_below_where_there_is_no_room_for_words() -> None:
    console = terminal(60)
    state = "59 min left, 1 of 2, ana"
    rows = [(14, "MEDIUM", state, "tester", "just now", "update clients set status = 'paused' where id = 5")]
    render.listing(console, ("id", "risk", "state", "asked by", "asked", "what"), rows, empty="")
    head, _, line, text = written(console).splitlines()
    assert head.split() == ["id", "risk", "state", "asked", "by", "asked"]
    assert line == f"14  MEDIUM  {state}  tester    just now"
    assert text == "  update clients set status = 'paused' where id = 5"


def test_what_does_not_fit_is_named() -> None:
    console = terminal(40)
    render.result_table(console, [f"column_{n}" for n in range(9)], [list(range(9))] * 20, row_count=500)
    shown = " ".join(written(console).split())
    assert "and 488 more rows" in shown
    assert "column_8" in shown.partition("not shown:")[2]


def test_one_wide_row_is_shown_as_names_and_values() -> None:
    console = terminal()
    render.result_table(console, ["id", "name", "city", "note"], [[7, "Granite Foods", None, "a\nb"]])
    assert written(console).split() == ["id", "7", "name", "Granite", "Foods", "city", "null", "note", "a", "b"]


def test_numbers_stand_to_the_right() -> None:
    console = terminal()
    render.result_table(console, ["name", "total"], [["a", "9.50"], ["b", "1200.00"]])
    assert written(console).splitlines()[2:] == ["  a        9.50", "  b     1200.00"]


def streamed(console: Console, *pieces: str, markdown: bool = True, indent: str = "") -> str:
    stream = StreamedText(console, indent=indent, markdown=markdown)
    for piece in pieces:
        stream.write(piece)
    stream.end()
    return written(console)


_MARKDOWN = st.text(alphabet="**``#-1.) |\n\raé\x1b[")


@given(
    st.one_of(st.text(), _MARKDOWN), st.integers(min_value=10, max_value=100), st.booleans(), st.booleans(), st.data()
)
def test_streamed_text_is_the_same_however_it_is_cut(
    text: str, width: int, markdown: bool, colour: bool, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = streamed(terminal(width, colour=colour), text, markdown=markdown, indent="  ")
    assert streamed(terminal(width, colour=colour), *pieces, markdown=markdown, indent="  ") == whole


@given(st.text(alphabet="**``#-1.) \nab_<>[](!"))
def test_of_an_answer_nothing_is_lost_but_marks(text: str) -> None:
    assume("```" not in text)
    shown = streamed(terminal(40), text)
    marks = str.maketrans("", "", "*`#-•")
    assert "".join(shown.translate(marks).split()) == "".join(text.translate(marks).split())


def test_markdown_is_shown_where_the_terminal_can_and_only_what_is_surely_markdown() -> None:
    answer = (
        "## The **two** clients\n- **Ana & Co**: `active`\n* 2**3**4 = 2*3*4\n10. a_b_c <b>x</b> [go](http://evil)\n"
        "```sql\nselect  *  from a\n```\nThat is **not closed and `so is this\n"
    )
    assert streamed(terminal(80), answer).splitlines() == [
        "The two clients", "• Ana & Co: active", "• 2**3**4 = 2*3*4", "10. a_b_c <b>x</b> [go](http://evil)",
        "select  *  from a", "That is **not closed and `so is this",
    ]  # fmt: skip
    coloured = streamed(terminal(80, colour=True), answer)
    assert "\x1b[1mAna\x1b[0m" in coloured
    assert "\x1b[36mactive\x1b[0m" in coloured
    assert "\x1b[1mclients\x1b[0m" in coloured
    assert "\x1b[36mselect  *  from a\x1b[0m" in coloured
    plain = [line.rstrip() for line in answer.splitlines()]
    assert streamed(terminal(80), answer, markdown=False).splitlines() == plain


def test_an_item_of_a_list_is_wrapped_below_its_text() -> None:
    assert streamed(terminal(20), "- one two three four\n1. five six seven eight", indent="  ").splitlines() == [
        "  • one two three", "    four", "  1. five six seven", "     eight",
    ]  # fmt: skip


def test_streamed_text_is_wrapped_at_words_inside_its_margin() -> None:
    console = terminal(20)
    stream = StreamedText(console, indent="  ")
    stream.write("one two three four fi")
    stream.write("ve\n\nsix")
    stream.end()
    assert written(console) == "  one two three four\n  five\n\n  six\n"


def test_a_markdown_table_in_an_answer_becomes_a_table() -> None:
    console = terminal()
    stream = StreamedText(console)
    for part in ("Two:\n| na", "me | n |\n| --- |", " --- |\n| a\\|b | 1 |\n| [c] | 20 |\nThat ", "is all."):
        stream.write(part)
    stream.end()
    assert written(console).splitlines() == ["Two:", "name   n", "────────", "a|b    1", "[c]   20", "That is all."]


def test_lines_with_bars_that_are_no_table_stay_as_they_are() -> None:
    assert markdown_table(["| a |", "| b |", "| c |"]) is None
    assert markdown_table(["| a | b |", "| - | - |", "| 1 |"]) is None
    console = terminal()
    stream = StreamedText(console)
    stream.write("| not a table\nmore")
    stream.end()
    assert written(console) == "| not a table\nmore\n"


def test_rows_are_shown_unless_the_answer_holds_them() -> None:
    rows: ToolResult = {"success": True, "columns": ["name", "n"], "rows": [["Ana", 1], ["Bo", 2]], "row_count": 2}
    assert worth_showing("There are two.", rows)
    assert not worth_showing("Ana and Bo.", rows)
    assert not worth_showing("Here:\n| name |", rows)
    assert not worth_showing("12", {"success": True, "columns": ["count"], "rows": [[12]], "row_count": 1})


def test_an_outcome_is_told_in_a_few_words() -> None:
    assert outcome_of({"success": True, "columns": ["a"], "row_count": 1}) == "1 row"
    assert outcome_of({"success": True, "columns": ["a"], "row_count": 1200, "truncated": True}) == "1,200 rows (cut)"
    done: ToolResult = {"success": True, "row_count": 2, "approval_id": 7, "message": "Done: 2 rows affected."}
    assert outcome_of(done) == "Done: 2 rows affected."
    assert outcome_of({"success": False, "error": "no\nsuch \x1b[31m column"}) == "no such ␛[31m column"


def test_sources_name_statements_and_memories() -> None:
    sources = {
        "statements": [{"sql": "SELECT\n 1", "row_count": 1, "success": True}, {"sql": "bad", "success": False}],
        "memories": [3, 4, 5, 6, 7, 8],
    }
    assert sources_line(sources, whole=True) == "from SELECT 1 (1 row) · 6 memories at hand (3, 4, 5, 6, 7, …)"
    assert sources_line(sources, whole=False, exact=False) == "from 1 statement, 1 row · 6 memories at hand"
    assert sources_line({}, whole=True) == ""


def test_cells_are_one_line_of_json_compatible_text() -> None:
    assert [cell(value) for value in (None, True, 1.5, {"a": [1]}, "a\n b")] == ["", "true", "1.5", '{"a": [1]}', "a b"]
    assert one_line("abcdef", 4) == "abc…"
    assert is_number("12.50")
    assert not is_number("12.50 EUR")
    assert not is_number(True)


def test_times_are_told_from_now() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago(now - timedelta(seconds=5), now=now) == "just now"
    assert ago(now - timedelta(minutes=5), now=now) == "5 min ago"
    assert ago(now - timedelta(days=1, hours=3), now=now) == "1 day ago"
    assert left(now + timedelta(seconds=299), now=now) == "5 min"


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 200))
def test_at_least_one_column_is_kept_and_the_others_fit(widths: list[int], room: int) -> None:
    kept = fit_columns(widths, room=room)
    assert kept >= 1
    assert kept == 1 or sum(widths[:kept]) + 2 * (kept - 1) <= room


@given(st.integers(min_value=30, max_value=120), st.text(max_size=200), st.text(max_size=60))
def test_a_step_is_one_line(width: int, sql: str, message: str) -> None:
    console = terminal(width)
    show_step(console, sql, {"success": True, "message": message}, elapsed="12 ms")
    [line] = written(console).splitlines()
    assert cell_len(line) <= width
