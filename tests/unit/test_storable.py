"""Text that Postgres cannot hold is made so that it can, and stays the same from then on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.storable import storable, storable_json


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    cleaned = storable(text + "\x00\ud800")
    assert "\x00" not in cleaned
    assert cleaned.encode()
    assert storable(cleaned) == cleaned


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_ordinary_text_is_not_touched(text: str) -> None:
    assert storable(text) == text


def test_json_is_made_storable_in_keys_and_values() -> None:
    assert storable_json({"a\x00": ["\ud800", 1, None, {"b": ("x\x00",)}]}) == {"a": ["\ufffd", 1, None, {"b": ["x"]}]}
