"""What a message says is inert and fits, whatever the database, the model or a person put into it."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messaging.rendering import Card, as_html, inert, pieces
from agent.messaging.slack_blocks import blocks_of, escaped, fallback_of
from agent.messaging.words import command_in

HOSTILE = st.text(st.sampled_from("<>&@#/.:!|*_`~[]()ab1 \n"), max_size=400)
CARDS = st.builds(
    Card,
    headline=HOSTILE.map(lambda text: text or "x"), summary=HOSTILE.map(lambda text: text or "x"),
    code=st.text(st.sampled_from("<&;x"), max_size=900), changes=st.lists(HOSTILE, max_size=6).map(tuple),
    warnings=st.lists(HOSTILE, max_size=5).map(tuple), facts=st.lists(HOSTILE, max_size=4).map(tuple), outcome=HOSTILE,
)  # fmt: skip
# What Telegram turns into a mention, a tag, a command or a link by itself.
LIVE = re.compile(r"(?<!\w)[@#/]\w|\w\.\w|://")


@given(CARDS)
def test_a_telegram_text_has_only_our_markup_nothing_live_outside_of_code_and_fits(card: Card) -> None:
    text = as_html(card, limit=4096)
    outside = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert set(re.findall(r"<[^>]*>", text)) <= {"<b>", "</b>", "<i>", "</i>", "<pre>", "</pre>"}
    assert LIVE.search(html.unescape(re.sub(r"<[^>]*>", "", outside))) is None
    assert len(html.unescape(re.sub(r"<[^>]*>", "", text))) <= 4096


@given(CARDS)
def test_slack_blocks_are_plain_within_their_limits_and_the_fallback_calls_nobody(card: Card) -> None:
    def texts(value: object) -> list[dict[str, object]]:
        if isinstance(value, list):
            return [one for item in value for one in texts(item)]
        if not isinstance(value, dict):
            return []
        own = [value] if isinstance(value.get("text"), str) else []
        return own + [one for item in value.values() for one in texts(item)]

    blocks = blocks_of(card, "t" * 32)
    found = texts(blocks)
    assert found
    assert all(one["type"] in ("plain_text", "text") and 0 < len(str(one["text"])) <= 3000 for one in found)
    assert "<" not in fallback_of(card)
    assert len(blocks) <= 50


def test_values_are_as_they_were_once_the_joiners_are_removed() -> None:
    assert inert("see evil.com @all").replace("\u2060", "") == "see evil.com @all"
    assert html.unescape(escaped("a <!channel> & b")) == "a <!channel> & b"
    assert "".join(pieces("x" * 9000, limit=4096)) == "x" * 9000


@pytest.mark.parametrize(
    ("text", "answers", "kind", "number", "said"),
    [
        ("/approve 12", False, "approve", 12, None), ("/approve@agent_bot 12", False, "approve", 12, None),
        ("reject #12: only paused", False, "reject", 12, "only paused"), ("yes", True, "approve", None, None),
        ("No, because it is Friday", True, "reject", None, "it is Friday"), ("no", True, "reject", None, None),
        ("/pending", False, "pending", None, None), ("link ABCDEFGHJK23", False, "link", None, "ABCDEFGHJK23"),
    ],
)  # fmt: skip
def test_a_decision_in_words(text: str, answers: bool, kind: str, number: int | None, said: str | None) -> None:
    command = command_in(text, answers=answers)
    assert command is not None
    assert (command.kind, command.approval_id, command.text) == (kind, number, said)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("yes", False), ("approve", False), ("yes, but only the first", True), ("notes of today?", True), ("approve everything", True),
        ("How many clients did we approve?", False), ("approve 12 if it is safe?", False), ("link", False), ("nobody asked", True),
    ],
)  # fmt: skip
def test_what_is_no_decision_is_never_taken_for_a_yes(text: str, answers: bool) -> None:
    command = command_in(text, answers=answers)
    assert command is None or command.kind != "approve"
