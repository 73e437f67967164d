"""Text that Postgres cannot hold is made so that it can, and stays the same from then on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text.storable import storable, storable_json


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


def test_numbers_that_no_column_holds_become_text() -> None:
    assert storable_json([10**30, -(2**63), 2**63 - 1, 1e999, True, 1.5]) == [
        str(10**30), str(-(2**63)), 2**63 - 1, "inf", True, 1.5,
    ]  # fmt: skip
    assert storable_json({"n": float("nan")}) == {"n": "nan"}


def test_nesting_beyond_any_sense_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(200):
        nested = [nested]
    with pytest.raises(ValueError, match="levels deep"):
        storable_json(nested)
