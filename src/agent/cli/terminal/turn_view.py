"""Show a turn on the terminal: its text as it arrives, a line for each step, rows as a table, and the answer's sources.

The interactive chat, a single question and the demo use the same display.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, cast

from rich.console import Console
from rich.text import Text

from agent.approval.human_approval import Approval
from agent.chat import Answered, ApprovalAsked, ApprovalDecided, ChatEvent, Restarted, Token, ToolFinished, ToolStarted
from agent.cli.terminal.clean_text import cell, count, one_line
from agent.cli.terminal.render import INDENT, result_table, say
from agent.cli.terminal.streamed_text import StreamedText
from agent.cli.terminal.waiting_line import WaitingLine
from agent.types import CallKey, ToolResult, Usage

_SHORTEST_STEP = 10
_MOST_MEMORIES = 5
_MOST_REASON = 160


class Display:
    """The display of one turn on `console`. Steps go to `steps` (default: the same console).

    `exact` also shows what differs from run to run: durations, tokens, and the ids of memories. `framed` wraps text inside a margin
    and shows it as it comes, as on a terminal; without it, text is written when it is final and stays as it is, and the statements
    that it comes from are shown whole.
    """

    def __init__(
        self, console: Console, *, steps: Console | None = None, exact: bool = True, framed: bool | None = None
    ) -> None:
        self._console = console
        self._steps = steps or console
        self._exact = exact
        self._framed = console.is_terminal if framed is None else framed
        self._indent = INDENT if self._framed else ""
        self._text: StreamedText | None = None
        self._streamed = ""  # since the last step
        self._waiting = WaitingLine(self._steps)
        self._running: dict[CallKey, _Step] = {}
        self._results: dict[tuple[int, int], ToolResult] = {}
        self.silent = True  # nothing was shown yet

    def waits_for(self, what: str = "model", note: str = "") -> None:
        """Say what is waited for, with the seconds, if the steps go to a terminal and no text is being written."""
        if self._text is None:
            self._waiting.show(what, note)

    def pause(self) -> None:
        """End the waiting line and the running line of text, so that something else can be printed."""
        self._waiting.end()
        if not self._framed and self._streamed:
            self._print_text(self._streamed)
            self._streamed = ""
        if self._text is not None:
            self._text.end()
            self._text = None

    def show(self, event: ChatEvent) -> None:
        """Show one event of the turn."""
        match event:
            case Token():
                self._write(event.text)
            case Restarted():
                self._restarted(event)
            case ToolStarted():
                self._step_begins(event)
            case ToolFinished():
                self._step_ends(event)
            case ApprovalDecided():
                self._decided(event.status, event.result)
            case ApprovalAsked():
                self.pause()
            case Answered():
                self._answered(event)

    def _write(self, text: str) -> None:
        self.silent = False
        self._streamed += text
        if self._framed:
            self._print_text(text)

    def _print_text(self, text: str) -> None:
        if self._text is None:
            self._waiting.end()
            markdown = self._framed and self._console.is_terminal and not self._console.is_dumb_terminal
            self._text = StreamedText(self._console, indent=self._indent, wrap=self._framed, markdown=markdown)
        self._text.write(text)

    def _restarted(self, event: Restarted) -> None:
        """Mark what was shown as void. Where text is not written yet, drop it."""
        shown, reason = self._framed and self._streamed.strip(), one_line(event.reason, _MOST_REASON)
        self._drop_text()
        if shown:
            say(self._steps, f"The text above is void: {reason}. It begins again.", "yellow", indent=self._indent)
        self.waits_for("model", reason)

    def _drop_text(self) -> None:
        if self._framed:
            self.pause()
        self._streamed = ""

    def _step_begins(self, event: ToolStarted) -> None:
        self.pause()
        self._streamed = ""
        self._running[event.key] = _Step(
            began=time.monotonic(),
            where="database" if isinstance(event.arguments.get("sql"), str) else "tool",
            what=describe_call(event.tool, event.arguments),
        )
        self._waits_for_steps()

    def _step_ends(self, event: ToolFinished) -> None:
        self.pause()
        self._streamed = ""
        step = self._running.pop(event.key, None)
        self._results[event.key.round, event.key.ordinal] = event.result
        self.silent = False
        elapsed = f"{1000 * (time.monotonic() - step.began):,.0f} ms" if step and self._exact else ""
        show_step(self._steps, event.result.get("sql") or event.tool, event.result, elapsed=elapsed)
        self._waits_for_steps()

    def _waits_for_steps(self) -> None:
        """Wait for the steps that still run, or else for the model."""
        if self._running:
            step = next(reversed(self._running.values()))
            more = f"{count(len(self._running), 'step')}, " if len(self._running) > 1 else ""
            self.waits_for(step.where, f"{more}{step.what}")
        else:
            self.waits_for()

    def _decided(self, status: str, result: ToolResult) -> None:
        self.silent = False
        self.pause()
        self._streamed = ""
        show_step(self._steps, result.get("sql") or status, result)
        self.waits_for()

    def _answered(self, event: Answered) -> None:
        shown = self._streamed.strip()
        before, found, rest = event.text.partition(shown) if shown else ("", "", event.text)
        if found and (not before or before.endswith(": ")) and self._framed:  # remarks can stand before and after it
            self._write(rest.rstrip())
        else:
            self._drop_text()
            if shown and self._framed:
                say(self._steps, "The text above is not the answer:", "yellow", indent=self._indent)
            self._write(event.text)
        told = self._streamed
        self.pause()
        self._streamed = ""
        self._show_rows(event)
        self._results.clear()
        for remark in event.sources.get("remarks", ()):
            if remark not in told:
                say(self._console, f"{remark}.", "yellow", indent=self._indent)
        line = sources_line(event.sources, whole=not self._framed, exact=self._exact)
        if line:
            say(self._console, line, "dim", indent=self._indent)
        if self._exact and event.usage is not None:
            say(self._steps, usage_line(event.usage), "dim", indent=self._indent)

    def _show_rows(self, event: Answered) -> None:
        about = event.sources.get("rows_of") or {}
        result = self._results.get((about.get("round", 0), about.get("ordinal", 0)))
        if result and worth_showing(event.text, result):
            self._console.print()
            rows, columns = result.get("rows", []), result.get("columns", [])
            result_table(self._console, columns, rows, row_count=result.get("row_count"), indent=self._indent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A step that runs: when it began, where, and what it does."""

    began: float
    where: Literal["database", "tool"]
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd:
    """The end of a turn: it is done, has failed, or waits for decisions about `approvals`."""

    status: Literal["done", "failed", "waiting"]
    approvals: tuple[Approval, ...] = ()


async def show_turn(events: AsyncIterator[ChatEvent], display: Display, *, first: str = "model") -> TurnEnd:
    """Show a turn until it is over or waits for a human. An error or Ctrl-C stops the turn. `first` is what it waits for at first."""
    approvals: list[Approval] = []
    status: Literal["done", "failed", "waiting"] = "waiting"
    display.waits_for(first)
    try:
        # The events of `chat` are a generator, and closing it stops the turn.
        async with aclosing(cast("AsyncGenerator[ChatEvent, None]", events)) as stream:
            async for event in stream:
                display.show(event)
                if isinstance(event, ApprovalAsked):
                    approvals.append(event.approval)
                elif isinstance(event, Answered):
                    status = "failed" if event.error else "done"
    finally:
        display.pause()
    approvals.sort(key=lambda approval: approval.place)
    return TurnEnd(status=status, approvals=tuple(approvals) if status == "waiting" else ())


def show_step(console: Console, what: str, result: ToolResult, *, elapsed: str = "") -> None:
    """Print one step on one line: the statement or tool, cut to fit, and its outcome. An error gets lines of its own."""
    good = bool(result.get("success"))
    outcome = one_line(" · ".join(part for part in (outcome_of(result) if good else "", elapsed) if part))
    end = Text(f" · {outcome}" if outcome else "")
    end.truncate(max(console.width // 2, _SHORTEST_STEP), overflow="ellipsis")
    step = Text(one_line(what))
    step.truncate(max(console.width - len(INDENT) - 2 - end.cell_len, _SHORTEST_STEP), overflow="ellipsis")
    mark = Text("✓ ", style="green") if good else Text("✗ ", style="red")
    console.print(Text.assemble(INDENT, mark, step, end, style="dim"), soft_wrap=True)
    if not good:
        decided = result.get("status") in {"rejected", "expired", "waiting"}
        say(console, outcome_of(result), "yellow" if decided else "red", indent=INDENT * 2)


def describe_call(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return a tool call on one line: the statement, or the tool's name and its arguments."""
    if isinstance(arguments.get("sql"), str):
        return one_line(arguments["sql"])
    return one_line(" ".join([tool, *(cell(value) for value in arguments.values() if value not in (None, "", [], {}))]))


def outcome_of(result: ToolResult) -> str:
    """Return the outcome of a call in a few words."""
    if not result.get("success"):
        return one_line(result.get("error") or result.get("message") or result.get("status") or "failed")
    rows = result.get("row_count")
    if rows is None or result.get("approval_id"):
        return one_line(result.get("message") or "")
    more = " (cut)" if result.get("truncated") else ""
    cells = result.get("cut_cells")
    cut = f", {count(cells, 'cell')} cut" if cells else ""
    return f"{count(rows, 'row')}{more}{cut}"


def worth_showing(answer: str, result: ToolResult) -> bool:
    """Return whether the rows say more than the answer: they hold several values, and the answer does not mention them all."""
    rows: Sequence[Sequence[object]] = result.get("rows") or []
    if not rows or (len(rows) == 1 and len(rows[0]) == 1) or answer.startswith("|") or "\n|" in answer:
        return False
    mentioned = [any(_mentions(answer, value) for value in row) for row in rows[:10]]
    return not (all(mentioned) and len(rows) <= len(mentioned))


def _mentions(answer: str, value: object) -> bool:
    text = cell(value)
    return bool(text) and text in answer


def sources_line(sources: Mapping[str, Any], *, whole: bool, exact: bool = True) -> str:
    """Return a line with an answer's sources: statements with row counts, and memories. `whole` shows the statements' text."""
    statements = [statement for statement in sources.get("statements", ()) if statement.get("success")]
    counts = [statement.get("row_count") or 0 for statement in statements]
    memories = list(sources.get("memories", ()))
    parts = []
    if whole:
        parts += [
            f"{one_line(statement['sql'])} ({count(rows, 'row')})"
            for statement, rows in zip(statements, counts, strict=True)
        ]
    elif statements:
        rows = sum(counts)
        parts.append(f"{count(len(statements), 'statement')}, {count(rows, 'row')}")
    if memories:
        parts.append(_memories(memories, exact=exact))
    return f"from {' · '.join(parts)}" if parts else ""


def usage_line(usage: Usage) -> str:
    """Return a line with the tokens of a turn, and its cost if the price is known."""
    total = usage.input_tokens + usage.output_tokens
    tokens = f"{count(total, 'token')} ({usage.input_tokens:,} in, {usage.output_tokens:,} out)"
    if usage.cost_usd is None:
        return tokens
    return f"{tokens} · {'under $0.0001' if 0 < usage.cost_usd < 0.0001 else f'${usage.cost_usd:.4f}'}"


def _memories(ids: Sequence[int], *, exact: bool) -> str:
    number = f"{count(len(ids), 'memory', 'memories')} at hand"
    if not exact:
        return number
    more = ", …" if len(ids) > _MOST_MEMORIES else ""
    return f"{number} ({', '.join(map(str, ids[:_MOST_MEMORIES]))}{more})"
