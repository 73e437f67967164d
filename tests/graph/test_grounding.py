"""An answer holds no number that is in nothing it can be from, claims no change that was not made, and shows the rows that it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.chat import Answered, chat
from agent.graph.grounding.check import remarks_on, rows_under
from agent.graph.grounding.evidence import Call, Evidence
from agent.remarks import MAIL_NOT_SENT, NOT_ALL_CHANGED, NOTHING_CHANGED
from agent.runtime import Runtime
from agent.testing.scripted_model import call, scripted_client
from agent.types import ToolResult


def rows(columns: list[str], *cells: list[Any], **more: Any) -> ToolResult:
    return (
        ToolResult(
            success=True, status="succeeded", columns=columns, rows=list(cells), row_count=len(cells), truncated=False
        )
        | more
    )  # type: ignore[return-value]  # keys are its own


def changed(count: int) -> ToolResult:
    return ToolResult(success=True, status="succeeded", row_count=count, message=f"Done: {count} rows affected.")


def not_done(status: str) -> ToolResult:
    return ToolResult(success=False, status=status, error=status)


def sql(text: str, result: ToolResult) -> Call:
    return Call(tool="execute_sql", arguments={"sql": text}, result=result)


def seen(question: str, *calls: Call, **more: Any) -> Evidence:
    return Evidence(question=question, today=date(2026, 11, 29), calls=calls, **more)


GENRES = rows(["name", "n"], ["Rock", 1297], ["Latin", 579], ["Metal", 374])
SHARE = seen("Which genres are the largest?", sql("select name, n from g", GENRES))
CUT = seen("List the invoices", sql("select id from invoice", rows(["id"], *([n] for n in range(1000, 1200)), truncated=True)))  # fmt: skip
DELETED = [sql("delete from customer where id = 5", changed(1))]
REJECTED = [sql("delete from customer where id = 6", not_done("rejected"))]

GOOD: list[tuple[str, Evidence]] = [
    ("There are 59 customers.", seen("How many customers?", sql("select count(*) from c", rows(["count"], [59])))),
    ("Rock leads with 1,297 tracks, 718 more than Latin (579). Together the three have 2,250 tracks.", SHARE),
    ("| # | Genre | Share |\n|---|---|---|\n| 1 | Rock | 57.6 % |\n| 2 | Latin | 25.7% |\n| 3 | Metal | 16.6 % |", SHARE),
    ("1. Rock: about 1,300\n2. Latin: nearly 600\n3. Metal: 374, on average 750 a genre.", SHARE),
    ("Rock has 2.24 times as many as Latin.", SHARE),
    ("Would you like me to show the top 20, or only those over 500?", SHARE),
    ("Here are the first 200 invoices; there are more.", CUT),
    ("In March revenue was $1,234.50, up 12 % on February (1.102,00).", seen("Revenue by month?", sql("x", rows(["m", "s"], ["2024-02-01", "1102.00"], ["2024-03-01", "1234.50"])))),
    ("The longest lasts 5 min 44 s.", seen("How long?", sql("x", rows(["ms"], [343719])))),
    ("It was issued on 10 June, so it was due on 10 July 2025: 15 days ago.", seen("Is it overdue? Terms are net 30", sql("x", rows(["issued", "today"], ["2025-06-10", "2025-07-25"])))),
    ("Three customers are from Brazil: Ana, Bo and Cy.", seen("Which customers are from Brazil?", sql("x", rows(["name"], ["Ana"], ["Bo"], ["Cy"])))),
    ("You told me that the fiscal year starts in month 4, with 12 stores.", seen("What do you know?", memories=["The fiscal year starts in month 4.", "There are twelve stores."])),
    ("Order 12 was cancelled on 3 May 2024.", seen("What happened to order 12?", sql("x", rows(["id", "status", "at"], [12, "cancelled", "2024-05-03T10:00:00"])))),
    ("I have sorted them by total and added a total row: 2,250.", SHARE),
    ("Customer 5 was deleted.", seen("Delete customer 5", *DELETED)),
    ("The request was rejected, so customer 6 was not deleted.", seen("Delete customer 6", *REJECTED)),
    ("Customer 5 is gone; the deletion of 6 was rejected.", seen("Delete customers 5 and 6", *DELETED, *REJECTED)),
    ("Yes, I deleted customer 5 before.", seen("Did you delete customer 5?", earlier=[("Delete customer 5", "I deleted customer 5.")])),
    ("The change waits for approval 4; once approved the price will be 5.", seen("Set the price of 7 to 5", sql("update p set price = 5 where id = 7", ToolResult(success=False, status="waiting", approval_id=4)))),
    ("No customer has the id 6, so nothing was deleted.", seen("Delete customer 6", sql("delete from customer where id = 6", changed(0)))),
    ("Der Kunde 6 wurde nicht gelöscht: Die Anfrage wurde abgelehnt.", seen("Lösche Kunde 6", *REJECTED)),
    ("Erledigt: Kunde 5 wurde gelöscht.", seen("Lösche Kunde 5", *DELETED)),
]  # fmt: skip
WRONG: list[tuple[str, str, Evidence]] = [
    ("61", "There are 61 customers.", seen("How many customers?", sql("x", rows(["count"], [59])))),
    ("37", "You have 37 customers.", seen("How many customers do I have?")),
    ("198.00", "Revenue was 198.00.", seen("Revenue?", sql("x", rows(["sum"], ["2278.98"])))),
    ("2,251", "Together they have 2,251 tracks.", SHARE),
    ("70 %", "Rock makes up 70 % of them.", SHARE),
    ("200", "There are 200 invoices.", CUT),
    ("2024-05-04", "It was raised on 2024-05-04.", seen("When?", sql("x", rows(["d"], ["2024-05-03"])))),
    ("seven", "There are seven customers in Brazil.", seen("How many customers are in Brazil?", sql("x", rows(["n"], [5])))),
    (NOTHING_CHANGED, "I have deleted customer 6.", seen("Delete customer 6", *REJECTED)),
    (NOTHING_CHANGED, "Done! The price is now 5.", seen("Set the price of 7 to 5")),
    (NOTHING_CHANGED, "Deleted.", seen("Delete customer 6", sql("delete from customer where id = 6", changed(0)))),
    (NOTHING_CHANGED, "Erledigt, der Kunde 6 wurde gelöscht.", seen("Lösche Kunde 6", *REJECTED)),
    (NOTHING_CHANGED, "Je l'ai fait : la commande 6 a été annulée.", seen("Annule la commande 6")),
    (NOT_ALL_CHANGED, "Both customers were deleted.", seen("Delete customers 5 and 6", *DELETED, *REJECTED)),
    (MAIL_NOT_SENT, "I deleted customer 5 and emailed them.", seen("Delete customer 5 and mail them", *DELETED)),
]  # fmt: skip


def test_a_good_answer_is_never_marked() -> None:
    assert [(answer, found) for answer, evidence in GOOD if (found := remarks_on(answer, evidence))] == []


@pytest.mark.parametrize(("told", "answer", "evidence"), WRONG, ids=[answer for _, answer, _ in WRONG])
def test_what_nothing_holds_is_named(told: str, answer: str, evidence: Evidence) -> None:
    assert told in "; ".join(remarks_on(answer, evidence))


FRESH = json.loads((Path(__file__).parent / "test_grounding_fresh.json").read_text(encoding="utf-8"))


def remarks_of(case: dict[str, Any]) -> list[str]:
    calls = [Call(tool=one["tool"], arguments=one["arguments"], result=one["result"]) for one in case.get("calls", ())]
    earlier = [(turn["question"], turn["answer"]) for turn in case.get("earlier", ())]
    evidence = Evidence(
        question=case["question"],
        today=date(2025, 6, 9),
        earlier=earlier,
        memories=case.get("memories", ()),
        calls=calls,
    )
    return remarks_on(case["answer"], evidence)


def test_of_answers_in_another_style_no_good_one_is_marked() -> None:
    assert {case["answer"]: found for case in FRESH if case["good"] and (found := remarks_of(case))} == {}


def test_of_answers_in_another_style_every_wrong_one_is_marked() -> None:
    assert [case["answer"] for case in FRESH if not case["good"] and not remarks_of(case)] == []


def test_the_rows_under_an_answer_are_those_that_it_is_about() -> None:
    towns = sql("select distinct town from c", rows(["town"], ["Graz"], ["Linz"]))
    people = sql("select name from c where town = 'Linz'", rows(["name"], ["Ana"], ["Bo"]))
    nobody = sql("select name from c where town = 'Wien'", rows(["name"]))
    assert rows_under("Ana and Bo live there.", seen("Who?", people, towns)) is people
    assert rows_under("Here they are.", seen("Who lives in Linz?", towns, people)) is people
    assert rows_under("Nobody lives there.", seen("Who lives in Wien?", towns, nobody)) is None
    assert rows_under("It was refused.", seen("Who?", towns, sql("select 1", not_done("refused")))) is None
    assert rows_under("There are 37.", seen("How many?", towns)) is None
    assert rows_under("Hello.", seen("Hello")) is None


@pytest.fixture
def accounts(runtime: Runtime) -> None:
    with psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute("create table public.accounts as select n as id from generate_series(1, 5) n")


COUNT = call("execute_sql", sql="select count(*) from accounts")


@pytest.mark.usefixtures("accounts")
async def test_an_answer_that_its_results_do_not_hold_is_given_back_once_and_then_marked(runtime: Runtime) -> None:
    client = scripted_client([COUNT, "There are 37.", "There are 5.", COUNT, "There are 38.", COUNT, "There are 39."])
    talking = replace(runtime, model=client, cached={})
    assert (await chat.answer("How many accounts?", thread_id="t", runtime=talking)).text == "There are 5."
    told = client.requests[2][-1].text
    assert "Not found in any result: 37" in told
    # Given back once, it may call tools again; the next answer stands, with a mark that every surface shows.
    events = [event async for event in chat.ask("And now?", thread_id="t", runtime=talking)]
    (answered,) = [event for event in events if isinstance(event, Answered)]
    assert answered.text == "There are 39.\n(Not found in any result: 39.)"
    assert answered.sources["remarks"] == ["Not found in any result: 39"]
    assert "rows_of" not in answered.sources
    assert len(client.requests) == 7


@pytest.mark.parametrize("piece", ["1 ", "1-2-3-", "1"])
def test_an_answer_of_nothing_but_numbers_is_checked_and_the_check_ends(piece: str) -> None:
    """Each number of a sentence is looked up beside its others: the work must not grow with the square of an answer."""
    remarks = remarks_on(piece * 2_000, Evidence(question="how many?", today=date(2026, 1, 1)))
    assert remarks or piece == "1"  # a number of so many digits is no number
