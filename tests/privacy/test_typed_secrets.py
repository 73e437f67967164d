"""Passwords, card numbers and keys are found in what people type; what only speaks of them stays."""

from __future__ import annotations

import pytest

from agent.privacy.typed_secrets import without_typed_secrets


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the password is hunter2", "hunter2"),
        ("Remember: the wifi password of the Lodz office is swordfish.", "swordfish"),
        ("Please remember my password, it is letmein", "letmein"),
        ("my new password for the CRM is: \"correct horse battery staple\"", "horse"),
        ("the passphrase is correct horse battery staple, thanks", "staple"),
        ("set the password of bob to Tr0ub4dor&3", "Tr0ub4dor"),
        ("hunter2 is my password", "hunter2"),
        ("log in as bob with password hunter2!", "hunter2"),
        ("password=letmein", "letmein"),
        ("Passwort: geheim99", "geheim99"),
        ("PIN: 4711", "4711"),
        ("my pin code is 4711", "4711"),
        ("the cvv is 123", "123"),
        ("update users set password = 'hunter2 x' where id = 1", "hunter2"),
        ('{"api_key": "abc123def"}', "abc123def"),
        ("API key: 9f8a7b6c5d4e", "9f8a7b6c5d4e"),
        ("use the key sk-proj-abcdefgh12345678", "abcdefgh12345678"),
        ("AKIAIOSFODNN7EXAMPLE is for aws", "AKIAIOSFODNN7EXAMPLE"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c6912"),
        ("Authorization: Bearer abcdef1234567890", "abcdef1234567890"),
        ("postgres://bob:s3cr3t@db/x", "s3cr3t"),
        ("my card is 4111 1111 1111 1111, exp 12/27", "1111"),
        ("5500-0000-0000-0004", "0004"),
        ("378282246310005", "378282246310005"),
    ],
)  # fmt: skip
def test_a_typed_secret_is_hidden(text: str, secret: str) -> None:
    hidden = without_typed_secrets(text)
    assert secret not in hidden
    assert "[secret]" in hidden


@pytest.mark.parametrize(
    "text",
    [
        "How many users have no password?",
        "the password is too short",
        "Which users reset their password in May?",
        "Which tickets need a password reset?",
        "order 4111111111111112 was paid",
        "the token column is empty",
        "Tokens are issued daily",
        "Primary key of orders is order_id",
        "campaign status 3 means paused",
        "invoice 2026-11-29-0001 over 1.299,00 euros",
        "call +49 30 1234 5678 901",
        "customer 550e8400-e29b-41d4-a716-446655440000",
        "select count(*) from public.order_items_by_category_2026",
    ],
)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert without_typed_secrets(text) == text


def test_a_short_secret_is_hidden_as_a_word_only_and_also_where_it_is_repeated() -> None:
    assert without_typed_secrets("the pin is 123, order 1234") == "the pin is [secret], order 1234"
    assert without_typed_secrets("Done: bob now has hunter2.", known=["hunter2"]) == "Done: bob now has [secret]."
