"""What "always allow this" stands for: generated statements and calls, and everything that only looks like them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approval.permissions import Permission
from agent.execution.patterns import (
    Always,
    fits_arguments,
    fits_statement,
    pattern_of_arguments,
    pattern_of_statement,
    rows_of,
    within,
)
from agent.execution.statements.sql_parsing import parse
from agent.types import RISK_LEVELS

HOUR = Always(seconds=3600)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATES = (
    "UPDATE items SET state = {} WHERE id = {}",
    "UPDATE items SET state = {} WHERE id > {}",
    "UPDATE items SET note = {} WHERE id = {}",
    "UPDATE items SET state = {} WHERE id = {} AND true",
    "UPDATE items SET state = {} WHERE id = {} OR true",
    "UPDATE items SET state = {} WHERE NOT id = {}",
    "UPDATE items SET state = {} WHERE id IN ({})",
    "UPDATE items SET state = {} WHERE id IN ({}, 1)",
    "UPDATE second.items SET state = {} WHERE id = {}",
    "UPDATE other SET state = {} WHERE id = {}",
    "UPDATE items SET state = {}, id = {}",
    "UPDATE items AS i SET state = {} WHERE id = {}",
    "UPDATE items SET state = lower({}) WHERE id = {}",
    "UPDATE items SET state = {} WHERE id = ({})::bigint",
    "DELETE FROM items WHERE state = {} AND id = {}",
    "INSERT INTO items (state, id) VALUES ({}, {})",
    "INSERT INTO items (id, state) VALUES ({}, {})",
)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
literals = st.one_of(
    st.integers(-(2**31), 2**31).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=10**6).map(str),
    texts.map(lambda text: "'" + text.replace("'", "''") + "'"),
)


def pattern(sql: str, always: Always = HOUR, objects: tuple[str, ...] = ("public.items",)) -> dict[str, Any]:
    return pattern_of_statement(parse(sql), objects, policy="1", always=always)


def fits(known: dict[str, Any], sql: str, objects: tuple[str, ...] = ("public.items",), policy: str = "1") -> bool:
    return fits_statement(known, parse(sql), objects, policy=policy)


@given(st.sampled_from(TEMPLATES), st.sampled_from(TEMPLATES), literals, literals, literals, literals)
def test_a_statement_fits_exactly_the_pattern_of_its_own_form(
    one: str, other: str, a: str, b: str, c: str, d: str
) -> None:
    known = pattern(one.format(a, b))
    # A constant inside a call may name what the call reaches: it is part of the form.
    same = one == other and ("lower(" not in one or a == c)
    assert fits(known, other.format(c, d)) == same


@given(literals, literals)
def test_comments_spaces_and_case_are_no_other_statement_and_text_is_no_statement(a: str, b: str) -> None:
    known = pattern(f"UPDATE items SET state = {a} WHERE id = {b}")
    assert fits(known, f"update  items -- x\n set STATE={a} /* or true */ where\tid={b} ")
    assert not fits(known, f"UPDATE items SET state = {a} WHERE id = {b} OR 'x' = 'x'")


@pytest.mark.parametrize(
    "value", ["true", "false", "NULL", "DEFAULT", "current_user", "now()", "id", "(SELECT 1)", "-id"]
)
def test_what_is_no_constant_is_part_of_the_form(value: str) -> None:
    assert not fits(
        pattern("UPDATE items SET state = 'a' WHERE id = 1"), f"UPDATE items SET state = {value} WHERE id = 1"
    )


def test_a_boolean_is_no_constant_that_may_differ() -> None:
    assert not fits(pattern("DELETE FROM items WHERE false"), "DELETE FROM items WHERE true")


def test_other_tables_policies_or_kept_constants_do_not_fit() -> None:
    sql = "UPDATE items SET state = 'a' WHERE id = 1"
    assert not fits(pattern(sql), sql, ("second.items",))
    assert not fits(pattern(sql), sql, policy="2")
    kept = pattern(sql, replace(HOUR, keep=(1,)))
    assert fits(kept, sql.replace("= 1", "= 2"))
    assert not fits(kept, sql.replace("'a'", "'b'"))
    assert not fits(kept, "UPDATE items SET state = 1 WHERE id = 'a'")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE t (n int DEFAULT 1)", "CREATE TABLE t (n int DEFAULT 2)"),
        ("ALTER TABLE t SET (fillfactor = 70)", "ALTER TABLE t SET (fillfactor = 80)"),
        ("UPDATE t SET n = nextval('a')", "UPDATE t SET n = nextval('b')"),
        ("UPDATE t SET n = 'a'::regclass", "UPDATE t SET n = 'b'::regclass"),
        ("UPDATE t SET n = 'a'::varchar(3)", "UPDATE t SET n = 'a'::varchar(300)"),
    ],
)
def test_where_a_constant_is_more_than_a_value_it_stays(one: str, other: str) -> None:
    assert fits(pattern(one), one)
    assert not fits(pattern(one), other)


names = st.sampled_from(["to", "body", "amount", "client_id"])
values = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2))


@given(st.dictionaries(names, values, min_size=1), st.dictionaries(names, values), st.sets(names))
def test_of_a_call_only_freed_arguments_differ(one: dict[str, Any], other: dict[str, Any], free: set[str]) -> None:
    freed = tuple(sorted(free & set(one)))
    known = pattern_of_arguments(one, policy="1", always=replace(HOUR, free=freed))
    same = set(one) == set(other) and all(one[name] == other[name] for name in one if name not in freed)
    assert fits_arguments(known, other, policy="1") == same
    assert not fits_arguments(known, one, policy="2")


def permission(**values: Any) -> Permission:
    given = {
        "id": 1, "tool": "execute_sql", "pattern": {"reasons": ["write:update"]}, "sentence": "", "tables": ("public.items",),
        "risk_ceiling": "MEDIUM", "most_rows": 3, "granted_to": "a", "granted_by": "b", "comment": None, "approval_id": 1,
        "created_at": NOW, "expires_at": NOW, "revoked_at": None, "revoked_by": None,
    }  # fmt: skip
    return Permission(**{**given, **values})


def shown(table: str = "public.items", rows: int | None = 1, *, more: int = 0, **others: Any) -> dict[str, Any]:
    tables = [{"table": table, "inserted": 0, "updated": (rows or 0) + more, "deleted": 0}]
    return {"row_count": rows, "tables": tables, **others}


@given(st.sampled_from(RISK_LEVELS), st.integers(0, 6), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_a_permission_ends_at_its_risk_rows_tables_reasons_and_origins(
    risk: Any, rows: int, more: int, another: bool, other_reason: bool, origins: bool
) -> None:
    tried = shown("public.other" if another else "public.items", rows, more=more, origins=["x"] if origins else [])
    reasons = ["write:update", *(["lock:AccessExclusiveLock"] if other_reason else [])]
    inside = risk in {"LOW", "MEDIUM"} and rows + more <= 3 and not (another or other_reason or origins)
    assert within(permission(), risk=risk, reasons=reasons, shown=tried) == inside


def test_what_is_not_counted_is_never_inside() -> None:
    assert rows_of(shown(rows=None)) is None
    assert not within(permission(), risk="LOW", reasons=["write:update"], shown=shown(rows=None))
    for risk in RISK_LEVELS:
        assert not within(permission(risk_ceiling="CRITICAL"), risk="CRITICAL", reasons=[], shown=shown()), risk
