"""A card as Slack's blocks. Values stand in plain and preformatted text, where Slack looks for no mention and no link. Pure."""

from __future__ import annotations

import json
from typing import Any

from agent.messaging.base import Shown, Tap
from agent.messaging.rendering import Card, pieces

_MOST_BLOCK, _MOST_HEADER, _MOST_REASON = 3_000, 150, 1_000
_MOST_PARTS = 40
MOST_EDITED = 3_000


def blocks_of(card: Card, token: str | None) -> list[dict[str, Any]]:
    """Return a card's blocks, with buttons that send `token` if there is one."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(card.headline[:_MOST_HEADER])}]
    if card.outcome:
        blocks.append(_section(card.outcome))
    blocks.append(_section(card.summary))
    blocks += [_preformatted(text) for text in (card.code, "\n".join(card.changes)) if text]
    if card.warnings:
        blocks.append(_section("\n".join(f"⚠ {text}" for text in card.warnings)))
    if card.facts:
        blocks.append({"type": "context", "elements": [_plain(" · ".join(card.facts)[:_MOST_BLOCK])]})
    if token is not None:
        buttons = (("approve", "primary"), ("reject", "danger"), ("edit", ""), ("details", ""))
        blocks.append({"type": "actions", "elements": [_button(name, style, token) for name, style in buttons]})
    return blocks


def fallback_of(card: Card) -> str:
    """Return the text of notifications and of readers that show no blocks."""
    return escaped(f"{card.headline}: {card.outcome or card.summary}"[: _MOST_BLOCK // 6])


def escaped(text: str) -> str:
    """Return text in which Slack finds no mention and no link: `<!channel>` is what it says."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def reason_view(tap: Tap) -> dict[str, Any]:
    """Return the form that asks why a request is rejected."""
    return _form("reject", tap, "Reject", _input("Why? What should be done instead?", most=_MOST_REASON, optional=True))


def edit_view(tap: Tap, shown: Shown) -> dict[str, Any]:
    """Return the form in which a request is edited; what it begins with is what it has now."""
    field = _input("What should be done. If it does more than was shown, it waits for a second look.", most=MOST_EDITED)
    field["element"]["initial_value"] = shown.editable
    return _form("edit", tap, f"Edit {shown.approval_id}"[:24], field)


def details_view(shown: Shown) -> dict[str, Any]:
    """Return all of a request."""
    parts = pieces(shown.text, limit=_MOST_BLOCK)
    blocks = [_preformatted(part) for part in parts[:_MOST_PARTS]]
    if len(parts) > _MOST_PARTS:
        blocks.append(_section(f"The rest: agent approvals show {shown.approval_id}"))
    return {
        "type": "modal", "callback_id": "details", "title": _plain(f"Approval {shown.approval_id}"[:24]),
        "close": _plain("Back"), "blocks": blocks,
    }  # fmt: skip


def notice_view(text: str) -> dict[str, Any]:
    """Return a window that only says something."""
    return {"type": "modal", "title": _plain("Not now"), "close": _plain("Back"), "blocks": [_section(text)]}


def _form(name: str, tap: Tap, title: str, field: dict[str, Any]) -> dict[str, Any]:
    known = {"token": tap.token, "place": tap.place, "message_id": tap.message_id}
    return {
        "type": "modal", "callback_id": name, "private_metadata": json.dumps(known), "title": _plain(title),
        "submit": _plain(name.capitalize()), "close": _plain("Back"), "blocks": [field],
    }  # fmt: skip


def _input(label: str, *, most: int, optional: bool = False) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": "text", "multiline": True, "max_length": most}
    return {"type": "input", "block_id": "reason", "optional": optional, "label": _plain(label), "element": element}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text[:_MOST_BLOCK])}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _preformatted(text: str) -> dict[str, Any]:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text[:_MOST_BLOCK]}]}
    return {"type": "rich_text", "elements": [element]}


def _button(name: str, style: str, token: str) -> dict[str, Any]:
    button = {"type": "button", "action_id": name, "text": _plain(name.capitalize()), "value": token}
    return {**button, "style": style} if style else button
