"""A turn on the terminal and in a pipe: what is void is marked or left out, an error is always said, and the end is told."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from agent.chat import Answered, ChatEvent, Restarted, Token, ToolFinished, ToolStarted
from agent.cli.terminal.turn_view import Display, usage_line
from agent.types import CallKey, Usage

KEY = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
READ = {"sql": "select 1"}


def answered(text: str, *, error: str | None = None, **sources: object) -> Answered:
    usage = Usage(input_tokens=1200, output_tokens=34, cost_usd=0.0125)
    return Answered(thread_id="t", turn=1, text=text, sources=sources, error=error, usage=usage)


def shown(*events: ChatEvent, terminal: bool) -> tuple[str, str]:
    """What standard output and standard error get."""
    out, err = (
        Console(
            file=io.StringIO(), width=100, force_terminal=terminal, markup=False, highlight=False, color_system=None
        )
        for _ in range(2)
    )
    display = Display(out, steps=out if terminal else err)
    for event in events:
        display.show(event)
    display.pause()
    written = [console.file.getvalue() for console in (out, err) if isinstance(console.file, io.StringIO)]
    return written[0], written[1]


def plain(text: str) -> str:
    """A terminal's output without the waiting line."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return "\n".join(line for line in text.replace("\r", "\n").splitlines() if not line.startswith("⠋"))


def test_a_terminal_marks_text_that_is_void_and_a_pipe_never_gets_it() -> None:
    events = [
        Token(text="There are sev"), Restarted(reason="openai:x: it broke off \x1b[2J"), Token(text="There are 5."),
        answered("There are 5."),
    ]  # fmt: skip
    out, _ = shown(*events, terminal=True)
    first, void, second, usage = filter(str.strip, plain(out).splitlines())
    assert first == "  There are sev"
    assert void.startswith("  The text above is void: openai:x: it broke off ␛[2J. It begins again.")
    assert second == "  There are 5."
    assert usage == "  1,234 tokens (1,200 in, 34 out) · $0.0125"
    out, err = shown(*events, terminal=False)
    assert out == "There are 5.\n"
    assert err == "1,234 tokens (1,200 in, 34 out) · $0.0125\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_after_a_part_of_the_answer_is_said(terminal: bool) -> None:
    out, _ = shown(
        Token(text="There are sev"), answered("I could not answer: add credit.", error="add credit."), terminal=terminal
    )
    assert "I could not answer: add credit." in out
    assert ("There are sev" in out) is terminal
    assert ("The text above is not the answer" in out) is terminal


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("streamed", "answer", "remarks"),
    [
        ("There are many, ", "There are many,\n\n(The model reached its length limit.)", ()),
        ("Five.", "Of the rows that I may see: Five.\n(It was cut.)", ("Of the rows that I may see", "It was cut")),
        ("  Five.\n", "Five.", ()),
        ("", "Five.", ()),
    ],
)  # fmt: skip
def test_what_an_answer_has_beyond_its_stream_is_told_once(
    terminal: bool, streamed: str, answer: str, remarks: tuple[str, ...]
) -> None:
    events = [Token(text=streamed)] if streamed else []
    out, _ = shown(*events, answered(answer, remarks=remarks), terminal=terminal)
    for part in [*remarks, *re.findall(r"many|Five|length limit", answer)]:
        assert out.count(part) == 1, part
    assert "not the answer" not in out


def test_text_before_a_step_stays_in_a_pipe_and_comes_once() -> None:
    events = [
        Token(text="I look."), ToolStarted(key=KEY, tool="execute_sql", arguments=READ),
        ToolFinished(key=KEY, tool="execute_sql", result={"success": True, "message": "1 row"}), Token(text="On"),
        Restarted(reason="busy"), Token(text="One."), answered("One."),
    ]  # fmt: skip
    out, err = shown(*events, terminal=False)
    assert out == "I look.\nOne.\n"
    assert "execute_sql" in err


def test_a_cost_that_is_not_known_is_left_out() -> None:
    assert usage_line(Usage(input_tokens=1)) == "1 token (1 in, 0 out)"
    assert usage_line(Usage(input_tokens=1, cost_usd=0.00002)).endswith(" · under $0.0001")
