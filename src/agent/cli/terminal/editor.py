"""Let a person change a text in the editor that VISUAL or EDITOR names, as other programs of a terminal do."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from agent.approval.human_approval import Approval
from agent.cli.terminal.interrupts import left_to_the_terminal
from agent.errors import InvalidInput
from agent.operations.edits import by_sql, new_arguments, present


def editor() -> list[str]:
    """Return the command of the person's editor; it is empty if none is named."""
    named = os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip()
    try:
        return shlex.split(named)
    except ValueError:
        raise InvalidInput(f"VISUAL or EDITOR is no command: {named!r}. Correct it, or unset it.") from None


def edited(text: str, *, suffix: str) -> str:
    """Return what the person makes of `text` in the editor, without blanks at its ends. Raises `InvalidInput`.

    The file is only readable for its owner, and is gone afterwards.
    """
    command = editor()
    with tempfile.TemporaryDirectory(prefix="agent-edit-") as folder:
        file = Path(folder) / f"edit{suffix}"
        file.touch(mode=0o600)
        file.write_text(f"{text}\n", encoding="utf-8")
        try:
            with left_to_the_terminal(_ignore):  # the editor gets Ctrl-C
                code = subprocess.run([*command, str(file)], check=False).returncode  # noqa: S603  # the person's own editor
            if code:
                raise InvalidInput(f"The editor {command[0]!r} ended with code {code}: nothing was changed.")
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise InvalidInput(f"The editor {command[0]!r} gave no text ({error}): correct VISUAL or EDITOR.") from None


def _ignore(*_: object) -> None:
    """Handle a signal by doing nothing. Unlike an ignored signal, the editor does not inherit it."""


def edited_in_editor(approval: Approval) -> dict[str, Any]:
    """Let the person edit a request in their editor, and return what `new_arguments` does. Raises `InvalidInput`."""
    text = edited(present(approval, indent=2), suffix=".sql" if by_sql(approval) else ".json")
    return new_arguments(approval, text)
