"""Read lines from a terminal, with arrow keys and a history that is kept in a file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.cli.terminal.clean_text import clean
from agent.cli.terminal.interrupts import at_interrupt, left_to_the_terminal

_MOST_LINES = 2000
_MOST_BYTES = 4096
_LOOK_EVERY = 0.5


class SettledElsewhere(Exception):
    """The question that a line was to answer is settled."""


class Prompt:
    """A reader of lines. It keeps questions in `history_file`, which only its owner can read."""

    def __init__(self, history_file: Path) -> None:
        self._file = history_file
        try:
            import readline  # start-up: it reads how the terminal is set up
        except ImportError:  # this Python has none: lines without a history
            self._readline = None
            return
        self._readline = readline
        readline.set_auto_history(False)
        readline.set_history_length(_MOST_LINES)
        with suppress(OSError):
            readline.read_history_file(history_file)

    def ask(self, prompt: str, *, colour: bool) -> str | None:
        """Read a line and keep it; return None at the end of the input (Ctrl-D). Raises `KeyboardInterrupt` at Ctrl-C."""
        line = self.read(prompt, colour=colour)
        if line and line.strip() and self._readline is not None:
            self._readline.add_history(line)
            self._save()
        return line

    def read(self, prompt: str, *, colour: bool, begin: str = "") -> str | None:
        """Read a line that is not kept; return None at the end of the input. The line begins as `begin`, if `can_begin(begin)`."""
        with left_to_the_terminal(signal.default_int_handler), self._begun(begin):
            try:
                return input(_coloured(prompt, readline=self._readline is not None) if colour else prompt)
            except EOFError:
                sys.stdout.write("\n")
                return None

    def can_begin(self, text: str) -> bool:
        """Return whether a typed line can begin as `text`: it is one line, and all that it holds is visible."""
        return self._readline is not None and "\n" not in text and clean(text) == text

    @contextmanager
    def _begun(self, text: str) -> Iterator[None]:
        readline = self._readline
        if not text or readline is None:
            yield
            return
        readline.set_startup_hook(lambda: readline.insert_text(text))
        try:
            yield
        finally:
            readline.set_startup_hook(None)

    async def read_unless(self, prompt: str, *, colour: bool, settled: Callable[[], Awaitable[bool]]) -> str | None:
        """Read a line like `read`, and look every half second whether the question is `settled` meanwhile.

        Raises `SettledElsewhere` then, and `KeyboardInterrupt` at Ctrl-C. What was typed before the question was asked does not
        answer it. Where standard input cannot be waited for, the line is read without looking.
        """
        try:
            reading = _Reading(sys.stdin.fileno())
        except (OSError, NotImplementedError):
            return self.read(prompt, colour=colour)
        with reading, at_interrupt(reading.interrupt):
            sys.stdout.write(_coloured(prompt, readline=False) if colour else prompt)
            sys.stdout.flush()
            while not await reading.done(_LOOK_EVERY):
                if await settled():
                    sys.stdout.write("\n")
                    raise SettledElsewhere
        line = reading.line()
        if line is None:
            sys.stdout.write("\n")
        return line

    def _save(self) -> None:
        assert self._readline is not None  # noqa: S101  # only called with it
        with suppress(OSError):  # a conversation goes on without its history
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch(mode=0o600)
            self._readline.write_history_file(self._file)


def _coloured(prompt: str, *, readline: bool) -> str:
    # Readline counts every character outside of these marks as visible.
    start, end = ("\001", "\002") if readline else ("", "")
    return f"{start}\033[1;36m{end}{prompt}{start}\033[0m{end}"


class _Reading:
    """Reads one line from a terminal while the event loop goes on. The terminal itself lets the line be corrected."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = b""
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[bool] = self._loop.create_future()
        self._forget_typed()
        self._loop.add_reader(descriptor, self._readable)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._descriptor)
        if not self._end.done():
            self._forget_typed()

    async def done(self, seconds: float) -> bool:
        """Wait at most so long, and return whether the reading is over."""
        await asyncio.wait({self._end}, timeout=seconds)
        return self._end.done()

    def line(self) -> str | None:
        """Return the line, or None at the end of the input. Raises `KeyboardInterrupt`."""
        if not self._end.result():
            raise KeyboardInterrupt
        return self._read.decode(errors="replace").rstrip("\n") if self._read else None

    def interrupt(self) -> None:
        """End the reading, as Ctrl-C does."""
        if not self._end.done():
            self._end.set_result(False)

    def _readable(self) -> None:
        part = os.read(self._descriptor, _MOST_BYTES)
        self._read += part
        if not self._end.done() and (not part or part.endswith(b"\n")):
            self._end.set_result(True)

    def _forget_typed(self) -> None:
        import termios  # start-up: only a terminal's prompt needs it

        with suppress(termios.error):  # it is no terminal
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
