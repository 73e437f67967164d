"""What `agent messaging slack init` prints is what the document shows, and what Slack gets by its address."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from agent.messaging.setup_steps import slack_manifest, slack_steps
from agent.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "slack.md"


def test_the_manifest_of_the_document_is_that_of_the_steps_and_of_the_address() -> None:
    shown = re.search(r"```json\n(\s+\{.*?\})\n\s+```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    steps = slack_steps(Settings(_env_file=None), http=False)
    (sent,) = parse_qs(urlsplit(steps.create_url).query)["manifest_json"]
    assert json.loads(shown[1]) == json.loads(sent) == steps.manifest == slack_manifest("")


def test_with_a_public_address_slack_calls_it_in_place_of_socket_mode() -> None:
    settings = Settings(_env_file=None, public_url="https://agent.example.com/")
    manifest = slack_steps(settings, http=True).manifest
    assert manifest is not None
    address = "https://agent.example.com/messaging/slack"
    assert manifest["settings"]["interactivity"]["request_url"] == address
    assert manifest["settings"]["event_subscriptions"]["request_url"] == address
    assert manifest["settings"]["socket_mode_enabled"] is False
