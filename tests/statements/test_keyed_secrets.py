"""Secrets inside of JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.statements.keyed_secrets import keyed_places, without_keyed
from agent.statements.parser import parse


@pytest.mark.parametrize(
    "cell",
    [
        {"api_key": "K9"},
        {"a": [{"password": "K9"}]},
        {"token": ["K9", {"x": "K9"}]},
        {"client_secret": 99},
        '{"api_key": "K9", "n": 1}',
        '[{"n": 1}, {"smtp_password":"K9 and \\" K9"}]',
        '{"a": {"refresh_token": "K9... (900 characters)',
        '{"pin": 99, "n": 1}',
    ],
)
def test_what_stands_under_a_key_of_a_secret_is_written_over(cell: Any) -> None:
    shown = json.dumps(without_keyed(cell))
    assert "K9" not in shown
    assert "99" not in shown
    assert "[secret]" in shown


@pytest.mark.parametrize(
    "cell",
    ["api_key", 5, None, {"name": "K9", "has_password": True, "password": None}, [1, "x"], '{"name": "K9"}', "{1,2}", "[1,5)"],
)  # fmt: skip
def test_other_cells_stay(cell: Any) -> None:
    assert without_keyed(cell) == cell


@pytest.mark.parametrize(
    ("sql", "places"),
    [
        ("select id, prefs ->> 'api_key' from t", {1}),
        ("select prefs -> 'a' ->> 'password', id from t", {0}),
        ("select prefs #>> '{a,client_secret}' from t", {0}),
        ("select upper(prefs ->> 'token') from t", {0}),
        ("select prefs ->> 'name', a - b from t", set()),
        ("select *, prefs ->> 'api_key', id from t", {3}),
    ],
)
def test_a_key_of_a_secret_marks_its_place_in_the_result(sql: str, places: set[int]) -> None:
    assert keyed_places(parse(sql), 5) == places
