"""A request by mail: opening its link changes nothing, the button on its page decides once, and no other link does anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.messaging.conftest import ask, changed, status, until, with_settings

from agent.approval.people import people
from agent.runtime import Runtime
from agent.testing.served import served
from agent.testing.smtp_server import SmtpServer


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer().running() as server:
        yield server


def with_mail(runtime: Runtime, server: SmtpServer) -> Runtime:
    return with_settings(
        runtime, smtp_host="127.0.0.1", smtp_port=server.port, smtp_tls="none", smtp_from="agent@example.com",
        email_approvers="ana=ana@example.com, bo=bo@example.com", public_url="https://agent.example",
    )  # fmt: skip


def link_in(server: SmtpServer, address: str) -> str:
    mail = next(one for one in server.messages if one["To"] == address)
    body = mail.get_body().get_content()
    return re.search(r"https://agent\.example(\S+)", body.replace("=\n", "")).group(1)


async def test_a_link_shows_and_its_button_decides_once(notes: Runtime, smtp: SmtpServer) -> None:
    runtime = with_mail(notes, smtp)
    async with served(runtime) as client:
        number = await ask(replace(runtime, user="ana"), "UPDATE notes SET text = text || '!' WHERE id = 1")
        await until(lambda: [mail["To"] for mail in smtp.messages] == ["bo@example.com"])  # ana asked for it
        mail = smtp.messages[0]
        assert f"Approval {number}" in mail["Subject"]
        link = link_in(smtp, "bo@example.com")
        for _ in range(3):  # scanners open it
            page = await client.get(link)
            assert page.status_code == 200
            assert "n → n!" in page.text
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        proof = re.search(r'name="proof" value="(\w+)"', page.text).group(1)
        assert (await client.post(link, data={"decision": "approve"})).status_code == 401
        assert (await client.post(link, data={"decision": "maybe", "proof": proof})).status_code == 404
        for forged in (link[:-1] + ("0" if link[-1] != "0" else "1"), link.replace("/email/", "/email/x"), link[:-70]):
            assert (await client.get(forged)).status_code == 401
            assert (await client.post(forged, data={"decision": "approve", "proof": proof})).status_code == 401
        assert (await status(runtime, number), changed(runtime)) == ("pending", 0)
        done = await client.post(
            link, data={"decision": "approve", "proof": proof, "comment": "<b>ok</b>"}, headers={"Origin": "https://agent.example"}
        )  # fmt: skip
        assert done.status_code == 403  # a name that the server does not answer for
        done = await client.post(link, data={"decision": "approve", "proof": proof, "comment": "<b>ok</b>"})
        assert "Done: 1 row" in done.text
        assert "<b>" not in done.text
        again = await client.post(link, data={"decision": "reject", "proof": proof})
        assert "out of date" in again.text
        assert "<button" not in (await client.get(link)).text
    assert (await status(runtime, number), changed(runtime)) == ("approved", 1)


async def test_a_person_who_loses_the_role_decides_nothing_with_an_old_link(notes: Runtime, smtp: SmtpServer) -> None:
    runtime = with_mail(notes, smtp)
    async with served(runtime) as client:
        number = await ask(runtime)
        await until(lambda: len(smtp.messages) == 2)
        link = link_in(smtp, "ana@example.com")
        proof = re.search(r'name="proof" value="(\w+)"', (await client.get(link)).text).group(1)
        await people.add("ana", ["operator"], runtime=notes)
        page = (await client.get(link)).text
        assert "<button" not in page
        answer = await client.post(link, data={"decision": "approve", "proof": proof})
        assert "does not have the role" in answer.text
        assert (await status(runtime, number), changed(runtime)) == ("pending", 0)


async def test_a_mail_that_is_put_off_is_sent_again_under_one_id(notes: Runtime, smtp: SmtpServer) -> None:
    runtime = with_mail(notes, smtp)
    smtp.drop_after_data = True
    async with served(runtime):
        await ask(runtime)
        await until(lambda: len(smtp.texts) >= 2)
        smtp.drop_after_data = False
        await until(lambda: len(smtp.messages) == 2)
    ids = re.findall(rb"Message-ID: (\S+)", b"".join(smtp.texts))
    assert len(set(ids)) == 2  # one for each person
    assert len(ids) > 2
