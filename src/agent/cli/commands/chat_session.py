"""Hold a conversation on the terminal: read questions, show turns, and ask for approvals in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from agent.approval.human_approval import Approval, human_approval_queue
from agent.chat import ChatEvent, chat
from agent.cli.commands.control import waits_message
from agent.cli.commands.permissions import allowance_message, permission_message
from agent.cli.commands.threads import show_threads
from agent.cli.terminal.approval_view import decided_message, how_to_decide, show_approval, who_decides
from agent.cli.terminal.clean_text import one_line, seconds_in
from agent.cli.terminal.editor import edited_in_editor, editor
from agent.cli.terminal.interrupts import at_interrupt
from agent.cli.terminal.prompt import Prompt, SettledElsewhere
from agent.cli.terminal.render import ASKS, INDENT, print_json, say, show_error, stderr, stdout
from agent.cli.terminal.turn_view import Display, show_turn
from agent.errors import AgentError, AlreadyDecided, InvalidInput, ModelError, NotFound, PolicyError, UserError
from agent.execution.permissions.scope import Always
from agent.execution.safe_executor import safe_executor
from agent.operations import approvals
from agent.operations.approvals import DecisionOutcome, HumanDecision
from agent.operations.edits import by_sql, new_arguments, present
from agent.runtime import Runtime
from agent.threads import threads

DONE, FAILED, WAITING = 0, 1, 4

_HELP = """\
/new          begin a new thread
/threads      the newest threads
/thread ID    continue a thread
/help         this list
/quit         leave (or Ctrl-D)
Ctrl-C        stop the running turn"""

_HOW_TO_DECIDE = """\
yes      do it now
no       never do it; you are asked why
edit     change the arguments of the tool
answer   give your text in place of the tool; nothing is done
always 8h   say yes, and allow exactly this again for that time; you see it in words first.
            always 8h free 2 rows 10: constant 2 may differ, up to 10 rows
later    (or Enter) let it wait"""

Result = TypeVar("Result")


class Stopped(Exception):
    """The user stopped the turn with Ctrl-C."""


class Conversation:
    """A conversation on one terminal, on one thread at a time. `interactive` says that somebody is there to decide."""

    def __init__(self, runtime: Runtime, *, thread_id: str | None, interactive: bool) -> None:
        self._runtime = runtime
        self._console = stdout()
        # If the answer goes to a file or a pipe, the steps go to standard error.
        self._steps = self._console if self._console.is_terminal else stderr()
        self._interactive = interactive
        self._thread_id = thread_id or chat.new_thread()
        self._postponed: str | None = None  # the thread whose approvals the user has postponed here
        self._prompt = Prompt(runtime.settings.home / "history") if interactive else None

    async def ask(self, question: str) -> int:
        """Ask, and show the turn until it ends or waits for a decision that nobody here can make. Return the exit code."""
        if self._postponed == self._thread_id and await self._settle_postponed() == WAITING:
            return WAITING
        return await self._follow(chat.ask(question, thread_id=self._thread_id, runtime=self._runtime))

    async def _settle_postponed(self) -> int:
        """Ask for the postponed approvals before a new question, so that it need not be typed twice. Return the exit code."""
        self._postponed = None
        say(self._console, "First, what is still waiting:", "dim", indent=INDENT)
        code = await self._follow(chat.resume(self._thread_id, runtime=self._runtime))
        if code == WAITING:
            say(self._console, "Your question comes after that decision.", "yellow", indent=INDENT)
        else:
            self._console.print()
        return code

    async def continue_turn(self) -> int:
        """Continue the thread's last turn if it waits. Return the exit code."""
        if not await last_turn_waits(self._thread_id, self._runtime):
            return DONE
        return await self._follow(chat.resume(self._thread_id, runtime=self._runtime))

    async def ask_each(self, lines: Iterable[str]) -> int:
        """Ask the question on each line of a pipe; after a wrong one go on with the others. Return the worst exit code."""
        worst = DONE
        for line in filter(None, map(str.strip, lines)):
            try:
                code = await self.ask(line)
            except UserError as error:
                show_error(str(error))
                code = error.exit_code
            worst = max(worst, code)
        return worst

    async def converse(self) -> None:
        """Read and answer questions until the user leaves."""
        assert self._prompt is not None  # noqa: S101  # only called on a terminal
        self._greet()
        await self._guarded(self._open_thread())
        while True:
            try:
                line = self._prompt.ask(ASKS, colour=self._coloured)
            except KeyboardInterrupt:
                say(self._console, "\nCtrl-D leaves.", "dim")
                continue
            if line is None or line.strip() in {"/quit", "/exit"}:
                return
            if line.strip():
                await self._guarded(self._command(line.strip()) if line.startswith("/") else self._ask_below(line))
                self._console.print()

    async def _ask_below(self, question: str) -> None:
        self._console.print()
        await self.ask(question)

    @property
    def _coloured(self) -> bool:
        return self._console.is_terminal and not self._console.no_color

    async def _guarded(self, action: Awaitable[object]) -> None:
        """Run one action of the conversation. Ctrl-C stops the action and an error is shown; the conversation goes on."""
        try:
            await _interruptible(action)
        except (Stopped, KeyboardInterrupt):
            say(self._console, "Stopped.", "yellow", indent=INDENT)
        except AgentError as error:
            say(self._console, str(error), "red", indent=INDENT)

    async def _follow(self, events: AsyncIterator[ChatEvent]) -> int:
        """Show a turn and ask for its approvals until it is over or waits. Return the exit code."""
        first = "model"
        while True:
            display = Display(self._console, steps=self._steps)
            end = await show_turn(events, display, first=first)
            if end.status != "waiting":
                return DONE if end.status == "done" else FAILED
            if not end.approvals:
                say(self._console, "Another process continues this turn.", "yellow", indent=INDENT)
                return DONE
            if not display.silent:
                self._console.print()
            if self._prompt is None or not await self._decide_all(end.approvals):
                await self._show_how_to_decide(end.approvals)
                self._postponed = self._thread_id
                return WAITING
            first = f"approval {', '.join(str(approval.id) for approval in end.approvals)}"
            events = chat.resume(self._thread_id, runtime=self._runtime)

    async def _decide_all(self, requests: Sequence[Approval]) -> bool:
        """Ask about each request of a turn. Return False if one was postponed."""
        for place, approval in enumerate(requests):
            if place:
                self._console.print()
            show_approval(self._console, approval, indent=INDENT)
            if not await self._decide(approval):
                return False
        self._console.print()
        return True

    async def _decide(self, approval: Approval) -> bool:
        """Ask until this request, or the one that an edit makes of it, is decided. Return False if it was postponed."""
        while True:
            values = await self._decision_or_end(approval)
            if isinstance(values, bool):
                return values
            if not values:
                say(self._console, _HOW_TO_DECIDE, "dim", indent=INDENT)
                continue
            human = HumanDecision(binding=approval.binding, **values)
            try:
                if human.always and not await self._confirm_allowance(approval, human.always):
                    continue
                outcome = await approvals.decide(approval.id, human, via="cli", runtime=self._runtime)
            except AlreadyDecided as error:
                say(self._console, str(error), "yellow", indent=INDENT)
                return True
            except (PolicyError, UserError, ModelError) as error:
                say(self._console, str(error), "yellow", indent=INDENT)
                continue
            approval = outcome.approval
            if approval.status != "pending":
                self._show_outcome(outcome)
                return True
            if human.decision != "edit" or approval.approved_by:  # somebody else must decide
                return False
            show_approval(self._console, approval, indent=INDENT)

    async def _decision_or_end(self, approval: Approval) -> dict[str, Any] | bool:
        """Read a decision as `_read_decision` does; return False if the request waits on, True if somebody else decided it."""
        try:
            values = await self._read_decision(approval)
        except KeyboardInterrupt:
            self._console.print()
            return False
        except SettledElsewhere:
            decided = await human_approval_queue.get(approval.id, runtime=self._runtime)
            say(self._console, decided_message(decided), "yellow", indent=INDENT)
            return True
        return False if values is None else values

    def _show_outcome(self, outcome: DecisionOutcome) -> None:
        """Say what the turn's next steps do not show: a permission that was given, and that the action runs later."""
        if outcome.permission is not None:
            say(self._console, permission_message(outcome.permission), indent=INDENT)
        if outcome.waits_for_resume:
            say(self._console, waits_message(outcome.approval), "yellow", indent=INDENT)

    async def _read_decision(self, approval: Approval) -> dict[str, Any] | None:
        """Read a decision and return the arguments of a `HumanDecision`; {} if it is none, None to let the request wait.

        Raises `SettledElsewhere` when somebody has decided it meanwhile.
        """
        assert self._prompt is not None  # noqa: S101  # only called if somebody can decide
        question = f"{INDENT}Approve? yes / no / edit / later {ASKS}"
        word = await self._prompt.read_unless(
            question, colour=self._coloured, settled=lambda: self._is_settled(approval)
        )
        word = (word or "").strip()
        match word.lower():
            case "" | "l" | "later":
                return None
            case "y" | "yes":
                return {"decision": "approve"}
            case "n" | "no":
                return {
                    "decision": "reject",
                    "comment": self._read("Why? Or what instead? (empty: no, for good)") or None,
                }
            case "e" | "edit":
                return self._read_edit(approval)
            case "a" | "answer":
                text = self._read("What is the tool's answer?")
                return {"decision": "respond", "response": text} if text else {}
            case _:
                return self._parse_always(word)

    async def _is_settled(self, approval: Approval) -> bool:
        try:
            current = await human_approval_queue.get(approval.id, runtime=self._runtime)
        except AgentError:  # the database may be back soon: the question stays
            return False
        return current.status != "pending"

    def _read_edit(self, approval: Approval) -> dict[str, Any]:
        try:
            arguments = edited_in_editor(approval) if editor() else new_arguments(approval, self._type_over(approval))
        except InvalidInput as error:
            say(self._console, str(error), "yellow", indent=INDENT)
            return {}
        if not arguments:
            say(self._console, "Nothing was changed.", "yellow", indent=INDENT)
        return {"decision": "edit", "arguments": arguments} if arguments else {}

    def _type_over(self, approval: Approval) -> str:
        """Read the new arguments on a line that begins as they are; what is no line is shown above it."""
        assert self._prompt is not None  # noqa: S101  # only called if somebody can decide
        now = present(approval)
        begin = now if self._prompt.can_begin(now) else ""
        if not begin:
            say(self._console, f"{approval.action} as it is now: {now}", "dim", indent=INDENT)
        question = "The statement instead:" if by_sql(approval) else "All arguments instead, as JSON:"
        return self._read(question, begin=begin)

    def _parse_always(self, word: str) -> dict[str, Any]:
        try:
            always = parse_always(word)
        except InvalidInput as error:
            say(self._console, str(error), "yellow", indent=INDENT)
            return {}
        return {"decision": "approve", "always": always} if always else {}

    async def _confirm_allowance(self, approval: Approval, always: Always) -> bool:
        """Show what would always be allowed, and return whether the user wants that."""
        allowance = await safe_executor.would_allow(approval.id, always, runtime=self._runtime)
        say(self._console, allowance_message(allowance), indent=INDENT)
        return self._read("Approve it, and allow this? yes / no").lower() in {"y", "yes"}

    def _read(self, question: str, *, begin: str = "") -> str:
        assert self._prompt is not None  # noqa: S101  # only called if somebody can decide
        line = self._prompt.read(f"{INDENT}{question} {ASKS}", colour=self._coloured, begin=begin)
        return (line or "").strip()

    async def _show_how_to_decide(self, requests: Sequence[Approval]) -> None:
        console = self._console if self._interactive else stderr()
        for view in await approvals.views_of(requests, runtime=self._runtime):
            approval, who = view.approval, who_decides(view)
            text = f"Approval {approval.id} is waiting ({approval.risk_level}): {one_line(approval.summary)}"
            say(console, text, "yellow", indent=INDENT if self._interactive else "")
            how = (
                f"agent approvals show {approval.id}\n{how_to_decide(approval)}\n"
                f"agent chat --thread {self._thread_id}   then continues"
            )
            say(console, f"{who}\n{how}" if who else how, "dim", indent=INDENT * 2)

    async def _open_thread(self) -> None:
        """Show the last turn of a thread that exists already, and continue it if it waits."""
        known = [thread["thread_id"] for thread in await threads.recent(limit=1000, runtime=self._runtime)]
        if self._thread_id not in known:
            return
        last = (await threads.turns(self._thread_id, runtime=self._runtime))[-1]
        say(self._console, f"{ASKS}{one_line(last['question'], 200)}", "dim")
        if last["answer"]:
            say(self._console, last["answer"], "dim", indent=INDENT)
        self._console.print()
        if last["status"] == "waiting":
            await self._follow(chat.resume(self._thread_id, runtime=self._runtime))
            self._console.print()

    async def _command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        match name:
            case "/new":
                self._thread_id = chat.new_thread()
                say(self._console, "A new thread.", "dim", indent=INDENT)
            case "/threads":
                show_threads(self._console, await threads.recent(limit=10, runtime=self._runtime))
            case "/thread" if argument.strip():
                await threads.turns(argument.strip(), runtime=self._runtime)
                self._thread_id = argument.strip()
                await self._open_thread()
            case "/help" | "/thread":
                say(self._console, _HELP, indent=INDENT)
            case _:
                say(self._console, f"There is no {name}. /help lists what there is.", "yellow", indent=INDENT)

    def _greet(self) -> None:
        client = self._runtime.chat_client()
        model = "the built-in offline model" if client.offline else client.name
        self._console.print()
        say(
            self._console,
            f"database {self._runtime.database_name} · {model} · thread {self._thread_id}",
            "dim",
            indent=INDENT,
        )
        if client.offline:
            hint = "For simple questions; OPENAI_API_KEY or AGENT_MODEL sets a real model."
            say(self._console, hint, "dim", indent=INDENT)
        say(self._console, "/help lists commands, Ctrl-D leaves.", "dim", indent=INDENT)
        self._console.print()


def parse_always(answer: str) -> Always | None:
    """Parse `always 8h`, which `free N` and `rows N` may follow; return None for another answer.

    Raises `InvalidInput` if it begins with `always` and goes on differently.
    """
    first, *words = answer.split()
    if first.lower() != "always":
        return None
    time, *options = words or [""]
    pairs = list(zip(options[::2], options[1::2], strict=False))
    rows = [value for name, value in pairs if name == "rows"]
    if len(options) % 2 or {name for name, _ in pairs} - {"free", "rows"} or not all(map(str.isdecimal, rows)):
        raise InvalidInput("Write it like: always 8h free 2 rows 10.")
    free = tuple(value for name, value in pairs if name == "free")
    return Always(seconds=seconds_in(time), free=free, most_rows=int(rows[-1]) if rows else None)


async def last_turn_waits(thread_id: str, runtime: Runtime) -> bool:
    """Return whether the last turn of a thread waits for a decision, or to continue after one."""
    try:
        turns = await threads.turns(thread_id, runtime=runtime)
    except NotFound:  # the user may name a new thread
        return False
    return turns[-1]["status"] == "waiting"


async def ask_as_json(question: str | None, thread_id: str | None, runtime: Runtime) -> int:
    """Ask, or without a question continue the thread's last turn, and print one JSON document. Return the exit code."""
    if question is not None:
        answer = await chat.answer(question, thread_id=thread_id, runtime=runtime)
    elif thread_id is not None and await last_turn_waits(thread_id, runtime):
        answer = await chat.finish(thread_id, runtime=runtime)
    else:
        where = f", and no turn of thread {thread_id!r} waits to continue" if thread_id else ""
        raise InvalidInput(f'--json answers one question{where}: agent chat "..." --json.')
    print_json(
        {
            "thread_id": answer.thread_id,
            "status": answer.status,
            "answer": answer.text,
            "error": answer.error,
            "sources": answer.sources,
            "approvals": [approval.as_dict() for approval in answer.approvals],
        }
    )
    return {"done": DONE, "failed": FAILED, "waiting": WAITING}[answer.status]


async def _interruptible(action: Awaitable[Result]) -> Result:
    """Await `action`, and let Ctrl-C cancel it. Raises `Stopped` then."""

    def stop() -> None:
        task.cancel()

    with at_interrupt(stop):
        task = asyncio.ensure_future(action)  # inside, so that what it waits for knows `stop`
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise Stopped from None
