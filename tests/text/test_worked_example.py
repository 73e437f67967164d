"""An earlier question's SQL for a new question: constants change, another wording says the same, and in doubt there is no match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.text.worked_example import WorkedExample, example_in, explains, text_of

CITY = WorkedExample("How many clients are in Berlin?", "SELECT count(*) FROM clients WHERE city = 'Berlin'")
TOP = WorkedExample(
    "Which 5 active clients spent most in the last 30 days?",
    "SELECT c.name FROM clients c WHERE c.status = 'active' AND c.at > now() - interval '30 days' ORDER BY spent DESC LIMIT 5",
)
STATES = {"active": "active", "paused": "paused"}


def applied(example: WorkedExample, question: str) -> str | None:
    found = example.apply(question, lambda word: STATES.get(word.casefold()))
    return found.sql if found else None


@pytest.mark.parametrize(
    ("question", "city"),
    [
        ("how many clients are there in Köln", "Köln"),
        ("How many clients are in 'Bad Homburg'?", "Bad Homburg"),
        ("What is the number of clients in O'Hara", "O''Hara"),
        ("How many customers are located in Berlin, please?", "Berlin"),
    ],
)
def test_a_question_that_differs_in_a_constant_or_in_its_wording_gets_the_sql(question: str, city: str) -> None:
    assert applied(CITY, question) == f"SELECT count(*) FROM clients WHERE city = '{city}'"


def test_numbers_states_and_units_are_constants() -> None:
    sql = applied(TOP, "Which three paused clients spent most in the last 7 days?")
    assert sql == (
        "SELECT c.name FROM clients c WHERE c.status = 'paused' AND c.at > now() - interval '7 days' ORDER BY spent DESC LIMIT 3"
    )


@pytest.mark.parametrize(
    "question",
    [
        "How many clients are not in Berlin?",
        "How many clients are in last month?",
        "How many invoices are in Berlin?",
        "How many active clients are in Berlin?",
        "Which clients are in Berlin?",
        "How many clients are in Berlin or Köln?",
        "How many clients are in Berlin this year?",
        "How many clients are there?",
        "How many clients arrived in Berlin?",
        "Average number of orders of clients in Berlin",
        "",
    ],
)
def test_a_question_that_asks_something_else_gets_nothing(question: str) -> None:
    assert applied(CITY, question) is None


@pytest.mark.parametrize(
    "question",
    [
        "Which 5 active clients spent least in the last 30 days?",
        "Which 5 churned clients spent most in the last 30 days?",
        "Which 5 active clients spent most in the last 30 weeks?",
        "Which 5 active clients spent most in the next 30 days?",
    ],
)
def test_a_word_that_decides_is_not_passed_over(question: str) -> None:
    assert applied(TOP, question) is None


def test_a_value_cannot_end_the_constant_that_it_stands_in() -> None:
    sql = applied(CITY, """How many clients are in "x'; DROP TABLE clients; --"?""")
    assert sql == "SELECT count(*) FROM clients WHERE city = 'x''; DROP TABLE clients; --'"
    escaped = WorkedExample("How many clients are in Berlin?", r"SELECT count(*) FROM clients WHERE city = E'Berlin'")
    assert applied(escaped, r"""How many clients are in "x\"?""") is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_taken_and_an_example_survives_its_text(question: str, sql: str) -> None:
    example = WorkedExample(question, sql)
    example.apply(question, lambda _: None)
    assert isinstance(example.family, str)
    assert isinstance(example.shape, str)
    if sql.strip():
        again = example_in(text_of(question, sql))
        assert again is not None
        assert (again.question, again.sql) == (question, sql)


def test_constants_that_nobody_said_are_found() -> None:
    assert explains("SELECT count(*) FROM t WHERE city = 'Berlin' AND n > 5 LIMIT 1", "in berlin, more than five")
    assert not explains("SELECT count(*) FROM t WHERE city = 'Berlin' AND n > 6", "in berlin, more than five")
    assert not explains("SELECT count(*) FROM t WHERE city = $$Berlin$$", "in berlin")
