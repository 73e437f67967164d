"""An approver who may not see personal data sees none of it, wherever the request repeats it."""

from __future__ import annotations

import json

import pytest

from agent.approval.masking import MASK, masked_arguments, masked_preview, masked_text

SQL = "UPDATE clients SET email = 'new@example.org', status = 'paused', age = 41 WHERE full_name = 'Ann O''Neill' AND id = 7"
PREVIEW = {
    "sql": SQL, "sentence": "Changes rows of clients. 1 row affected.", "row_count": 1,
    "columns": ["id", "full_name", "email", "status", "age"], "personal": ["full_name", "email", "age"],
    "personal_literals": ["new@example.org", "Ann O'Neill", "41"],
    "rows": [{
        "before": {"id": 7, "full_name": "Ann O'Neill", "email": "ann@example.org", "status": "active", "age": 40, "note": "Ann O'Neill called", "doc": {"iban": "x"}},
        "after": {"id": 7, "full_name": "Ann O'Neill", "email": "new@example.org", "status": "paused", "age": 41, "note": None, "doc": {"k": 1}},
        "changed": ["email", "status", "age", "note", "doc"],
    }],
    "others": [{"table": "public.mails", "personal": ["address"], "more": False, "rows": [{"before": None, "after": {"id": 1, "address": "Ring 5"}, "changed": []}]}],
    "tables": [{"table": "public.clients", "inserted": 0, "updated": 1, "deleted": 0}], "effect": {"rows": "1.2", "cells": {"email": ["3.4", "5.6"]}},
    "notices": ["mailed ann@example.org about it"], "not_previewed": [], "volatile": [], "fingerprint": "f",
}  # fmt: skip
PRIVATE = ("ann", "neill", "example.org", "ring 5", "41", "40", "iban")


def test_no_personal_value_is_left_anywhere_in_the_preview() -> None:
    shown = masked_preview(PREVIEW)
    text = json.dumps(shown, ensure_ascii=False).casefold()
    assert not [value for value in PRIVATE if value in text]
    assert shown["sql"] == (
        f"UPDATE clients SET email = '{MASK}', status = 'paused', age = {MASK} WHERE full_name = '{MASK}' AND id = 7"
    )
    assert shown["rows"][0]["after"] == {
        "id": 7, "full_name": MASK, "email": MASK, "status": "paused", "age": MASK, "note": None, "doc": {"k": 1},
    }  # fmt: skip
    assert "effect" not in shown
    assert (shown["fingerprint"], shown["row_count"]) == ("f", 1)


def test_masking_changes_nothing_of_what_is_stored() -> None:
    before = json.dumps(PREVIEW)
    masked_preview(PREVIEW)
    masked_arguments({"sql": SQL}, PREVIEW)
    assert json.dumps(PREVIEW) == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 WHERE email LIKE '%ann%'", "SELECT $$Ann O'Neill$$", "SELECT $x$mail ann@example.org now$x$", r"SELECT E'Ann O\'Neill'",
        "SELECT 1 /* for Ann O'Neill */", "SELECT 1 -- ann@example.org", "SELECT 'ANN O''NEILL'", r"SELECT E'\x41nn'", "SELECT 'Ann O''Neill",
        "SELECT U&'\\0041nn'", "SELECT 'someone.else@example.org'", "SELECT \"x\", 'ann@example.org' || \"y\"",
    ],
)  # fmt: skip
def test_a_value_is_masked_in_whatever_form_a_statement_writes_it(sql: str) -> None:
    masked = masked_arguments({"sql": sql}, PREVIEW)["sql"]
    assert MASK in masked
    assert not [value for value in PRIVATE if value in masked.casefold()]


def test_what_is_not_personal_stays_readable() -> None:
    arguments = {"table": "clients", "status": "paused", "rows": [7, 41], "deep": {"to": "ann@example.org"}, "ok": True}
    assert masked_arguments(arguments, PREVIEW) == {
        "table": "clients", "status": "paused", "rows": [7, MASK], "deep": {"to": MASK}, "ok": True,
    }  # fmt: skip
    plain = "UPDATE orders SET state = 'done', total = 5 WHERE \"id\" = 7 -- as agreed"
    assert masked_arguments({"sql": plain}, None) == {"sql": plain}
    assert masked_text("Changes rows of clients for Ann O'Neill.", PREVIEW) == f"Changes rows of clients for {MASK}."
