"""The offline model and tables that share a name: the named schema decides, or the plain name's table, or it asks which is meant."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from agent.providers.offline_model.reply import next_step
from agent.providers.offline_model.turn_view import Answer, Call, turn_of

SCHEMA = """
TABLE public.orders [plain orders means this, not archive.orders, crm.orders] ~5 rows -- plain orders means archive.orders
  id integer pk
  customer_id integer -> public.customers(id)
  total numeric
  status text in (open|closed|archive)

TABLE archive.orders [plain orders means public.orders, not this] ~90000 rows -- [plain orders means this, not public.orders]
  id integer pk
  customer_id integer -> public.customers(id)
  total numeric
  status text in (open|closed|archive)

VIEW crm.orders [plain orders means public.orders, not this]
  id integer
  total numeric

TABLE public.customers
  id integer pk
  name text
  public boolean

TABLE archive.invoices [plain invoices means public.invoices, not this]
  id integer pk

TABLE sales_2024.leads [plain leads may mean this or sales_2025.leads: ask which]
  id integer pk
  name text

TABLE sales_2025.leads [plain leads may mean this or sales_2024.leads: ask which]
  id integer pk
  name text

TABLE public.offer
  id integer pk

TABLE archive.offers
  id integer pk

TABLE public.crm_notes
  id integer pk

TABLE crm.notes [plain notes means public.notes, not this]
  id integer pk

TABLE public.notes [plain notes means this, not crm.notes]
  id integer pk
"""


def _step(question: str) -> Call | Answer:
    step = next_step(
        turn_of([SystemMessage(SCHEMA), HumanMessage(question)], frozenset({"execute_sql", "describe_schema"}))
    )
    assert isinstance(step, Call | Answer)
    return step


@pytest.mark.parametrize(
    ("question", "table"),
    [
        ("How many orders are there?", "public.orders"),
        ("How many orders have status archive?", "public.orders"),
        ("How many orders are in the archive schema?", "archive.orders"),
        ("How many archive schema orders are there?", "archive.orders"),
        ("How many archive.orders are there?", "archive.orders"),
        ("How many Archive.Orders are there?", "archive.orders"),
        ("How many crm orders are there?", "crm.orders"),
        ("How many orders of crm are there?", "crm.orders"),
        ("Total of orders per customer in the archive schema", "archive.orders"),
        ("Which customers have no orders?", "public.orders"),
        ("How many public customers are there?", "public.customers WHERE customers.public"),
        ("How many sales_2024 leads are there?", "sales_2024.leads"),
        ("How many leads are in sales_2025?", "sales_2025.leads"),
        ("How many offers are there?", "public.offer"),
        ("How many crm.notes are there?", "crm.notes"),
        ("Set the total of order 5 to 10", "UPDATE public.orders"),
        ("Set the total of archive.orders 5 to 10", "UPDATE archive.orders"),
        ("Set the total of crm orders to 10", ""),
    ],
)
def test_the_sql_is_about_the_table_that_is_meant(question: str, table: str) -> None:
    step = _step(question)
    assert table in str(step.arguments.get("sql", "")) if isinstance(step, Call) else table == ""


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("How many leads are there?", ("sales_2024.leads", "sales_2025.leads")),
        ("How many archive orders are there?", ("archive.orders", "public.orders")),  # it is a status too
        ("How many crm notes are there?", ("crm.notes", "public.crm_notes")),
    ],
)
def test_a_name_that_may_mean_several_tables_is_asked_about(question: str, named: tuple[str, str]) -> None:
    step = _step(question)
    assert isinstance(step, Answer)
    assert all(name in step.text for name in named)


def test_a_table_that_is_not_in_the_prompt_is_described() -> None:
    step = _step("How many invoices are there?")
    assert isinstance(step, Call)
    assert (step.tool, step.arguments) == ("describe_schema", {"name": "public.invoices"})
