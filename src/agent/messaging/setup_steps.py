"""What to do to set up Slack or Telegram, step by step, from what is set up already. Pure, but for the manifest's file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from agent.settings import Settings

_LINK = "Tell the bot who you are: run `agent people link`, and send the line that it prints to the bot in private."
_TRY = "Look whether it works: `agent messaging test`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps in their order, and for Slack the app's manifest and an address that opens Slack with it."""

    steps: tuple[str, ...]
    manifest: dict[str, Any] | None = None
    create_url: str = ""


def slack_steps(settings: Settings, *, http: bool) -> Steps:
    """Return the steps for Slack, by Socket Mode, or with `http` by calls to AGENT_PUBLIC_URL."""
    manifest = slack_manifest(settings.public_url if http else "")
    url = f"https://api.slack.com/apps?new_app=1&manifest_json={quote(json.dumps(manifest, separators=(',', ':')))}"
    second = (
        "Under Basic Information copy the signing secret, and put it into .env as AGENT_SLACK_SIGNING_SECRET."
        if http
        else "Under Basic Information, App-Level Tokens make a token with the scope connections:write (xapp-...), and put it into .env as AGENT_SLACK_APP_TOKEN."
    )
    second_set = settings.slack_signing_secret if http else settings.slack_app_token
    return Steps(
        steps=(
            *(("Set AGENT_PUBLIC_URL to the address at which Slack reaches this server.",) if http and not settings.public_url else ()),
            "Open the address below, choose your workspace, and create the app; the manifest is in it.",
            "Install to Workspace, copy the bot token (xoxb-...), and put it into .env as AGENT_SLACK_BOT_TOKEN."
            + _noted(settings.slack_bot_token),
            second + _noted(second_set),
            "Start the agent: `agent serve`.",
            _LINK,
            "For a channel, type /invite @agent there, and set AGENT_SLACK_CHANNELS to its id.",
            _TRY,
        ),
        manifest=manifest,
        create_url=url,
    )  # fmt: skip


def telegram_steps(settings: Settings) -> Steps:
    """Return the steps for Telegram."""
    return Steps(
        steps=(
            "Write /newbot to @BotFather (https://t.me/BotFather), and answer its two questions. It gives you a token.",
            "Put the token into .env as AGENT_TELEGRAM_TOKEN." + _noted(settings.telegram_token),
            "Start the agent: `agent serve`.",
            _LINK,
            "For a group, add the bot to it, and set AGENT_TELEGRAM_CHATS to the group's id (-100...).",
            _TRY,
        )
    )


def slack_manifest(public_url: str) -> dict[str, Any]:
    """Return the manifest of the Slack app; with an address, Slack calls it in place of Socket Mode."""
    text = files(__package__).joinpath("slack_manifest.json").read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text)
    if public_url:
        address = f"{public_url.rstrip('/')}/messaging/slack"
        settings = manifest["settings"]
        settings["socket_mode_enabled"] = False
        settings["event_subscriptions"]["request_url"] = settings["interactivity"]["request_url"] = address
    return manifest


def _noted(value: object) -> str:
    return " (It is set.)" if value is not None else ""
