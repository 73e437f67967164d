"""What people write to the agent in a message: a decision, a command, or a question. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# A yes has no conditions: "approve 12 if it is safe" is a question.
_APPROVE = re.compile(r"/?approve\s+#?(\d{1,18})[.!]*", re.IGNORECASE)
_REJECT = re.compile(r"/?reject\s+#?(\d{1,18})(?:\s*[,:]?\s+(.*))?", re.IGNORECASE | re.DOTALL)
_EDIT = re.compile(r"/?edit\s+#?(\d{1,18})\s*[,:]?\s+(.+)", re.IGNORECASE | re.DOTALL)
_EDIT_THIS = re.compile(r"/?edit\b\s*[,:]?\s*(.+)", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"/?link\s+([A-Za-z0-9]{12})", re.IGNORECASE)
_YES = re.compile(r"(?:approve|approved|yes|ok|okay|go ahead|lgtm)[.!]*", re.IGNORECASE)
_NO = re.compile(
    r"(?:no|reject|rejected|stop|don't|do not)\b[\s,.:;!-]*(?:because\b[\s,:]*)?(.*)", re.IGNORECASE | re.DOTALL
)
_SIMPLE: dict[str, Literal["pending", "help"]] = {"pending": "pending", "start": "help", "help": "help"}
_BOT_NAME = re.compile(r"^(/\w+)@\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A text that is more than a question. `approval_id` is None where the text answers a message."""

    kind: Literal["approve", "reject", "edit", "link", "pending", "help"]
    approval_id: int | None = None
    text: str | None = None


def command_in(text: str, *, answers: bool) -> Command | None:
    """Return the command in a text, or None for a question. A yes or no counts only if the text `answers` a message."""
    text = _BOT_NAME.sub(r"\1", text.strip())
    if named := _SIMPLE.get(text.lower().removeprefix("/")):
        return Command(kind=named)
    if found := _LINK.fullmatch(text):
        return Command(kind="link", text=found[1])
    if found := _APPROVE.fullmatch(text):
        return Command(kind="approve", approval_id=int(found[1]))
    if found := _REJECT.fullmatch(text):
        return Command(kind="reject", approval_id=int(found[1]), text=_said(found[2]))
    if found := _EDIT.fullmatch(text):
        return Command(kind="edit", approval_id=int(found[1]), text=_said(found[2]))
    return _answer_in(text) if answers else None


def _answer_in(text: str) -> Command | None:
    if _YES.fullmatch(text):
        return Command(kind="approve")
    if found := _EDIT_THIS.fullmatch(text):
        return Command(kind="edit", text=_said(found[1]))
    found = _NO.fullmatch(text)
    return Command(kind="reject", text=_said(found[1])) if found else None


def _said(text: str | None) -> str | None:
    return text.strip() or None if text else None
