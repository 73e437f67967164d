"""Values in questions: the data places them, nothing is guessed, and a new value is written exactly as it stands."""

from __future__ import annotations

import json
from typing import Any

import postgast
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agent.providers.offline_model.reply import reply
from agent.providers.offline_model.sql_writer import literal

SCHEMA = """
TABLE public.clients ~300 rows
  id bigint pk
  name text not null
  city text
  country text
  vat text unique masked
  portal_token text not null masked
  phone text
  note text
  status text not null in (active|paused)
  rate numeric(6,2)
  size integer
  weight real
  since date
  vip boolean not null
  is_open boolean not null

TABLE public.orders ~5000 rows
  id bigint pk
  client_id bigint not null -> public.clients(id)
  title text
  total numeric(12,2)
  freight numeric(12,2)
  ordered_at timestamptz not null

TABLE public.emp
  id integer pk
  name text
  title text
  manager_id integer -> public.emp(id)
"""
TOOLS = frozenset({"execute_sql", "describe_schema", "remember"})


class Talk:
    """One question whose calls get scripted results."""

    def __init__(self, question: str) -> None:
        self.messages: list[BaseMessage] = [SystemMessage(SCHEMA), HumanMessage(question)]

    def next(self, *rows: list[Any]) -> tuple[str, str]:
        """Answer the last call with `rows`; return the SQL of the next call and '', or '' and the answer."""
        if isinstance(self.messages[-1], AIMessage):
            result = {"success": True, "columns": ["x"], "rows": list(rows), "row_count": len(rows)}
            self.messages.append(ToolMessage(json.dumps(result), tool_call_id=self.messages[-1].tool_calls[0]["id"]))
        answer = reply(self.messages, tools=TOOLS)
        self.messages.append(answer)
        return (str(answer.tool_calls[0]["args"].get("sql")), "") if answer.tool_calls else ("", answer.text)


def change_of(value: str) -> tuple[str, str]:
    return Talk(f"Set the note of client 1 to {value}").next()


def branch(look_up: str, column: str) -> int:
    """Return the number of the branch of a look-up that searches `column`."""
    return next(n for n, part in enumerate(look_up.split(" UNION ALL ")) if f"{column} = " in part)


def test_a_value_without_a_column_is_looked_up_and_used_where_it_is_found():
    talk = Talk("how many orders are from Germany?")
    look_up, _ = talk.next()
    assert all(
        f"{name} = 'Germany'" in look_up for name in ("clients.name", "clients.city", "clients.vat", "orders.title")
    )
    assert "portal_token" not in look_up  # a human would be asked before secrets are compared
    assert look_up.count("LIMIT 2") == look_up.count("SELECT DISTINCT")
    sql, _ = talk.next([branch(look_up, "clients.country"), True])
    assert sql.endswith("WHERE clients.country = 'Germany'")
    _, answer = talk.next([7])
    assert answer.startswith("7 orders with clients.country = 'Germany'.")
    assert "I took 'Germany' for a value of clients.country." in answer


def test_a_value_in_several_columns_is_asked_about():
    talk = Talk("clients from Luxembourg")
    look_up, _ = talk.next()
    _, answer = talk.next([branch(look_up, "clients.country"), True], [branch(look_up, "clients.city"), False])
    assert "can mean several things" in answer
    assert "clients.city = 'Luxembourg'" in answer
    assert "clients.country = 'Luxembourg'" in answer


@pytest.mark.parametrize(
    "question",
    ["how many clients are from Narnia?", "orders of client Narnia", "Narnia clients", "clients with country Narnia"],
)
def test_a_value_that_is_nowhere_is_said_and_not_counted(question: str):
    talk = Talk(question)
    assert talk.next()[0]
    _, answer = talk.next()
    assert answer.startswith("I cannot answer that: I found 'Narnia' in no text column of ")


def test_zero_rows_of_a_named_column_come_with_the_reason():
    talk = Talk("how many clients are there where country is Narnia?")
    talk.next()
    sql, _ = talk.next()
    assert sql.endswith("WHERE lower(clients.country) = lower('Narnia')")
    assert "No row of clients has 'Narnia' in country." in talk.next([0])[1]


@pytest.mark.parametrize(
    "question",
    ["orders of client 5 and of client 7", "orders in 2024 and in 2025", "clients with city 'Rome' and city 'Oslo'"],
)
def test_no_row_is_no_answer_when_conditions_exclude_each_other(question: str):
    talk = Talk(question)
    said = talk.next()
    if said[0]:
        city = branch(said[0], "clients.city") if "clients.city" in said[0] else None
        said = talk.next(*([] if city is None else [[city, True], [city + 1, True]]))
    assert said[1].startswith("I cannot answer that: its conditions exclude each other")


def test_another_letter_case_is_found_and_an_exact_name_matches_no_longer_one():
    talk = Talk("orders of client 'acme'")
    look_up, _ = talk.next()
    sql, _ = talk.next([branch(look_up, "clients.name"), False])
    assert "lower(clients.name) = lower('acme')" in sql
    assert "LIKE" not in sql
    assert "~" not in sql


def test_the_data_decides_where_a_value_ends():
    talk = Talk("orders of client Acme in 2025")
    look_up, _ = talk.next()
    longer = look_up.replace("'Acme in 2025'", "!").split(" UNION ALL ")
    at = next(n for n, part in enumerate(longer) if "clients.name = '" in part and "!" not in part)
    sql, _ = talk.next([at, True])
    assert "clients.name = 'Acme'" in sql
    assert "ordered_at >= date '2025-01-01'" in sql


@pytest.mark.parametrize(
    "question", ["HOW MANY CLIENTS DO WE HAVE", "how many clients do we have?", "How Many Clients Do We Have?"]
)
def test_letter_case_is_no_signal(question: str):
    assert Talk(question).next()[0] == "SELECT count(*) AS count FROM public.clients"


def test_a_name_is_looked_for_where_names_are():
    assert "clients.city" not in Talk("clients named Berlin").next()[0]
    assert "clients.city" not in Talk("Set the note of client Berlin to x").next()[0]


def test_a_role_is_not_the_row_itself():
    talk = Talk("How many emp have manager Mid?")
    look_up, _ = talk.next()
    sql, _ = talk.next([branch(look_up, "emp.name"), True])
    assert "emp_2.id = emp.manager_id AND emp_2.name = 'Mid'" in sql


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("top clients by orders", "by the number of orders, or by the total, average or highest value"),
        ("average order value", "'value'"),
        ("top clients by spend", "'spend'"),
        ("orders over 100", "(total, freight)"),
        ("total orders per client", "the number of orders or the sum of their total"),
        ("clients who love us", "'love'"),
        ("delete client 5", "'delete client 5'"),
        ("orders in March", "March"),
    ],
)
def test_what_has_no_place_is_named(question: str, said: str):
    sql, answer = Talk(question).next()
    assert sql == ""
    assert answer.startswith("I cannot answer that: ")
    assert said in answer
    assert "AGENT_MODEL" in answer


VALUES = [
    "R&D", "+49 30 1234", "C#", "12:30", "N/A", "it's 5 o'clock", "50% off; (C#)", "1,299", "Back to the Future", "a  b", "Łódź/Müller",
    "e\u0301", "'); drop table clients; --", "O'Hara", "50", "true", "x=1 -> y", "\U0001f468\u200d\U0001f469", "me@example.org", "#12", "<b>", "The end",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_new_value_is_written_as_it_stands(value: str):
    if not value.startswith("'"):
        assert change_of(value) == (f"UPDATE public.clients SET note = {literal(value)} WHERE id = 1", "")
    assert change_of(f'"{value}"') == (f"UPDATE public.clients SET note = {literal(value)} WHERE id = 1", "")


@given(st.text(min_size=1, max_size=40))
def test_any_new_value_is_written_as_it_stands_or_asked_back(value: str):
    for written, expected in ((value, value.strip()), (f"“{value}”", value)):
        sql, _ = change_of(written)
        if sql:
            (statement,) = postgast.parse(sql).stmts
            assert statement.stmt.update_stmt.target_list[0].res_target.val.a_const.sval.sval == expected


@pytest.mark.parametrize(
    "value",
    ["null", "empty", "Berlin.", "Berlin please", '"A" and "B"', "Foo and set the city to Bar", "a\x00b", "a\ud800"],
)
def test_a_new_value_without_a_clear_end_is_asked_back(value: str):
    sql, answer = change_of(value)
    assert sql == ""
    assert "Nothing was changed." in answer or "I cannot answer" in answer


@pytest.mark.parametrize(
    ("column", "value", "sql"),
    [
        ("rate", "9.50", "9.50"), ("rate", "10%", ""), ("rate", "1.500,50", ""), ("rate", "1,500", ""), ("rate", "5k", ""), ("rate", "1.999", ""),
        ("rate", "$5", ""), ("size", "3", "3"), ("size", "3.5", ""), ("size", "three", ""), ("weight", "123456789.5", ""), ("weight", "1.5", "1.5"),
        ("since", "2026-01-31", "'2026-01-31'"), ("since", "tomorrow", ""), ("since", "31.01.2026", ""), ("vip", "true", "true"), ("vip", "maybe", ""),
        ("status", "paused", "'paused'"), ("status", "gone", ""), ("id", "7", ""),
    ],
)  # fmt: skip
def test_a_new_value_fits_its_column_without_rounding_or_translation(column: str, value: str, sql: str):
    got, answer = Talk(f"Set the {column} of client 1 to {value}").next()
    assert got == (f"UPDATE public.clients SET {column} = {sql} WHERE id = 1" if sql else "")
    assert sql or "Nothing was changed." in answer


def test_a_named_row_is_changed_by_its_key_after_a_look_up():
    talk = Talk("Set the city of client Acme to Oslo")
    look_up, _ = talk.next()
    keys, _ = talk.next([branch(look_up, "clients.name"), True])
    assert (
        keys
        == "SELECT clients.name, clients.id FROM public.clients WHERE clients.name = 'Acme' ORDER BY clients.id LIMIT 2"
    )
    assert talk.next(["Acme", 17])[0] == "UPDATE public.clients SET city = 'Oslo' WHERE id = 17"


@pytest.mark.parametrize("keys", [[], [["Acme", 17], ["Acme", 18]]])
def test_a_row_that_is_not_one_is_not_changed(keys: list[list[Any]]):
    talk = Talk("Set the city of client Acme to Oslo")
    look_up, _ = talk.next()
    talk.next([branch(look_up, "clients.name"), True])
    sql, answer = talk.next(*keys)
    assert sql == ""
    assert "Nothing was changed." in answer


def test_numbers_are_said_as_the_server_writes_them():
    talk = Talk("average rate of clients")
    talk.next()
    assert "is 1234567890123456789.1234567890000001." in talk.next(["1234567890123456789.1234567890000001"])[1]
