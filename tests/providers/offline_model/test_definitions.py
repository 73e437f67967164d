"""What people stated changes how a question is read: definitions, and lists of codes. Others' words change nothing."""

from __future__ import annotations

import pytest

from agent.providers.offline_model.definitions import definitions, restated
from agent.providers.offline_model.memory_parser import MemoryLine, meanings_of


def line(text: str, *, trust: str = "human") -> MemoryLine:
    return MemoryLine(id=7, kind="fact", trust=trust, text=text)


@pytest.mark.parametrize(
    ("fact", "question", "wanted"),
    [
        (
            "Gold clients are the ones with a monthly budget of 20,000 euros or more.",
            "How many gold accounts do we have?",
            "How many clients with monthly budget of at least 20,000 do we have?",
        ),
        (
            "We call a client a slow payer once three or more of its invoices are overdue.",
            "List the slow payers",
            "List the clients with at least three overdue invoices",
        ),
        (
            "A big order is an order with a total over 5000",
            "Which big orders were placed in May?",
            "Which orders with total over 5000 were placed in May?",
        ),
        ("Gold clients are the ones with a monthly budget over 5000", "How many clients do we have?", None),
        ("Gold clients are our best friends", "How many gold clients do we have?", None),
    ],
)
def test_a_definition_takes_the_place_of_its_words(fact: str, question: str, wanted: str | None) -> None:
    found = [restated(question, definition) for definition in definitions([line(fact)])]
    assert [one for one in found if one] == ([wanted] if wanted else [])
    assert list(definitions([line(fact, trust="external")])) == []


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
        ("Our offices are: Berlin and Köln", {}),
        ("Remember: 1 is one", {}),
    ],
)
def test_a_list_of_codes_gives_each_word_its_meaning(fact: str, wanted: dict[str, str]) -> None:
    assert {" ".join(one.phrase): one.value for one in meanings_of(fact, source="memory 7")} == wanted
