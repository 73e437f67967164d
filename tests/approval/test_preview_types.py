"""The preview that a human signs is a typed value inside, and outside the JSON that it always was.

`stored_previews.json` has requests as they were stored when a preview was a dictionary, each with the binding of its decision.
"""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from agent.approval.preview import (
    CHANGED,
    MailPreview,
    StatementPreview,
    ToolPreview,
    as_statement,
    is_intact,
    preview_from_json,
    signed,
)
from agent.approval.records import binding

STORED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "stored_previews.json").read_text())
KINDS = {"send_email": MailPreview, "create_new_tool": ToolPreview}


@pytest.mark.parametrize("name", STORED)
def test_a_request_that_waited_during_an_upgrade_keeps_its_preview_and_its_binding(name: str) -> None:
    stored = STORED[name]
    shown = stored["preview"]
    preview = preview_from_json(shown)
    assert type(preview) is KINDS.get(stored["action"], StatementPreview)
    assert preview.to_json() == shown
    assert signed(preview).fingerprint == preview.fingerprint == shown["fingerprint"]
    of = {"policy_version": stored["policy_version"], "preview": preview}
    assert binding(stored["action"], stored["arguments"], **of) == stored["binding"]


@pytest.mark.parametrize("name", STORED)
def test_missing_keys_have_defaults_and_unknown_keys_are_ignored(name: str) -> None:
    shown = STORED[name]["preview"]
    told_by = {"sql", "via"} & shown.keys()
    for key in shown.keys() - told_by:
        fewer = {given: value for given, value in shown.items() if given != key}
        preview = preview_from_json(fewer)
        assert type(preview) is type(preview_from_json(shown)), key
        assert {given: value for given, value in preview.to_json().items() if given != key} == fewer
    assert preview_from_json({**shown, "later": [1]}) == preview_from_json(shown)


@pytest.mark.parametrize("name", STORED)
def test_a_stored_preview_is_intact_only_as_it_was_shown(name: str) -> None:
    shown = STORED[name]["preview"]
    assert is_intact(shown)
    for key in shown:
        fewer = {given: value for given, value in shown.items() if given != key}
        assert is_intact(fewer) == (key == "fingerprint")  # without one it is not bound
        assert not is_intact({**shown, key: "x"})
    assert not is_intact({**shown, "later": 1})


def test_what_is_no_preview_is_none() -> None:
    assert [preview_from_json(value) for value in (None, [1], "x", 5)] == [None] * 4
    assert [is_intact(value) for value in (None, [1], "x", 5)] == [True, False, False, False]
    assert preview_from_json({}).to_json() == {}


def test_a_preview_without_any_key_is_of_nothing() -> None:
    empty = as_statement(None)
    assert empty == as_statement(CHANGED) == as_statement(MailPreview()) == StatementPreview()
    assert (empty.sql, empty.row_count, empty.tried, empty.effect) == ("", None, False, None)


def test_a_request_that_was_changed_says_nothing_but_that() -> None:
    assert CHANGED.to_json() == {"not_previewed": list(CHANGED.not_previewed or ()), "fingerprint": "changed"}


@pytest.mark.parametrize("kind", [StatementPreview, MailPreview, ToolPreview])
def test_a_preview_does_not_change(kind: type) -> None:
    preview = kind()
    for one in fields(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(preview, one.name, None)
    assert not hasattr(preview, "__dict__")
