"""Read lines from a terminal, with arrow keys and a history that is kept in a file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST_LINES = 2000


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

    def read(self, prompt: str, *, colour: bool) -> str | None:
        """Read a line that is not kept, such as a decision; return None at the end of the input."""
        with _interruptible():
            try:
                return input(_coloured(prompt, readline=self._readline is not None) if colour else prompt)
            except EOFError:
                sys.stdout.write("\n")
                return None

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


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end only the reading. Otherwise an event loop would notice it too, and stop the next turn."""
    wakeup = signal.set_wakeup_fd(-1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)
