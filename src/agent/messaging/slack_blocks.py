"""A card as Slack's blocks. Values stand in plain and preformatted text, where Slack looks for no mention and no link. Pure."""

from __future__ import annotations

import json
from typing import Any

from agent.messaging.base import Tap
from agent.messaging.rendering import Card

_MOST_BLOCK, _MOST_HEADER, _MOST_REASON = 3_000, 150, 1_000


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
        blocks.append(
            {"type": "actions", "elements": [_button("approve", "primary", token), _button("reject", "danger", token)]}
        )
    return blocks


def fallback_of(card: Card) -> str:
    """Return the text of notifications and of readers that show no blocks."""
    return escaped(f"{card.headline}: {card.outcome or card.summary}"[: _MOST_BLOCK // 6])


def escaped(text: str) -> str:
    """Return text in which Slack finds no mention and no link: `<!channel>` is what it says."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def reason_view(tap: Tap) -> dict[str, Any]:
    """Return the form that asks why a request is rejected."""
    known = {"token": tap.token, "place": tap.place, "message_id": tap.message_id}
    return {
        "type": "modal", "callback_id": "reject", "private_metadata": json.dumps(known), "title": _plain("Reject"),
        "submit": _plain("Reject"), "close": _plain("Back"),
        "blocks": [{
            "type": "input", "block_id": "reason", "optional": True, "label": _plain("Why? What should be done instead?"),
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True, "max_length": _MOST_REASON},
        }],
    }  # fmt: skip


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text[:_MOST_BLOCK])}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _preformatted(text: str) -> dict[str, Any]:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text[:_MOST_BLOCK]}]}
    return {"type": "rich_text", "elements": [element]}


def _button(name: str, style: str, token: str) -> dict[str, Any]:
    return {"type": "button", "action_id": name, "style": style, "text": _plain(name.capitalize()), "value": token}
