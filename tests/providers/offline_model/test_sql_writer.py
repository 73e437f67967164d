"""The SQL of the offline model: quoting that holds against anything, and questions that it must not answer."""

from __future__ import annotations

import postgast
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.providers.offline_model.followups import understand
from agent.providers.offline_model.join_graph import JoinGraph
from agent.providers.offline_model.names import names_of
from agent.providers.offline_model.query import Unclear
from agent.providers.offline_model.questions import read
from agent.providers.offline_model.schema_parser import parse_schema
from agent.providers.offline_model.sql_writer import CannotJoin, identifier, literal, render
from agent.providers.offline_model.values import look_up, placed

SCHEMA = """
TABLE public.clients ~300 rows
  id bigint pk
  name text not null
  email text masked
  city text
  status text in (active|inactive)
  created_at timestamptz

TABLE public.orders ~5000 rows
  id bigint pk
  client_id bigint not null -> public.clients(id)
  status order_status not null in (draft|placed|shipped)
  total numeric(12,2)
  placed_at timestamptz

TABLE public.messages
  id bigint pk
  sender_id bigint -> public.clients(id)
  receiver_id bigint -> public.clients(id)
  sent_at timestamptz
"""
RELATIONS = parse_schema([SCHEMA])
NAMES, GRAPH = names_of(RELATIONS), JoinGraph(RELATIONS)


def sqls_of(*asked: str) -> list[str]:
    """Return the statements that a question can mean when the data has each of its values everywhere, and its look-up."""
    queries = understand(asked, NAMES, GRAPH)
    if isinstance(queries, Unclear):
        assert queries.reason
        return []
    search = look_up(queries)
    found = dict.fromkeys(search.places, True) if search else {}
    statements = [search.sql] if search else []
    for query in (way for one in queries for way in placed(one, found)):
        try:
            statements.append(render(query, GRAPH))
        except CannotJoin:
            continue
    return statements


def sql_of(question: str) -> str | None:
    """Return the one statement that a question means without a look at the data."""
    queries = read(question, NAMES, GRAPH)
    if isinstance(queries, Unclear) or look_up(queries):
        return None
    statements = {render(query, GRAPH) for query in queries}
    return statements.pop() if len(statements) == 1 else None


@given(st.text(min_size=1, max_size=15).filter(lambda name: "\x00" not in name))
def test_any_identifier_and_literal_stays_one(text: str):
    text = text.encode("utf-8", "replace").decode()
    tree = postgast.parse(f"SELECT {literal(text)} AS {identifier(text)}")
    assert len(tree.stmts) == 1
    target = tree.stmts[0].stmt.select_stmt.target_list[0].res_target
    assert target.name == text
    assert target.val.a_const.sval.sval == text


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_a_hostile_name_in_a_question_stays_a_value(name: str):
    for sql in sqls_of(f'orders of client "{name}"'):
        (statement,) = postgast.parse(sql).stmts
        assert statement.stmt.HasField("select_stmt")


@settings(deadline=None)
@given(st.text(max_size=120))
def test_any_question_gives_one_select_or_a_reason(question: str):
    for asked in (question, f"show clients {question}", f"how many orders {question}"):
        assert all(len(postgast.parse(sql).stmts) == 1 for sql in sqls_of(asked))


@pytest.mark.parametrize(
    "question",
    [
        "",
        "?",
        "delete all clients",
        "drop table clients",
        "how many rockets are there?",
        "which clients will churn?",
        "clients who love us",
        "orders and the weather",
        "is client 5 happy?",
        "messages of client 5",
        "total orders per client",
        "sum of clients",
        "orders of clients named",
        "why did orders fall last month?",
        "clients except orders",
        "which clients have 3 emails?",
        "median order total",
        "pending orders",
        "number of senders",
        "orders descending",
    ],
)
def test_what_is_not_understood_is_not_answered(question: str):
    assert sql_of(question) is None


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("how many orders?", "SELECT count(*) AS count FROM public.orders"),
        (
            "orders of client 5",
            (
                "SELECT orders.* FROM public.orders WHERE EXISTS (SELECT 1 FROM public.clients"
                " WHERE clients.id = orders.client_id AND clients.id = 5) ORDER BY orders.id LIMIT 21"
            ),
        ),
        (
            "how many clients with an email?",
            "SELECT count(*) AS count FROM public.clients WHERE NOT (coalesce(clients.email, '') = '')",
        ),
        (
            "clients without orders",
            (
                "SELECT clients.* FROM public.clients WHERE NOT EXISTS (SELECT 1 FROM public.orders"
                " WHERE clients.id = orders.client_id) ORDER BY clients.id LIMIT 21"
            ),
        ),
        (
            "sum of total per client",
            (
                "SELECT clients.name AS client, sum(orders.total) AS sum_total FROM public.orders JOIN public.clients"
                " ON clients.id = orders.client_id GROUP BY clients.id, clients.name ORDER BY sum(orders.total) DESC NULLS LAST, 1 LIMIT 21"
            ),
        ),
        (
            "top 3 clients by total of orders",
            (
                "SELECT clients.name, (SELECT sum(orders.total) FROM public.orders WHERE clients.id = orders.client_id) AS sum_total"
                " FROM public.clients ORDER BY 2 DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES"
            ),
        ),
        (
            "messages per sender",
            (
                "SELECT clients.name AS sender, count(*) AS count FROM public.messages JOIN public.clients"
                " ON clients.id = messages.sender_id GROUP BY clients.id, clients.name ORDER BY count(*) DESC NULLS LAST, 1 LIMIT 21"
            ),
        ),
    ],
)
def test_simple_questions_become_plain_sql(question: str, sql: str):
    assert sql_of(question) == sql


VOCABULARY = [
    "how many",
    "show",
    "list",
    "which",
    "what is the",
    "total",
    "average",
    "sum of",
    "number of",
    "count",
    "top 5",
    "most",
    "fewest",
    "highest",
    "lowest",
    "latest",
    "oldest",
    "cheapest",
    "last 3",
    "clients",
    "client",
    "orders",
    "order",
    "messages",
    "sender",
    "receiver",
    "name",
    "names",
    "email",
    "city",
    "status",
    "total",
    "created",
    "placed",
    "sent",
    "active",
    "shipped",
    "not",
    "no",
    "without",
    "with",
    "per",
    "by",
    "each",
    "of",
    "for",
    "from",
    "in",
    "and",
    "or",
    "where",
    "is",
    "are",
    "more than",
    "at least",
    "over",
    "under",
    "between",
    "3",
    "100",
    "5 and 9",
    "2025",
    "in 2025",
    "last 7 days",
    "this month",
    "since",
    "'Acme'",
    "Berlin",
    "client 5",
    "order 7",
    "sorted by",
    "descending",
    "those",
    "only",
    "what about",
    "empty",
    "contains",
    "than",
    "month",
    "year",
    "their",
    "the",
    "a",
    "have",
    "has",
]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=8), min_size=1, max_size=3))
def test_any_words_of_the_grammar_give_one_select_or_a_reason(conversation: list[list[str]]):
    for sql in sqls_of(*(" ".join(words) for words in conversation)):
        (statement,) = postgast.parse(sql).stmts
        assert statement.stmt.HasField("select_stmt")
