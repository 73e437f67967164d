"""Mail over a real SMTP server on loopback, and into an outbox: sent, not sent, or nobody knows; never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from agent.providers.mail import Delivery, deliver, route_of
from agent.providers.mail_message import compose, mail_message, message_id
from agent.settings import Settings
from agent.testing.smtp_server import SmtpServer

SENDER = "agent@firm.example"
TO = ("anna@firm.example", "ben@firm.example")


def message(key: str = "1", body: str = "Zwei Grüße.\n.\nEnd.\n") -> EmailMessage:
    mail = mail_message(sender=SENDER, to=TO, subject="Übersicht", body=body)
    return compose(mail, identifier=message_id(key, SENDER), date=datetime(2026, 11, 25, tzinfo=UTC))


def settings_for(server: SmtpServer, **more: object) -> Settings:
    values: dict[str, object] = {
        "smtp_host": "localhost", "smtp_port": server.port, "smtp_tls": server.tls, "smtp_from": SENDER,
        "smtp_ca_file": server.ca_file, "smtp_user": server.user, "smtp_password": server.password or None, "smtp_timeout": 5,
    }  # fmt: skip
    return Settings(_env_file=None, **{**values, **more})  # type: ignore[arg-type]  # validated by pydantic


async def sent(server: SmtpServer, **more: object) -> Delivery:
    return await deliver(message(), TO, settings=settings_for(server, **more))


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer().running() as server:
        yield server


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
async def test_mail_arrives_as_it_was_composed(tls: str) -> None:
    with SmtpServer(tls=tls, user="robot", password="s3cret").running() as server:  # type: ignore[arg-type]  # one of the three
        delivery = await sent(server)
    assert delivery.status == "sent", delivery.detail
    assert server.recipients == [list(TO)]
    (arrived,) = server.messages
    assert arrived["Subject"] == "Übersicht"
    assert arrived["Message-ID"] == message()["Message-ID"]
    assert arrived.get_content().replace("\r\n", "\n") == "Zwei Grüße.\n.\nEnd.\n"


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: str) -> None:
    with SmtpServer(tls=tls).running() as server:  # type: ignore[arg-type]  # one of the two
        delivery = await sent(server, smtp_ca_file=None)
        assert delivery.status == "not-sent"
        assert "certificate" in delivery.detail
        assert (await sent(server, smtp_host="127.0.0.1")).status == "not-sent"  # the certificate is for localhost
        assert server.texts == []
        assert (await sent(server, smtp_ca_file=None, smtp_check_certificate=False)).status == "sent"


async def test_a_server_without_starttls_gets_nothing(server: SmtpServer) -> None:
    delivery = await sent(server, smtp_tls="starttls")
    assert delivery.status == "not-sent"
    assert server.texts == []


async def test_a_wrong_password_is_not_sent_and_not_quoted() -> None:
    with SmtpServer(tls="starttls", user="robot", password="right").running() as server:
        delivery = await sent(server, smtp_password="wr0ng-password")
    assert delivery.status == "not-sent"
    assert "wr0ng" not in delivery.detail
    assert server.texts == []


async def test_one_refused_recipient_means_that_nobody_gets_it(server: SmtpServer) -> None:
    server.refused = TO[1]
    delivery = await sent(server)
    assert delivery.status == "not-sent"
    assert "550" in delivery.detail
    assert "no such user" in delivery.detail
    assert server.texts == []


async def test_a_greylisting_server_may_be_asked_again_later(server: SmtpServer) -> None:
    server.put_off = True
    delivery = await sent(server)
    assert (delivery.status, "again later" in delivery.detail) == ("not-sent", True)


async def test_a_connection_that_breaks_after_the_text_leaves_the_outcome_unknown(server: SmtpServer) -> None:
    server.drop_after_data = True
    delivery = await sent(server)
    assert delivery.status == "unknown"
    assert len(server.texts) == 1


async def test_a_server_that_is_too_slow_before_the_text_was_not_given_it(server: SmtpServer) -> None:
    server.delay = 1.0
    assert (await sent(server, smtp_timeout=0.2)).status == "not-sent"
    assert server.texts == []


async def test_a_server_that_is_not_there_is_named() -> None:
    with SmtpServer().running() as server:
        gone = settings_for(server)
    delivery = await deliver(message(), TO, settings=gone)
    assert delivery.status == "not-sent"
    assert f"localhost:{server.port}" in delivery.detail


async def test_an_outbox_holds_each_message_once(tmp_path: Path) -> None:
    outbox = Settings(_env_file=None, email_outbox=tmp_path / "out")
    results = await asyncio.gather(*(deliver(message(), TO, settings=outbox) for _ in range(8)))
    assert {result.status for result in results} == {"sent"}
    (file,) = (tmp_path / "out").iterdir()
    assert file.read_bytes() == message().as_bytes()
    await deliver(message(body="Another text under the same key."), TO, settings=outbox)
    assert file.read_bytes() == message().as_bytes()
    assert file.stat().st_mode & 0o077 == 0


async def test_an_outbox_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    delivery = await deliver(message(), TO, settings=Settings(_env_file=None, email_outbox=tmp_path / "file"))
    assert delivery.status == "not-sent"
    assert "outbox" in delivery.detail


async def test_without_a_server_or_an_outbox_nothing_is_sent_and_both_are_offered() -> None:
    nothing = Settings(_env_file=None)
    assert route_of(nothing) is None
    delivery = await deliver(message(), TO, settings=nothing)
    assert delivery.status == "not-sent"
    assert "AGENT_SMTP_HOST" in delivery.detail
    assert "AGENT_EMAIL_OUTBOX" in delivery.detail


def test_a_plain_connection_over_the_network_must_be_allowed() -> None:
    for host in ("localhost", "127.0.0.1", "::1"):
        assert route_of(Settings(_env_file=None, smtp_host=host, smtp_from=SENDER, smtp_tls="none"))
    far = {"smtp_host": "mail.firm.example", "smtp_from": SENDER, "smtp_tls": "none"}
    with pytest.raises(ConfigurationError, match="AGENT_SMTP_PLAIN_NETWORK"):
        route_of(Settings(_env_file=None, **far))  # type: ignore[arg-type]  # validated by pydantic
    assert route_of(Settings(_env_file=None, smtp_plain_network=True, **far))  # type: ignore[arg-type]  # validated by pydantic
    with pytest.raises(ConfigurationError, match="AGENT_SMTP_FROM"):
        route_of(Settings(_env_file=None, smtp_host="localhost", smtp_from="robot"))
