"""What contradicts a statement, what says the same, and what is a correction: pure rules."""

from __future__ import annotations

import pytest

from agent.learning.memory.contradiction import contradicts, holds, says_the_same
from agent.learning.memory.correction import Correction, correction_in, in_context


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ('status 3 means cancelled', 'status 3 means paused'),
        ('status 3 means cancelled', 'campaign status 3 means paused, because the client asked us to hold it until further notice'),
        ('we never ship to Malta', 'We ship to Malta'),
        ('We ship to Malta again', 'we never ship to Malta'),
        ('we no longer ship to Malta', 'Orders to Malta ship within 3 days'),
        ('Our fiscal year starts in July', 'Our fiscal year starts in April'),
        ('Invoices are due after 14 days', 'Invoices are due after 30 days'),
        ('Reports go to bob@firm.example', 'Reports go to anna@firm.example'),
        ('The CEO is Bob Smith', 'The CEO is Anna'),
        ('the refund limit is 100 euros', 'The refund limit is 50 euros'),
        ('Refunds over 500 euros need the approval of Piotr', 'Refunds over 500 euros need the approval of Marta'),
        ('The Lodz warehouse is open on Mondays', 'The Lodz warehouse is closed on Mondays'),
        ('A client counts as large if its monthly budget is above 80000', 'A client counts as large if its monthly budget is above 50000'),
        ('status 3 means cancelled, not paused', 'status 3 means paused'),
        ('paused campaigns have status 5', 'paused campaigns have status 3'),
        ('Large clients are those above 80000', 'Large clients are those above 50000'),
        ('The supplier Brandt delivers on Fridays', 'The supplier Brandt delivers on Thursdays'),
        ('Priority 1 tickets must be answered within 2 hours', 'Priority 1 tickets must be answered within 4 hours'),
        ('Churned means no order in the last 60 days', 'Churned means no order in the last 90 days'),
        ('Amounts in payments are in euros', 'Amounts in payments are in cents'),
        ('Do not count cancelled orders in revenue', 'Count cancelled orders in revenue'),
        ('The default currency is dollar', 'The default currency is euro'),
        ('Our office is in Gdynia', 'Our office is in Lodz'),
        ('Weekly reports go to Bob', 'Weekly reports go to Anna'),
        ('Actually, the fiscal year starts in July', 'The fiscal year starts in April'),
        ("orders.channel 'W' is the warehouse", "orders.channel 'W' is the web shop"),
        ('Test accounts have names that begin with test_', 'Test accounts have names that begin with zz_'),
        ('The meeting is at 10:30', 'The meeting is at 9:00'),
        ('The discount of client 12 is 15 %', 'The discount of client 12 is 10 %'),
        ("Anna's birthday is on May 3", "Anna's birthday is on May 4"),
        ('Status 7 stands for archived', 'status 7 means deleted'),
        ('Ship orders within 5 days', 'Ship orders within 3 days'),
        ('Send reports to bob@x.example', 'Send reports to anna@x.example'),
    ],
)  # fmt: skip
def test_a_newer_statement_about_the_same_thing_contradicts_the_older(new: str, old: str) -> None:
    assert contradicts(new, old)
    assert contradicts(old, new)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ('status 4 means closed', 'status 3 means paused'),
        ('campaign status 4 means paused', 'campaign status 3 means paused'),
        ('order status 3 means shipped', 'campaign status 3 means paused'),
        ('Anna approves refunds', 'Anna approves invoices'),
        ('Anna is on vacation', 'Anna is a manager'),
        ('Client 12 has a discount', 'Client 12 has two contacts'),
        ('Our fiscal year starts in April', 'The support hotline opens at 9'),
        ('status 3 means paused by the client', 'status 3 means paused'),
        ('Invoices are due after 30 days', 'Invoices are sent by mail'),
        ('Refunds over 1000 euros need the approval of the board', 'Refunds over 500 euros need the approval of Marta'),
        ('Bob is responsible for Hamburg', 'Anna is responsible for Berlin'),
        ('We ship to Italy', 'We never ship to Malta'),
        ('The Gdynia warehouse is closed on Mondays', 'The Lodz warehouse is closed on Mondays'),
        ("orders.channel 'P' is the phone", "orders.channel 'W' is the web shop"),
        ('Times in visits are in UTC', 'Amounts in payments are in cents'),
        ('Priority 2 tickets must be answered within 8 hours', 'Priority 1 tickets must be answered within 4 hours'),
        ('status 3 means paused', 'status 3 means paused'),
        ('Employee 17 is on leave', 'Employee 18 is on leave'),
        ('Do not mail client 12', 'Mail client 13'),
        ('The price of product 5 is 10 euros', 'The stock of product 5 is 10'),
        ('Do not count test accounts', 'Do not count cancelled orders'),
        ('memory number 1', 'memory number 2'),
        ('Our office is very small', 'Our office is in Gdynia'),
    ],
)  # fmt: skip
def test_statements_that_may_both_hold_do_not(new: str, old: str) -> None:
    assert not contradicts(new, old)
    assert not contradicts(old, new)


def test_the_same_in_other_letters_is_the_same_and_a_denial_is_not() -> None:
    assert says_the_same("Remember: Status 3 means paused!", "status 3 means paused")
    assert not says_the_same("status 3 never means paused", "status 3 means paused")
    assert holds("Answered: status 3 means paused (by what I remember)", "Status 3 means paused")
    assert not holds("Asked: How many orders of Anna are late?", "late orders")


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ('No, that is wrong: we never ship to Malta', 'we never ship to Malta'),
        ("No, that's wrong. Status 3 means cancelled.", 'Status 3 means cancelled'),
        ('That is not right, the fiscal year starts in July.', 'the fiscal year starts in July'),
        ('Wrong: it is 30 days', 'it is 30 days'),
        ('You are wrong, Anna left in May', 'Anna left in May'),
        ('No, we never ship to Malta', 'we never ship to Malta'),
        ('Actually, status 3 means cancelled', 'status 3 means cancelled'),
        ("no that's wrong", ''),
        ('That is wrong.', ''),
        ('Incorrect. Invoices are due after 14 days. How many are late?', 'Invoices are due after 14 days'),
        ('I told you: we never ship to Malta', 'we never ship to Malta'),
        ('That\u2019s not true - the limit is 50', 'the limit is 50'),
        ('Your answer is wrong: archived clients do not count', 'archived clients do not count'),
        ('No, status 3 means cancelled, not paused', 'status 3 means cancelled, not paused'),
        ("That's wrong, count only active clients", 'count only active clients'),
        ('Correction: the refund limit is 100 euros', 'the refund limit is 100 euros'),
        ('That was incorrect; the CEO is Bob', 'the CEO is Bob'),
        ('Not correct: revenue excludes tax', 'revenue excludes tax'),
        ('Nope, Malta is not served', 'Malta is not served'),
        ('No! That is wrong! We never ship to Malta!', 'We never ship to Malta'),
        ('This is not correct. Employees of type X are contractors', 'Employees of type X are contractors'),
        ("it's wrong, the budget is in cents", 'the budget is in cents'),
        ('The answer is wrong, cancelled orders do not count', 'cancelled orders do not count'),
    ],
)  # fmt: skip
def test_a_correction_is_understood(text: str, statement: str) -> None:
    assert correction_in(text) == Correction(statement)


@pytest.mark.parametrize(
    "text",
    [
        'No, show me the active ones',
        'No',
        'no thanks',
        'Which answers were wrong?',
        'No clients from Malta?',
        'How many orders are wrong?',
        'Show wrong orders',
        'Actually how many are there?',
        'Wrong orders: how many?',
        'No, only active',
        'Actually show all',
        'not shipped orders',
        'Is that wrong?',
        'No, thank you',
        'Actually, list them all',
        'I meant the active ones',
        'no orders were shipped in May, why?',
        'That is fine',
        'I said thanks',
        'Set the status to wrong',
        'no, leave it',
        'No longer active clients',
    ],
)  # fmt: skip
def test_a_question_or_a_wish_is_no_correction(text: str) -> None:
    assert correction_in(text) is None


def test_a_correction_that_points_back_is_kept_with_its_question() -> None:
    assert in_context("it is 30 days", "When are invoices due?") == "About 'When are invoices due?': it is 30 days"
    assert in_context("we never ship to Malta", "Can we ship to Malta?") == "we never ship to Malta"
