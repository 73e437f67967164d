"""What "always allow this" stands for: generated statements and calls, and everything that only looks like them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approval.permissions import Permission
from agent.approval.preview import StatementPreview, TableEffect
from agent.errors import InvalidInput
from agent.execution.permissions.scope import (
    Always,
    bounds_of,
    constants_of,
    fits_arguments,
    fits_statement,
    pattern_of_arguments,
    pattern_of_statement,
    rows_of,
    sentence_of_statement,
    within,
)
from agent.statements.parser import parse
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


def key(text: str) -> str:
    return f"keyed {text}"


def pattern(sql: str, always: Always = HOUR, objects: tuple[str, ...] = ("public.items",)) -> dict[str, Any]:
    return pattern_of_statement(parse(sql), objects, policy="1", always=always, key=key)


def fits(known: dict[str, Any], sql: str, objects: tuple[str, ...] = ("public.items",), policy: str = "1") -> bool:
    return fits_statement(known, parse(sql), objects, policy=policy, key=key)


def all_free(sql: str) -> Always:
    return replace(HOUR, free=tuple(str(one.number) for one in constants_of(parse(sql)) if one.how))


def kind(literal: str) -> str:
    return "text" if literal.startswith("'") else "number"


@given(st.sampled_from(TEMPLATES), st.sampled_from(TEMPLATES), literals, literals, literals, literals)
def test_what_is_allowed_by_default_is_exactly_what_was_shown(
    one: str, other: str, a: str, b: str, c: str, d: str
) -> None:
    known = pattern(one.format(a, b))
    assert fits(known, other.format(c, d)) == (one == other and same(a, c) and same(b, d))


def same(one: str, other: str) -> bool:
    """Whether two literals are one constant to the parser."""
    return parse(f"SELECT {one}").parts[-1][1] == parse(f"SELECT {other}").parts[-1][1]


PLAIN = "UPDATE items SET state = {} WHERE id = {}"


@given(literals, literals, literals, literals, st.sets(st.sampled_from("12")))
def test_what_was_freed_may_be_any_value_of_its_kind_and_nothing_else(
    a: str, b: str, c: str, d: str, free: set[str]
) -> None:
    known = pattern(PLAIN.format(a, b), replace(HOUR, free=tuple(free)))
    right = (kind(a) == kind(c) if "1" in free else same(a, c)) and (kind(b) == kind(d) if "2" in free else same(b, d))
    assert fits(known, PLAIN.format(c, d)) == right


@given(literals, literals)
def test_comments_spaces_and_case_are_no_other_statement_and_text_is_no_statement(a: str, b: str) -> None:
    known = pattern(f"UPDATE items SET state = {a} WHERE id = {b}")
    assert fits(known, f"update  items -- x\n set STATE={a} /* or true */ where\tid={b} ")
    assert not fits(known, f"UPDATE items SET state = {a} WHERE id = {b} OR 'x' = 'x'")


@pytest.mark.parametrize(
    "value", ["true", "false", "NULL", "DEFAULT", "current_user", "now()", "id", "(SELECT 1)", "-id", "1.5::int", "$1"]
)
def test_what_is_no_constant_takes_no_freed_place(value: str) -> None:
    sql = PLAIN.format("'a'", "1")
    assert not fits(pattern(sql, all_free(sql)), PLAIN.format("'a'", value))


@pytest.mark.parametrize(
    ("sql", "choices"),
    [
        ("UPDATE items SET state = 'a', n = 5::int WHERE id = 1 AND ('x' = note)", {1: "state", 2: "n", 3: "id", 4: "note"}),
        ("UPDATE items SET state = 'a' WHERE name LIKE 'Name2%' AND id IN (1, 2) AND n > 3", {1: "state"}),
        ("UPDATE items SET state = upper('a'), n = n + 1 WHERE note ~ '^a' OR id = 1", {}),
        ("DELETE FROM items WHERE NOT id = 1", {}),
        ("DELETE FROM items WHERE id <> 1 AND n BETWEEN 1 AND 2 AND id = ANY (ARRAY[1])", {}),
        ("DELETE FROM items WHERE id = 1 AND id IN (SELECT id FROM others WHERE id = 2 LIMIT 3)", {1: "id"}),
        ("INSERT INTO items (state, id) VALUES ('a', 1), ('b', 1 + 1)", {1: "state", 2: "id", 3: "state"}),
        ("INSERT INTO items SELECT 'a', 1", {}),
        ("UPDATE items SET n = 'a'::regclass WHERE id OPERATOR(public.=) 1", {}),
    ],
)  # fmt: skip
def test_patterns_lists_limits_ranges_and_operators_cannot_be_freed(sql: str, choices: dict[int, str]) -> None:
    constants = constants_of(parse(sql))
    assert {one.number: one.column for one in constants if one.how} == choices
    for one in constants:
        if not one.how:
            with pytest.raises(InvalidInput, match="stays as it is"):
                pattern(sql, replace(HOUR, free=(str(one.number),)))


@pytest.mark.parametrize("word", ["0", "3", "-1", "id", "1x", "9" * 30, ""])
def test_what_is_no_constant_of_the_statement_cannot_be_freed(word: str) -> None:
    with pytest.raises(InvalidInput, match="no constant"):
        pattern(PLAIN.format("'a'", "1"), replace(HOUR, free=(word,)))


def test_what_is_freed_is_said_in_words() -> None:
    sql = PLAIN.format("'a'", "1")
    assert sentence_of_statement(sql, pattern(sql)) == sql
    words = sentence_of_statement(sql, pattern(sql, all_free(sql)))
    assert words.startswith(f"{sql}; but state may be set to any text (constant 1) and id may be any number")


def test_other_tables_and_policies_do_not_fit_and_no_pattern_holds_a_value() -> None:
    sql = "UPDATE items SET state = 'anna@firm.example' WHERE id = 1"
    assert not fits(pattern(sql), sql, ("second.items",))
    assert not fits(pattern(sql), sql, policy="2")
    assert "anna" not in str(pattern(sql, all_free(sql)))
    assert "anna" not in str(pattern_of_arguments({"to": "anna"}, policy="1", always=HOUR, key=key))


names = st.sampled_from(["to", "body", "amount", "client_id"])
values = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2))


@given(st.dictionaries(names, values, min_size=1), st.dictionaries(names, values), st.sets(names))
def test_of_a_call_only_freed_arguments_differ(one: dict[str, Any], other: dict[str, Any], free: set[str]) -> None:
    freed = tuple(sorted(free & set(one)))
    known = pattern_of_arguments(one, policy="1", always=replace(HOUR, free=freed), key=key)
    same = set(one) == set(other) and all(one[name] == other[name] for name in one if name not in freed)
    assert fits_arguments(known, other, policy="1", key=key) == same
    assert not fits_arguments(known, one, policy="2", key=key)


def permission(**values: Any) -> Permission:
    given = {
        "id": 1, "tool": "execute_sql", "pattern": {"reasons": ["write:update"], "rows": {"": 3}}, "sentence": "", "tables": ("public.items",),
        "risk_ceiling": "MEDIUM", "most_rows": 3, "granted_to": "a", "granted_by": "b", "comment": None, "approval_id": 1,
        "created_at": NOW, "expires_at": NOW, "revoked_at": None, "revoked_by": None,
    }  # fmt: skip
    return Permission(**{**given, **values})


def shown(
    table: str = "public.items", rows: int | None = 1, *, more: int = 0, origins: tuple[str, ...] = ()
) -> StatementPreview:
    table_effect = TableEffect(table=table, inserted=0, updated=(rows or 0) + more, deleted=0)
    return StatementPreview(row_count=rows, tables=(table_effect,), origins=origins)


@given(st.sampled_from(RISK_LEVELS), st.integers(0, 6), st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_a_permission_ends_at_its_risk_rows_tables_reasons_and_origins(
    risk: Any, rows: int, more: int, another: bool, other_reason: bool, origins: bool
) -> None:
    tried = shown("public.other" if another else "public.items", rows, more=more, origins=("x",) if origins else ())
    reasons = ["write:update", *(["lock:AccessExclusiveLock"] if other_reason else [])]
    inside = risk in {"LOW", "MEDIUM"} and rows + more <= 3 and not (another or other_reason or origins)
    assert within(permission(), risk=risk, reasons=reasons, preview=tried) == inside


def test_what_is_not_counted_is_never_inside() -> None:
    assert rows_of(shown(rows=None)) is None
    assert not within(permission(), risk="LOW", reasons=["write:update"], preview=shown(rows=None))
    for risk in RISK_LEVELS:
        assert not within(permission(risk_ceiling="CRITICAL"), risk="CRITICAL", reasons=[], preview=shown()), risk


def test_rows_are_bounded_by_what_was_shown_of_each_table_or_by_a_number() -> None:
    one, nine = (
        TableEffect(table="a", inserted=0, updated=1, deleted=0),
        TableEffect(table="b", inserted=9, updated=0, deleted=0),
    )
    first = StatementPreview(row_count=1, tables=(one, nine))
    later = StatementPreview(row_count=5, tables=({**one, "updated": 5},))
    limits = {"risk": "LOW", "reasons": ["write:update"]}
    for most_rows, inside in ((None, False), (10, True)):
        given = permission(
            pattern={"reasons": ["write:update"], "rows": bounds_of(first, most_rows)}, most_rows=10, tables=("a", "b")
        )
        assert within(given, preview=first, **limits)
        assert within(given, preview=later, **limits) == inside


def test_a_permission_of_before_that_does_not_say_how_many_rows_allows_nothing() -> None:
    old = permission(pattern={"reasons": ["write:update"], "tree": "x", "kept": {}})
    assert not within(old, risk="LOW", reasons=["write:update"], preview=shown())
