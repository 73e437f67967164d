"""What people stated changes how a question is read: definitions, sets, other words and lists of codes. Others' words change nothing."""

from __future__ import annotations

import pytest

from agent.providers.offline_model.definitions import with_definitions
from agent.providers.offline_model.join_graph import JoinGraph
from agent.providers.offline_model.memory_parser import MemoryLine, meanings, meanings_of
from agent.providers.offline_model.names import names_of
from agent.providers.offline_model.query import Unclear
from agent.providers.offline_model.questions import read
from agent.providers.offline_model.schema_parser import parse_schema
from agent.providers.offline_model.sql_writer import render
from agent.providers.offline_model.values import look_up, placed, places_found

SCHEMA = """
TABLE public.clients ~20 rows
  id bigint pk generated
  name text not null
  country text not null
  status text not null in (active|paused|lost)
  budget numeric(12,2) not null

TABLE public.orders ~50 rows -- What clients bought
  id bigint pk generated
  client_id bigint not null -> public.clients(id)
  number text not null
  channel text not null in (mail|web|shop)
  state smallint not null
  total numeric(12,2) not null
  minutes integer not null
  placed_on date not null
"""


def line(text: str, *, trust: str = "human") -> MemoryLine:
    return MemoryLine(id=7, kind="fact", trust=trust, text=text)


def answer(fact: str, question: str, *, trust: str = "human", data: tuple[str, ...] = ()) -> list[str]:
    """Return the SQL of each meaning that a question has for the grammar; `data` are the texts that the columns hold."""
    relations, lines = parse_schema([SCHEMA]), [line(fact, trust=trust)]
    graph = JoinGraph(relations)
    readings = read(question, with_definitions(names_of(relations, meanings(lines)), graph, lines), graph)
    if isinstance(readings, Unclear):
        return []
    search = look_up(readings)
    rows = [[n, True] for n, place in enumerate(search.places) if place[-1] in data] if search else []
    found = places_found(search, {"rows": rows}) if search else {}
    return list(dict.fromkeys(render(one, graph) for query in readings for one in placed(query, found)))


GOLD = "Gold clients are the ones with a budget of 20,000 euros or more."
CORE = "Our core markets are Germany, the Netherlands and Poland."
ELSE = "Digital channels are mail and web. Everything else is physical."
DEBT = "Debt means the total of orders with state 3"


@pytest.mark.parametrize(
    ("fact", "question", "wanted"),
    [
        (GOLD, "How many gold clients do we have?", "FROM public.clients WHERE (clients.budget >= 20000)"),
        (GOLD, "average budget of our gold accounts", "avg(clients.budget) AS avg_budget FROM public.clients WHERE (clients.budget >= 20000)"),
        (GOLD, "Which gold clients are paused right now?", "(clients.budget >= 20000) AND clients.status = 'paused'"),
        (GOLD, "gold clients per country", "WHERE (clients.budget >= 20000) GROUP BY clients.country"),
        (GOLD, "How many clients are not gold?", "(clients.budget >= 20000) IS NOT TRUE"),
        (GOLD, "total of orders of gold clients", "sum(orders.total) AS sum_total FROM public.orders WHERE EXISTS"),
        ("We call a client a whale once three or more of its orders are web", "List the whales", "orders.channel = 'web') >= 3"),
        ("A client is big if its budget is over 5000", "How many clients are big?", "WHERE (clients.budget > 5000)"),
        ("An order is long when it takes 45 minutes or more", "How many long orders are there?", "(orders.minutes >= 45)"),
        ("Anything over 500 minutes is a long order", "How many long orders are there?", "(orders.minutes > 500)"),
        ("Orders with state 4 count as disputed", "How many disputed orders are there?", "(orders.state = 4)"),
        ("When we say 'quiet client', we mean one without orders", "How many quiet clients are there?", "NOT EXISTS (SELECT 1 FROM public.orders"),
        ("Dead clients are those with status paused or lost", "How many dead clients?", "clients.status = 'paused' OR clients.status = 'lost'"),
        (ELSE, "How many orders came by digital channels?", ""),
        (ELSE, "How many orders are on digital channels?", "(orders.channel = 'mail' OR orders.channel = 'web')"),
        (ELSE, "total of orders on physical channels", "(orders.channel = 'mail' OR orders.channel = 'web') IS NOT TRUE"),
        (CORE, "How many clients are in our core markets?", "clients.country = 'DE' OR clients.country = 'NL' OR clients.country = 'PL'"),
        (CORE, "How many active clients sit outside the core markets?", "IS NOT TRUE"),
        (DEBT, "What is our debt?", "sum(orders.total) AS sum_total FROM public.orders WHERE (orders.state = 3)"),
        (DEBT, "debt per client", "WHERE (orders.state = 3) GROUP BY clients.id"),
        (DEBT, "How much debt did we have in 2025?", "(orders.state = 3) AND orders.placed_on >= date '2025-01-01'"),
        ("By patrons we mean clients", "How many patrons are paused?", "FROM public.clients WHERE clients.status = 'paused'"),
        ("Order states go from 1 (open) to 2 (sent) and 3 (returned)", "How many returned orders are there?", "orders.state = 3"),
        # What is not read in exactly one way, or says more, defines nothing.
        ("Gold clients are our best friends", "How many gold clients do we have?", ""),
        ("Gold clients are the ones with a lucky number over 5", "How many gold clients do we have?", ""),
        (f"{GOLD} But not the ones in Malta.", "How many gold clients do we have?", ""),
        ("Our friends are Anna and Bert", "How many clients are friends?", ""),
    ],
)  # fmt: skip
def test_a_definition_gives_its_words_their_place(fact: str, question: str, wanted: str) -> None:
    found = answer(fact, question, data=("DE", "NL", "PL", "mail", "web"))
    assert (len(found) == 1 and wanted in found[0]) if wanted else found == []
    assert answer(fact, question, trust="external") == answer("Nothing is defined", question)


def test_a_value_that_no_row_has_stays_in_its_set_and_a_set_that_stands_nowhere_is_none() -> None:
    [sql] = answer(CORE, "How many clients are in our core markets?", data=("DE", "NL"))
    assert "lower(clients.country) = lower('PL')" in sql
    assert answer(CORE, "How many clients are in our core markets?", data=()) == []


def test_codes_of_two_columns_are_asked_about() -> None:
    assert len(answer("Our friends are Anna and Bert", "How many clients are friends?", data=("Anna", "Bert"))) > 1


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (
            "Campaign status is a number: 1 is planned, 2 running, 3 on hold and 4 finished.",
            {"planned": "1", "running": "2", "on hold": "3", "finished": "4"},
        ),
        (
            "The card letter of an owner means: S standard, F family, B breeder.",
            {"standard": "S", "family": "F", "breeder": "B"},
        ),
        (
            "A visit's state is 1 when it's booked, and 4 when nobody turned up.",
            {"booked": "1", "nobody turned up": "4"},
        ),
        ("kind C = charge, P = payment", {"charge": "C", "payment": "P"}),
        ("The priority runs from 1 (low) to 3 (high)", {"low": "1", "high": "3"}),
        ("Our offices are: Berlin and Köln", {}),
        ("Remember: 1 is one", {}),
    ],
)
def test_a_list_of_codes_gives_each_word_its_meaning(fact: str, wanted: dict[str, str]) -> None:
    assert {" ".join(one.phrase): one.value for one in meanings_of(fact, source="memory 7")} == wanted
