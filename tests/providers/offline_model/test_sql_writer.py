"""The SQL of the offline model: quoting that holds against anything, and questions that it must not answer."""

from __future__ import annotations

import postgast
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.providers.offline_model.followups import understand
from agent.providers.offline_model.join_graph import JoinGraph
from agent.providers.offline_model.lexicon import lexicon_of
from agent.providers.offline_model.parser import parse_question
from agent.providers.offline_model.query import Query, Unclear
from agent.providers.offline_model.schema_parser import parse_schema
from agent.providers.offline_model.sql_writer import CannotJoin, identifier, literal, render

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
LEXICON = lexicon_of(RELATIONS)


def sql_of(question: str) -> str | None:
    query = parse_question(question, LEXICON)
    return render(query, JoinGraph(RELATIONS)) if isinstance(query, Query) else None


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
    sql = sql_of(f'orders of client "{name}"')
    if sql is not None:
        tree = postgast.parse(sql)
        assert len(tree.stmts) == 1
        assert tree.stmts[0].stmt.HasField("select_stmt")


@given(st.text(max_size=120))
def test_any_question_gives_one_select_or_a_reason(question: str):
    for asked in (question, f"show clients {question}", f"how many orders {question}"):
        query = parse_question(asked, LEXICON)
        if isinstance(query, Unclear):
            assert query.reason
        else:
            assert len(postgast.parse(render(query, JoinGraph(RELATIONS))).stmts) == 1


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
                "SELECT orders.* FROM public.orders JOIN public.clients ON clients.id = orders.client_id"
                " WHERE clients.id = 5 ORDER BY orders.id LIMIT 21"
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
            "total per client",
            (
                "SELECT clients.name AS client, sum(orders.total) AS sum_total FROM public.orders JOIN public.clients"
                " ON clients.id = orders.client_id GROUP BY clients.id, clients.name ORDER BY sum(orders.total) DESC NULLS LAST, 1 LIMIT 21"
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


@given(st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=8), min_size=1, max_size=3))
def test_any_words_of_the_grammar_give_one_select_or_a_reason(conversation: list[list[str]]):
    query = understand([" ".join(words) for words in conversation], LEXICON)
    if isinstance(query, Unclear):
        assert query.reason
        return
    try:
        sql = render(query, JoinGraph(RELATIONS))
    except CannotJoin:
        return
    statements = postgast.parse(sql).stmts
    assert len(statements) == 1
    assert statements[0].stmt.HasField("select_stmt")


VIEW = """
VIEW public.client_revenue -- money received from each client
  client_id bigint
  name text
  revenue numeric
"""


@pytest.mark.parametrize(
    "question", ["top 3 clients by revenue", "clients with the highest revenue", "Which client has the most revenue?"]
)
def test_a_view_named_after_what_is_ranked_gives_the_measure(question: str):
    lexicon = lexicon_of(parse_schema([SCHEMA + VIEW]))
    query = parse_question(question, lexicon)
    assert isinstance(query, Query)
    sql = render(query, JoinGraph(lexicon.relations))
    assert "FROM public.client_revenue ORDER BY client_revenue.revenue DESC" in sql
    assert isinstance(parse_question("top 3 messages by revenue", lexicon), Unclear)
    assert isinstance(
        parse_question("top 3 active clients by revenue", lexicon), Unclear
    )  # the view does not know who is active
