"""How the offline model reads words, numbers, spans of time, schema text and memory lines."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from agent.providers.offline_model.dates import period_at
from agent.providers.offline_model.intents.mail import mail
from agent.providers.offline_model.memory_parser import meaning_of, meanings, parse_memories
from agent.providers.offline_model.schema_parser import parse_schema
from agent.providers.offline_model.tokenizer import clean, number_of, sentence_of, stem, words_of
from agent.providers.offline_model.turn_view import turn_of

SCHEMA = '''
TABLE public.orders ~5000 rows -- what customers ordered
  id bigint pk
  client_id bigint not null -> public.clients(id)
  status order_status not null in (draft|in transit|(odd)) -- where it is -> public.fake(id)
  total numeric(12,2)
  placed_at timestamp with time zone -- when confirmed
  email text masked
  secret text unreadable
TABLE "My Schema"."Order ""Lines""" ~9 rows
  "order" bigint not null
  line_no integer not null
  pk ("order", line_no)
  fk ("order", line_no) -> public.depots(region, depot)
FUNCTION public.f(a integer) returns text -- comment
MATERIALIZED VIEW public.sums
  id bigint
'''


def test_schema_text_becomes_relations_with_columns_keys_and_values():
    orders, lines, sums = parse_schema([SCHEMA])
    assert orders.id == ("public", "orders")
    assert orders.comment == "what customers ordered"
    assert [c.name for c in orders.columns] == ["id", "client_id", "status", "total", "placed_at", "email", "secret"]
    assert orders.key == ("id",)
    assert orders.foreign_keys[0].target == ("public", "clients")
    assert len(orders.foreign_keys) == 1
    status = orders.column("status")
    assert status is not None
    assert status.values == ("draft", "in transit", "(odd)")
    placed = orders.column("placed_at")
    assert placed is not None
    assert placed.temporal
    assert placed.type == "timestamp with time zone"
    assert [c.name for c in orders.columns if not c.readable] == ["secret"]
    assert lines.id == ("My Schema", 'Order "Lines"')
    assert lines.key == ("order", "line_no")
    assert lines.foreign_keys[0].columns == ("order", "line_no")
    assert lines.foreign_keys[0].targets == ("region", "depot")
    assert sums.name == "sums"


@given(st.text(max_size=300))
def test_any_text_parses_into_relations_that_it_names(text: str):
    for relation in parse_schema([text, "TABLE " + text]):
        assert relation.name in text.replace('""', '"')


@given(st.text(max_size=200))
def test_any_question_becomes_tokens(text: str):
    sentence = sentence_of(text)
    assert all(text[token.start : token.end] for token in sentence.tokens)
    assert all(len(period) == 3 for at in range(len(sentence.tokens)) if (period := period_at(sentence, at)))
    assert "\x00" not in clean(text)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("orders", "order"),
        ("companies", "company"),
        ("statuses", "status"),
        ("boxes", "box"),
        ("people", "person"),
        ("bus", "bus"),
        ("addresses", "address"),
    ],
)
def test_plurals_and_singulars_meet(plural: str, singular: str):
    assert stem(plural) == stem(singular)


def test_names_split_into_words_in_every_convention():
    assert words_of("orderItems") == words_of("order_items") == words_of("Order Items") == ("order", "item")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,200", "1200"), ("5k", "5000"), ("#12", "12"), ("€9.50", "9.50"), ("three", "3")],
)
def test_numbers_are_read_as_written(text: str, number: str):
    assert number_of(sentence_of(text).tokens[0]) == number


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("in 2025", "date '2025-01-01'", "date '2026-01-01'"),
        ("since March 2025", "date '2025-03-01'", None),
        ("from March 2025", "date '2025-03-01'", "date '2025-04-01'"),
        ("from March 2025 on", "date '2025-03-01'", None),
        ("starting from March 2025", "date '2025-03-01'", None),
        ("before 2024-02-29", None, "date '2024-02-29'"),
        ("after 2020", "date '2021-01-01'", None),
        ("on 2025-12-31", "date '2025-12-31'", "date '2026-01-01'"),
        ("between 2025-01-01 and 2025-01-31", "date '2025-01-01'", "date '2025-02-01'"),
        ("in Q4 2025", "date '2025-10-01'", "date '2026-01-01'"),
        ("in the last 7 days", "now() - interval '7 days'", "now()"),
        ("older than 2 weeks", None, "now() - interval '2 weeks'"),
        ("this month", "date_trunc('month', now())", "date_trunc('month', now()) + interval '1 month'"),
        ("yesterday", "date_trunc('day', now()) - interval '1 day'", "date_trunc('day', now())"),
    ],
)
def test_spans_of_time_become_half_open_intervals(text: str, lower: str | None, upper: str | None):
    assert period_at(sentence_of(f"orders {text}"), 1) == (lower, upper, len(sentence_of(f"orders {text}").tokens))


@pytest.mark.parametrize(
    "text", ["orders over 2000", "2025-13-45", "client 2020", "may I see the orders", "last name", "in March"]
)
def test_what_is_no_date_is_not_taken_for_one(text: str):
    sentence = sentence_of(text)
    assert [period_at(sentence, at) for at in range(len(sentence.tokens))] == [None] * len(sentence.tokens)


@given(st.dates(min_value=dt.date(1900, 1, 1), max_value=dt.date(2099, 12, 30)))
def test_a_day_ends_where_the_next_begins(day: dt.date):
    after = (day + dt.timedelta(days=1)).isoformat()
    assert period_at(sentence_of(f"on {day.isoformat()}"), 0) == (f"date '{day.isoformat()}'", f"date '{after}'", 2)


@pytest.mark.parametrize(
    "sentence",
    [
        "status 3 means paused",
        "Status 3 means paused.",
        "status = 3 means paused",
        "a status of 3 means paused",
        "status 3 is paused",
        "paused means status 3",
        "status 3 stands for paused",
    ],
)
def test_a_fact_gives_a_word_its_meaning(sentence: str):
    meaning = meaning_of(sentence, source="memory 1")
    assert meaning is not None
    assert (meaning.column, meaning.value, meaning.phrase) == (("status",), "3", ("paused",))


def test_a_fact_may_name_its_table():
    meaning = meaning_of("in campaigns status 3 means paused", source="memory 1")
    assert meaning is not None
    assert meaning.table == ("campaign",)


def test_only_what_a_human_or_the_agent_noted_gives_meaning():
    lines = parse_memories(
        [
            (
                "- [fact, human] status 1 means planned (memory 1)\n  - [fact, external] status 2 means running (memory 2)\n"
                "- [interaction, agent] status 3 means paused (memory 3)\nnot a memory: status 4 means finished"
            )
        ]
    )
    assert [line.id for line in lines] == [1, 2, 3]
    assert [meaning.value for meaning in meanings(lines)] == ["1"]


@given(st.text(max_size=200))
def test_any_sentence_may_be_no_fact(text: str):
    meaning = meaning_of(text, source="memory 1")
    assert meaning is None or re.search(re.escape(meaning.value), clean(text))


@pytest.mark.parametrize(
    ("question", "arguments"),
    [
        ("Mail a@b.example: hello", {"to": ["a@b.example"], "subject": "hello", "body": "hello"}),
        ("please send an email to a@b.example and c@d.example saying the office is closed", {"to": ["a@b.example", "c@d.example"], "subject": "the office is closed", "body": "the office is closed"}),
        ("Email a@b.example about 'lunch': see you", {"to": ["a@b.example"], "subject": "lunch", "body": "see you"}),
        ("write to a@b.example that it is done", {"to": ["a@b.example"], "subject": "it is done", "body": "it is done"}),
        ("What is the email of a@b.example?", None),
        ("Which clients have the email a@b.example", None),
        ("Mail Anna: hello", None),
    ],
)  # fmt: skip
def test_a_mail_is_what_the_question_says_to_addresses_that_it_names(question: str, arguments: dict | None):
    step = mail(turn_of([HumanMessage(question)], frozenset({"send_email"})))
    assert (step.arguments if step else None) == arguments
