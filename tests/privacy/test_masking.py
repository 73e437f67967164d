"""Who may not see personal values sees no constant and no value of a request, and nobody sees a secret."""

from __future__ import annotations

import json

import pytest

from agent.approval.masked_preview import masked_preview, masked_summary
from agent.approval.preview import ToolPreview, preview_from_json
from agent.privacy.masked_texts import HIDDEN_CODE, masked_code, sql_by_names
from agent.privacy.masking import (
    HIDDEN_SQL,
    MASK,
    masked_arguments,
    masked_reasons,
    masked_result,
    masked_sql,
    without_secrets,
)

SQL = "UPDATE clients SET email = 'new@example.org', status = 'paused', age = 41 WHERE full_name = 'Ann O''Neill' AND id = 7"
PREVIEW = {
    "sql": SQL, "shown_sql": SQL, "sentence": "Changes rows of clients. 1 row affected.", "row_count": 1,
    "columns": ["id", "full_name", "email", "status", "age", "Ann O'Neill"], "personal": ["full_name", "email", "age"], "secret": [],
    "rows": [{
        "before": {"id": 7, "full_name": "Ann O'Neill", "email": "ann@example.org", "status": "active", "age": 40, "note": "Ann O'Neill called", "doc": {"iban": "x"}},
        "after": {"id": 7, "full_name": "Ann O'Neill", "email": "new@example.org", "status": "paused", "age": 41, "note": None, "doc": {"k": 1}},
        "changed": ["email", "status", "age", "note", "doc"],
    }],
    "others": [{"table": "public.mails", "personal": ["address"], "secret": [], "more": False, "volatile": [], "effect": {"rows": "1"}, "rows": [{"before": None, "after": {"id": 1, "address": "Ring 5"}, "changed": []}]}],
    "tables": [{"table": "public.clients", "inserted": 0, "updated": 1, "deleted": 0}], "effect": {"rows": "1.2", "cells": {"email": ["3.4", "5.6"]}},
    "origins": ["email 'new@example.org' was not said by the user: it comes from Ann's ticket."], "remark": "for Ann O'Neill",
    "notices": ["mailed ann@example.org about it"], "not_previewed": [], "volatile": [], "fingerprint": "f",
}  # fmt: skip
PRIVATE = ("ann", "neill", "example.org", "ring 5", "41", "40", "iban")
PLANTED = ("anna", "smith", "firm.example", "4917", "q77xya", "neill")


def test_no_personal_value_is_left_anywhere_in_the_preview() -> None:
    shown = masked_preview(preview_from_json(PREVIEW)).to_json()
    text = json.dumps(shown, ensure_ascii=False).casefold()
    assert not [value for value in PRIVATE if value in text]
    assert shown["sql"] == (
        f"UPDATE clients SET email = '{MASK}', status = '{MASK}', age = {MASK} WHERE full_name = '{MASK}' AND id = {MASK}"
    )
    assert shown["rows"][0]["after"] == {
        "id": 7, "full_name": MASK, "email": MASK, "status": "paused", "age": MASK, "note": None, "doc": {"k": 1},
    }  # fmt: skip
    assert (shown["fingerprint"], shown["row_count"], shown["sentence"]) == ("f", 1, PREVIEW["sentence"])


def test_masking_changes_nothing_of_what_is_stored() -> None:
    before = json.dumps(PREVIEW)
    masked_preview(preview_from_json(PREVIEW))
    masked_arguments({"sql": SQL}, "execute_sql", sql=SQL)
    assert json.dumps(PREVIEW) == before


# Each holds a personal value where a scanner that is not Postgres's own may not look for it.
TRICKS = [
    "/* /* */ ' */ UPDATE contacts SET email = 'anna.smith@firm.example' WHERE id = 7",
    "UPDATE c SET a = 1 /* /* /* ' */ $$ */ anna */ WHERE b = 'anna'",
    "UPDATE c SET a = $x$ it's $$ anna $$ $x$ WHERE b = $$anna$$",
    r"UPDATE c SET a = E'it\'s anna', b = E'\x61nna' -- ' anna",
    r"UPDATE c SET a = U&'\0061nna smith' WHERE b = U&'anna!0020smith' UESCAPE '!'",
    "UPDATE c SET a = 'an'\n'na' WHERE b = 'x' -- anna\n'smith'",
    "UPDATE c SET a = N'anna', b = B'0101', d = X'616e6e61'",
    "UPDATE c SET phone = 491701234567, b = 4917.5e3, d = -4917, e = 0x4917, f = 4_917 WHERE a = ANY ('{anna,smith}')",
    'SELECT 1 AS "anna.smith@firm.example" FROM c',
    'SELECT 1 AS "Anna Smith", 2 AS U&"\\0061nna"',
    "SELECT 1 AS t491701234567",
    "SELECT $491701234",
    "INSERT INTO c (a) VALUES ('anna'), ('smith') ON CONFLICT (a) DO UPDATE SET b = 'anna'",
    "SELECT 'anna'::text COLLATE \"C\", interval 'P4917D', json '{\"anna\": 1}' -> 'anna'",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $f$ SELECT 'anna' $f$",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 'anna'; SELECT 'smith' /* anna */; END",
    "DO $anna$ BEGIN PERFORM 'smith'; END $anna$",
    "COMMENT ON TABLE c IS 'anna'",
    "NOTIFY c, 'anna smith'",
    "SELECT 'anna' /*", "SELECT 'anna", "SELECT \"anna smith", "anna smith", "SELECT 1; SELECT 'anna'", "SELECT 1 anna smith", "",
    "COPY c FROM stdin;\nanna\tsmith\n\\.", "SELECT 1\0 anna", "SELECT '\ud800anna'", f"SELECT {'1+' * 12_000}'anna'",
]  # fmt: skip


@pytest.mark.parametrize("sql", TRICKS)
def test_whatever_form_a_value_has_in_a_statement_it_is_not_shown(sql: str) -> None:
    shown = masked_sql(sql)
    assert not [value for value in PLANTED if value in shown.casefold()], shown
    assert masked_arguments({"sql": sql, "deep": [{"sql": sql}]}, "execute_sql")["sql"] == shown
    assert MASK in shown or shown == HIDDEN_SQL


def test_the_shape_of_a_statement_stays_readable_and_known_names_too() -> None:
    sql = 'UPDATE shop."Order Lines" SET "unit price" = price * 2 WHERE id IN (SELECT $1) AND NOT done IS TRUE'
    masked = masked_sql(sql, known={"Order Lines", "unit price"})
    assert masked == sql.replace("* 2", f"* {MASK}")
    assert masked_sql(sql).count(f'"{MASK}"') == 2


def test_names_that_a_statement_gives_itself_are_numbered_and_still_tell_what_belongs_together() -> None:
    sql = (
        "WITH anna AS (SELECT id AS smith FROM orders) UPDATE clients AS Neill SET status = 'x', smith = 1"
        " FROM anna(jones) WHERE neill.id = anna.jones RETURNING status AS Q77XYA"
    )
    masked = masked_sql(
        sql.replace("anna(jones)", "anna AS t(jones)").replace("anna.jones", "t.jones"), known={"smith"}
    )
    assert masked == (
        f"WITH name1 AS (SELECT id AS smith FROM orders) UPDATE clients AS name3 SET status = '{MASK}', smith = {MASK}"
        " FROM name1 AS name5(name2) WHERE name3.id = name5.name2 RETURNING status AS name4"
    )


def test_every_value_of_other_arguments_is_masked_and_every_key_that_is_no_name() -> None:
    arguments = {
        "to": ["anna@firm.example"], "body": "Dear Anna", "n": 41, "ok": True, "none": None,
        "deep": {"status": "paused", "anna@firm.example": 1, "Anna Smith": [2]},
    }  # fmt: skip
    assert masked_arguments(arguments, "send_email") == {
        "to": [MASK], "body": MASK, "n": MASK, "ok": True, "none": None, "deep": {"status": MASK, MASK: MASK, f"{MASK} (2)": [MASK]},
    }  # fmt: skip
    assert masked_arguments({"execution_id": 31}, "undo_change") == {"execution_id": 31}
    assert masked_arguments({"table": "clients", "columns": ["id", "Anna Smith"]}, "query_data") == {
        "table": "clients", "columns": ["id", MASK],
    }  # fmt: skip


def test_of_code_the_constants_and_comments_are_masked() -> None:
    code = 'def run(n: int = 4917) -> str:\n    """Mails Anna."""\n    # for Anna\n    return f"anna {n!r}" + b"smith".decode() \\\n        + "x"\n'
    shown = masked_arguments({"name": "mailer", "code": code, "hosts": ["api.firm.org"]}, "create_new_tool")
    assert not [value for value in PLANTED if value in shown["code"].casefold()]
    assert (shown["name"], shown["hosts"]) == ("mailer", ["api.firm.org"])
    assert "def run(n: int" in shown["code"]
    assert masked_code("please mail anna smith") == HIDDEN_CODE
    assert masked_code("x = 'anna") == HIDDEN_CODE


def test_what_is_no_statement_is_shown_by_its_masked_arguments_only() -> None:
    arguments = {"to": ["anna@firm.example"], "subject": "Hello Anna", "body": "Dear Anna"}
    preview = {
        "sentence": "Sends a mail to anna@firm.example.", "masked_sentence": "Sends a mail to 1 recipient.", "text": "To: anna@firm.example",
        "links": ["https://anna.example"], "via": "smtp", "place": "mail.firm.example:25", "from": "bot@firm.example", "origins": ["to 'anna@firm.example' leads to 'firm.example'."],
    }  # fmt: skip
    shown = masked_preview(preview_from_json(preview), "send_email", arguments).to_json()
    assert not [value for value in PLANTED if value in json.dumps(shown).casefold()]
    assert (shown["sentence"], shown["links"], shown["via"]) == ("Sends a mail to 1 recipient.", [MASK], "smtp")
    proposed = ToolPreview(
        sentence="Makes the tool anna@firm.example.", text="Anna", version=2, content_hash="aa", tests=("anna",)
    )
    made = masked_preview(proposed, "create_new_tool", {"description": "Mails Anna"}).to_json()
    assert not [value for value in PLANTED if value in json.dumps(made).casefold()]
    assert (made["version"], made["tests"], "content_hash" in made) == (2, [MASK], False)
    assert masked_summary("Mail Anna", "send_email", None) == "Allow send_email?"
    assert masked_reasons(["outside:email", "domain:firm.example"]) == ("outside:email", f"domain:{MASK}")


def test_of_a_result_it_is_shown_whether_and_how_many() -> None:
    result = {
        "success": True, "status": "succeeded", "row_count": 1, "columns": ["id", "anna@firm.example"], "rows": [[7, "anna"]],
        "sql": "SELECT 'anna'", "message": "Done: 1 row affected.", "approval_id": 3,
    }  # fmt: skip
    assert masked_result(result) == {
        "success": True, "status": "succeeded", "row_count": 1, "columns": ["id", MASK], "rows": [[MASK, MASK]],
        "sql": f"SELECT '{MASK}'", "message": "Done: 1 row affected.", "approval_id": 3,
    }  # fmt: skip
    assert masked_result({"error": "Key (email)=(anna) exists.", "message": "used instead: anna"}) == {
        "error": MASK, "message": MASK,
    }  # fmt: skip


def test_secrets_are_shown_to_nobody_by_their_keys_and_by_their_form() -> None:
    given = {"api_key": "abc", "note": "use sk-live-abcdefgh12345 now", "user": {"password": "hunter2", "id": 5}}
    assert without_secrets(given) == {
        "api_key": MASK, "note": f"use {MASK} now", "user": {"password": MASK, "id": 5},
    }  # fmt: skip
    assert "hunter2" not in sql_by_names("UPDATE users SET password = 'hunter2' WHERE id = 7")
    assert sql_by_names("UPDATE users SET name = 'Bob' WHERE id = 7") == "UPDATE users SET name = 'Bob' WHERE id = 7"
