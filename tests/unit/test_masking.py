"""An approver who may not see personal data sees none of it, wherever the request repeats it."""

from __future__ import annotations

import json

import pytest

from agent.approval.masking import MASK, masked_arguments, masked_preview, masked_text
from agent.execution.statements.sql_parsing import parse
from agent.execution.writes.personal import personal_literals

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


def test_beside_a_personal_key_of_json_the_rest_of_the_request_stays_readable() -> None:
    logged = {"id": 4, "status": "paused", "vat_number": "DE999", "contact": {"email": "ann@example.org"}}
    shown = masked_preview({
        "sql": "UPDATE clients SET status = 'paused' WHERE id = 4", "personal": [], "personal_literals": [],
        "rows": [{"before": {"id": 4, "status": "active"}, "after": {"id": 4, "status": "paused", "vat": "DE999"}, "changed": []}],
        "others": [{"table": "audit_log", "personal": [], "rows": [{"before": None, "after": {"row": logged}, "changed": []}]}],
    })  # fmt: skip
    assert shown["sql"] == "UPDATE clients SET status = 'paused' WHERE id = 4"
    assert shown["rows"][0]["after"] == {"id": 4, "status": "paused", "vat": MASK}
    assert shown["others"][0]["rows"][0]["after"] == {"row": MASK}


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


# Each has Q77XYA right beside a personal column, and 'open' beside none.
COMPARED = [
    "INSERT INTO people (state, ssn) VALUES ('open', 'x'), ('open', 'Q77XYA')",
    "INSERT INTO people (id, state) VALUES (1, 'open') ON CONFLICT (id) DO UPDATE SET ssn = 'Q77XYA', state = 'open'",
    "MERGE INTO people p USING (VALUES (1)) x(i) ON p.id = x.i WHEN MATCHED AND state = 'open' THEN UPDATE SET ssn = 'Q77XYA'",
    "UPDATE people SET ssn = upper('q77xya'::text), state = 'open' WHERE made < now() - interval '30 days'",
    "WITH w AS (INSERT INTO people (state, ssn) VALUES ('open', 'Q77XYA') RETURNING id) SELECT id FROM w",
    "UPDATE people SET state = 'open' WHERE ssn IN ('x', 'Q77XYA')",
    "UPDATE people SET state = 'open' WHERE 'Q77XYA' = ssn AND note = 'open'",
    "UPDATE people SET state = 'open' WHERE ssn LIKE 'Q77XYA%'",
    "UPDATE people SET state = 'open' WHERE ssn = CAST('Q77XYA' AS varchar(9))",
]  # fmt: skip
# Each brings Q77XYA to a personal column by its place in a row, through other names, or in JSON.
BROUGHT = [
    "INSERT INTO people (id, ssn, state) SELECT nextval('s'), 'Q77XYA', 'open'",
    "INSERT INTO people (state, ssn) SELECT 'open', 'x' UNION ALL SELECT 'open', 'Q77XYA'",
    "INSERT INTO people (id, ssn) SELECT a, b FROM (VALUES (1, 'Q77XYA', 'open')) v(a, b, c) WHERE c = 'open'",
    "INSERT INTO people (id, ssn) SELECT * FROM (SELECT 1, 'Q77XYA' FROM log WHERE state = 'open') v(a, b)",
    "INSERT INTO people (id, state, note) VALUES (1, 'open', 'Q77XYA') ON CONFLICT (id) DO UPDATE SET ssn = excluded.note",
    "INSERT INTO users (name, state) VALUES ('Q77XYA', 'open')",
    "MERGE INTO people p USING (VALUES (1)) x(i) ON p.id = x.i WHEN NOT MATCHED THEN INSERT (id, ssn, state) VALUES (x.i, 'Q77XYA', 'open')",
    "MERGE INTO people p USING (VALUES (1, 'Q77XYA', 'open')) x(i, s, o) ON p.id = x.i WHEN MATCHED THEN UPDATE SET ssn = s, state = o",
    "UPDATE people SET (state, ssn) = ('open', 'Q77XYA')",
    "UPDATE people SET (state, ssn) = (SELECT 'open', 'Q77XYA')",
    "UPDATE people SET ssn = v.s FROM (VALUES ('open', 'Q77XYA')) v(o, s) WHERE state = v.o",
    "UPDATE people SET ssn = v FROM unnest(ARRAY['Q77XYA']) v WHERE state = 'open'",
    "UPDATE people SET ssn = e.value FROM jsonb_each_text('{\"a\": \"Q77XYA\"}') e WHERE state = 'open'",
    "WITH w AS (SELECT 1, 'Q77XYA') UPDATE people SET ssn = x.b FROM w AS x(a, b) WHERE state = 'open'",
    "WITH w AS (INSERT INTO log (note) VALUES ('Q77XYA') RETURNING note AS n) UPDATE people SET ssn = n, state = 'open' FROM w",
    "UPDATE people SET state = 'open' WHERE upper(trim(ssn)) = 'Q77XYA'",
    "UPDATE people SET state = 'open' WHERE ssn IN (SELECT 'Q77XYA')",
    "UPDATE people SET state = 'open' WHERE (note, ssn) = ('x', 'Q77XYA')",
    "UPDATE people SET state = 'open' WHERE starts_with(ssn, 'Q77XYA')",
    "DELETE FROM people p WHERE EXISTS (SELECT p.ssn INTERSECT SELECT 'Q77XYA') AND state = 'open'",
    "DELETE FROM people p USING (SELECT 'Q77XYA'::text) v WHERE p.ssn = v.text AND state = 'open'",
    "UPDATE people SET doc = '{\"a\": [{\"ssn\": \"Q77XYA\"}]}', state = 'open'",
    "UPDATE people SET doc = jsonb_build_object('ssn', 'Q77XYA'), state = 'open'",
    "UPDATE people SET doc = JSON_OBJECT('ssn': 'Q77XYA'), state = 'open'",
    "UPDATE people SET doc['ssn'] = '\"Q77XYA\"', person.state = 'open'",
    "UPDATE people SET state = 'open' WHERE doc->>'ssn' = 'Q77XYA'",
    "CREATE TABLE x (ssn, state) AS SELECT 'Q77XYA', 'open'",
    "ALTER TABLE people ADD COLUMN ssn text DEFAULT 'Q77XYA'",
]  # fmt: skip


def shown_of(sql: str, *known: list[str]) -> str:
    """A statement of which nothing was tried, as it is shown to who may not see personal data."""
    preview = {"sql": sql, "personal_literals": personal_literals(parse(sql), *known)}
    shown = masked_preview(preview)["sql"]
    assert masked_arguments({"sql": sql}, preview)["sql"] == shown
    return str(shown)


@pytest.mark.parametrize("sql", [*COMPARED, *BROUGHT])
def test_what_a_statement_puts_beside_a_personal_column_is_masked_and_nothing_else(sql: str) -> None:
    shown = shown_of(sql)
    assert "Q77XYA" not in shown.upper()
    assert shown.count("'open'") == sql.count("'open'")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO things VALUES (nextval('s'), 'Q77XYA', 771234)",
        "INSERT INTO things SELECT 5, 'Q77XYA', 771234",
        "MERGE INTO things t USING (VALUES (1)) x(i) ON t.id = x.i WHEN NOT MATCHED THEN INSERT VALUES (x.i, 'Q77XYA', 771234)",
        "WITH w AS (INSERT INTO things VALUES (1, 'Q77XYA', 771234) RETURNING id) UPDATE others SET state = 'open' FROM w",
    ],
)
def test_without_names_of_columns_all_of_a_row_is_masked(sql: str) -> None:
    shown = shown_of(sql)
    assert "Q77XYA" not in shown
    assert "771234" not in shown
    assert ("'open'" in sql) == ("'open'" in shown)


def test_without_names_in_the_statement_the_tables_columns_say_what_is_masked() -> None:
    sql = "INSERT INTO things VALUES (nextval('s'), 'Q77XYA', 'open')"
    assert (
        shown_of(sql, ["code"], ["id", "code", "state"])
        == f"INSERT INTO things VALUES (nextval('s'), '{MASK}', 'open')"
    )
    assert shown_of(sql, [], ["id", "code", "state"]) == sql
    assert "'open'" not in shown_of(sql, ["code"], ["id", "code"])


def test_a_constant_that_may_go_anywhere_is_masked_where_there_is_a_personal_column() -> None:
    assert shown_of("UPDATE things SET a = 1 WHERE 'x' = 'Q77XYA'") == "UPDATE things SET a = 1 WHERE 'x' = 'Q77XYA'"
    assert "Q77XYA" not in shown_of("UPDATE things SET ssn = note WHERE 'x' = 'Q77XYA'")


def test_every_row_of_many_is_masked_with_signs_and_long_texts() -> None:
    rows = ", ".join(f"({number}, 'x{number}y')" for number in range(1000))
    assert "y'" not in shown_of(f"INSERT INTO people (id, ssn) VALUES {rows}")
    assert shown_of("UPDATE people SET salary = -77123") == f"UPDATE people SET salary = -{MASK}"
    preview = {"personal_literals": personal_literals(parse(f"UPDATE people SET ssn = '{'long ' * 60}end'"))}
    assert masked_text(f"Sets {'long ' * 60}end.", preview) == f"Sets {MASK}."
