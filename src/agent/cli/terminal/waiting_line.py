"""A line that says what the terminal waits for, with seconds that count: `model, 12 s`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from agent.cli.terminal.clean_text import one_line

if TYPE_CHECKING:
    from rich.status import Status

_SPINNER = 2  # its width


class WaitingLine:
    """The line at the end of `console`, while something is waited for; nothing where the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def show(self, what: str, note: str = "") -> None:
        """Begin to wait for `what`; a `note` stands behind the seconds."""
        if not self._console.is_terminal:
            return
        counted = _Counted(what, note)
        if self._status is not None:
            self._status.update(counted)
            return
        self._status = self._console.status(counted, spinner="dots")
        self._status.start()

    def end(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


class _Counted:
    """The line's text, which rich asks for at each refresh."""

    def __init__(self, what: str, note: str) -> None:
        self._what, self._note = one_line(what), one_line(note)
        self._began = time.monotonic()

    def __rich_console__(self, console: Console, options: object) -> list[Text]:
        line = f"{self._what}, {time.monotonic() - self._began:.0f} s"
        text = Text(
            f"{line} · {self._note}" if self._note else line, style="dim", no_wrap=True, overflow="ellipsis", end=""
        )
        text.truncate(console.width - _SPINNER - 1, overflow="ellipsis")
        return [text]
