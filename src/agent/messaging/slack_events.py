"""What Slack sends, as what we take in, and Slack's errors as ours. Pure, but for the client's exceptions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError, SlackClientError

from agent.messaging.base import MessageGone, Reaction, Said, Tap, TryLater, Undeliverable, Verb

# What must be done, by Slack's name of the error.
_REASONS = {
    "invalid_auth": "Slack does not know the token: correct AGENT_SLACK_BOT_TOKEN or AGENT_SLACK_APP_TOKEN.",
    "not_authed": "Slack got no token: set AGENT_SLACK_BOT_TOKEN.",
    "token_revoked": "The token was revoked: install the app in the workspace again, and set the new token.",
    "token_expired": "The token has expired: install the app in the workspace again, and set the new token.",
    "account_inactive": "The app was removed from the workspace: install it again, and set the new token.",
    "not_in_channel": "The bot is not in the channel: type /invite and its name there.",
    "channel_not_found": "There is no such channel, or it is private and the bot is not in it: correct AGENT_SLACK_CHANNELS or invite the bot.",
    "user_not_found": "There is no such person in the workspace: `agent people unlink` ends the link.",
    "is_archived": "The channel is archived: name another one in AGENT_SLACK_CHANNELS.",
    "restricted_action": "The workspace does not let the app write there: ask its admins, or name another channel in AGENT_SLACK_CHANNELS.",
    "missing_scope": "The app lacks a permission (`agent messaging slack init` shows them): add it, and install the app again.",
    "not_allowed_token_type": "The tokens are the wrong way round: AGENT_SLACK_BOT_TOKEN begins with xoxb-, AGENT_SLACK_APP_TOKEN with xapp-.",
}
_THUMBS = {"+1": True, "thumbsup": True, "-1": False, "thumbsdown": False}
_AWAY = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "team_added_to_org"}


@asynccontextmanager
async def telling() -> AsyncIterator[None]:
    """Turn Slack's errors into ours, which say who must do what."""
    try:
        yield
    except SlackApiError as error:
        data = error.response.data  # not always an object: a proxy answers in HTML
        reason = str(data.get("error", "")) if isinstance(data, dict) else ""
        if error.response.status_code == 429 or reason == "ratelimited":
            seconds = float(error.response.headers.get("Retry-After", 1))
            raise TryLater(f"Slack asks to wait {seconds:g} s.", seconds=seconds) from None
        if reason in ("message_not_found", "cant_update_message"):
            raise MessageGone("The message was deleted.") from None
        if reason in _AWAY or error.response.status_code >= 500:
            raise TryLater(f"Slack is away ({reason or error.response.status_code}).", unsure=True) from None
        raise Undeliverable(_REASONS.get(reason, f"Slack refuses the message: {reason[:100]}.")) from None
    except (SlackClientError, ClientError, TimeoutError, OSError, ValueError) as error:
        raise TryLater(f"Slack is not reached ({type(error).__name__}).", unsure=True) from None


def tap_in(body: dict[str, Any]) -> Tap:
    """Return the button that somebody pressed."""
    action, channel = body["actions"][0], body["channel"]["id"]
    verb = cast("Verb", action["action_id"]) if action["action_id"] in ("reject", "edit") else "approve"
    return Tap(
        account=body["user"]["id"], token=str(action.get("value", "")), decision=verb, place=channel,
        message_id=f"{channel}/{body['message']['ts']}",
    )  # fmt: skip


def submitted_in(body: dict[str, Any]) -> Tap:
    """Return the decision of a submitted form; who submits it is who opened it."""
    known = json.loads(body["view"]["private_metadata"])
    text = str(body["view"]["state"]["values"]["reason"]["text"]["value"] or "").strip() or None
    edits = body["view"]["callback_id"] == "edit"
    return Tap(
        account=body["user"]["id"], token=known["token"], decision="edit" if edits else "reject",
        comment=None if edits else text, edited=text if edits else None, place=known["place"], message_id=known["message_id"],
    )  # fmt: skip


def said_in(event: dict[str, Any]) -> Said | None:
    """Return what a person wrote, or None for what a bot wrote and for edits, joins and the like."""
    if event.get("subtype") or event.get("bot_id") or not event.get("user"):
        return None
    private, mention = event.get("channel_type") == "im", event["type"] == "app_mention"
    channel, ts, thread = event["channel"], event["ts"], event.get("thread_ts")
    text = " ".join(word for word in str(event.get("text", "")).split(" ") if not (mention and word.startswith("<@")))
    return Said(
        account=event["user"], place=channel, text=_unescaped(text), private=private, key=f"{channel}/{ts}",
        conversation=channel if private and not thread else f"{channel}-{(thread or ts).replace('.', '-')}",
        answers=f"{channel}/{thread}" if thread else None, addressed=private or mention, under=f"{channel}/{thread or ts}",
    )  # fmt: skip


def reaction_in(event: dict[str, Any]) -> Reaction | None:
    """Return the thumb that a person put under a message of the bot, in any skin tone, or None for all other reactions."""
    item, name = event.get("item") or {}, str(event.get("reaction", "")).partition("::")[0]
    if name not in _THUMBS or item.get("type") != "message" or not event.get("user"):
        return None
    message_id = f"{item['channel']}/{item['ts']}"
    return Reaction(
        account=event["user"],
        message_id=message_id,
        right=_THUMBS[name],
        key=f"{message_id}/{event['user']}/{event.get('event_ts')}",
    )


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
