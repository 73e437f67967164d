"""Which statements say the same in other words, and which only look so: pure rules."""

from __future__ import annotations

import pytest

from agent.learning.memory.duplicates import signature
from agent.learning.memory.meaning import may_be_one

SAME = (
    ("Campaign status 3 means paused", "Remember: a campaign status of 3 means paused.", "Status 3 of a campaign is paused", "Paused is what campaign status 3 stands for"),
    ("Invoices are due after 30 days", "Our invoices are payable after thirty days", "After 30 days, invoices are due", "Bills are due after 30 days"),
    ("Weekly reports go to ann@example.com", "The weekly reports are sent to ann@example.com", "Please note that weekly reports are e-mailed to ann@example.com"),
    ("We never ship to Malta", "we don't deliver to Malta", "Note that we do not ship to Malta."),
    ("The fiscal year starts in July", "Our financial year begins in July", "the fiscal year starts in July!"),
    ("Refunds over 100 EUR need a manager's approval", "A manager must approve refunds above 100 EUR", "Refunds of more than 100 EUR require manager approval"),
    ("The warehouse closes at 18:00 on Fridays", "On Fridays the warehouse closes at 18:00", "Every Friday the warehouse closes at 18:00"),
)  # fmt: skip
# Each pair differs in a number, a negation, a name, a date, a code, a unit, a tense, a noun, or in who does what.
DIFFERENT = (
    ("status 3 means paused", "status 4 means paused"), ("We ship to Malta", "We do not ship to Malta"), ("Ann reports to Bob", "Bob reports to Ann"),
    ("reports go to Ann", "reports go to Anna"), ("The office opens in May", "The office opens in March"), ("Ann was the owner", "Ann is the owner"),
    ("we must ship", "we may ship"), ("Invoices are due after 30 days", "Orders are due after 30 days"), ("due after 30 days", "due before 30 days"),
    ("Invoices are due after 30 days", "Invoices were due after 30 days"), ("flights from Paris to Rome", "flights from Rome to Paris"),
    ("Only admins delete", "Admins delete"), ("margin is 5", "margin is 5 %"), ("status 'A' means open", "status 'a' means open"),
    ("status 'A' means open", "status 'B' means open"), ("we asked IT to approve", "we asked it to approve"), ("discount is 1.5", "discount is 15"),
    ("dogs chase cats", "cats chase dogs"), ("3 dogs chase cats", "3 cats chase dogs"), ("we no longer ship to Malta", "we never ship to Malta"),
    ("all clients pay", "some clients pay"), ("2026-03-04 is a holiday", "2026-04-03 is a holiday"), ("a poodle is a dog", "a dog is a poodle"),
    ("we shipped to Malta", "we ship to Malta"), ("deliver to Malta, not to Gozo", "deliver to Gozo, not to Malta"), ("clients paid 100 EUR", "clients pay 100 EUR"),
    ("the client Smith pays monthly", "the client Smyth pays monthly"), ("x < 5 is fine", "x > 5 is fine"), ("budget is 1,299", "budget is 12,99"),
    ("id = 7", "id != 7"), ("Mark is on leave on Monday", "Mark is on leave on Tuesday"), ("We charge in euros", "We charge in dollars"),
    ("unless paid, orders are cancelled", "if paid, orders are cancelled"), ("minimum order is 5", "maximum order is 5"), ("open from 9 to 17", "open from 17 to 9"),
    ("pay by Monday", "pay after Monday"), ("approval by Carla above 5 EUR", "approval for Carla above 5 EUR"), ("due in 30 days", "due for 30 days"),
    ("2 managers approve 1 invoice", "1 manager approves 2 invoices"), ("north costs 10 EUR, south costs 20 EUR", "south costs 10 EUR, north costs 20 EUR"),
    ("active clients pay 5 EUR, inactive ones 6 EUR", "inactive clients pay 5 EUR, active ones 6 EUR"), ("status 3 is not paused", "status 3 is paused"),
    ("not more than 5 items", "more than 5 items"), ("refunds are for b@x.example", "refunds are for a@x.example"), ("delete after 30 days", "delete after 30 hours"),
)  # fmt: skip


@pytest.mark.parametrize("group", SAME, ids=lambda group: group[0])
def test_wordings_of_one_statement_have_one_signature(group: tuple[str, ...]) -> None:
    assert len({signature(text) for text in group}) == 1
    assert signature(group[0])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_in_what_it_says_has_another_signature(one: str, other: str) -> None:
    assert signature(one) != signature(other)


def test_no_two_statements_of_different_groups_are_the_same() -> None:
    every = [{signature(text) for text in group} for group in SAME]
    assert len(set.union(*every)) == len(SAME)


def test_what_is_no_short_sentence_has_none() -> None:
    for text in ("", "   ", "word", "the", "a\nb c d", "x" * 5_000, "a \x01 b", "\u0000", "?!"):
        assert signature(text) is None


# Near in meaning, and one word says it in another way.
IN_OTHER_WORDS = (
    ("We refund the whole price", "We refund the entire price"), ("The portal displays open invoices", "The portal shows open invoices"),
    ("New clients get a welcome letter", "New clients receive a welcome letter"), ("The office on Hill Street shuts at 18:00", "The office on Hill Street closes at 18:00"),
)  # fmt: skip


@pytest.mark.parametrize(("one", "other"), IN_OTHER_WORDS)
def test_one_other_word_may_say_the_same(one: str, other: str) -> None:
    assert may_be_one(one, other)
    assert may_be_one(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *DIFFERENT,
        ("Diego approves budgets", "Clara approves budgets"),
        ("The key of Diego opens the safe", "The key of Clara opens the safe"),
        ("Weights of dogs are stored in grams", "Weights of dogs are stored in kilograms"),
        ("The plan of active clients is renewed", "The plan of inactive clients is renewed"),
        ("We approve such requests at once", "We reject such requests at once"),
        ("Reports for the board are sent weekly", "Reports for the board are sent monthly"),
        ("What the seller owes the buyer is listed", "What the buyer owes the seller is listed"),
        ("Ledger entries that are paid stay", "Ledger entries that are unpaid stay"),
        ("The portal shows invoices", "The portal shows invoices and orders of all clients"),
        ("", ""),
        ("word", "other"),
    ],
)
def test_what_decides_is_never_overlooked_however_near_two_texts_are(one: str, other: str) -> None:
    assert not may_be_one(one, other)
    assert not may_be_one(other, one)
