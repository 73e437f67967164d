"""Mail as text: hostile addresses and headers are refused, links are found with the host they lead to, bytes repeat."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.providers.mail_message import (
    MailMessage,
    address,
    compose,
    domain_of,
    is_listed,
    links_in,
    mail_message,
    message_id,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def written(**parts: object) -> MailMessage:
    values = {"sender": "agent@firm.example", "to": ["anna@firm.example"], "subject": "Hello", "body": "Hi.\n"}
    return mail_message(**{**values, **parts})  # type: ignore[arg-type]  # tests pass hostile values


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Anna.Smith+x@Firm.Example", "Anna.Smith+x@firm.example"),
        (" anna@firm.example ", "anna@firm.example"),
        ("info@bücher.example", "info@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_written_one_way(text: str, plain: str) -> None:
    assert address(text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "", "anna", "anna@", "@firm.example", "anna@localhost", "anna@10.0.0.1", "anna@[10.0.0.1]", "a b@firm.example",
        "Anna <anna@firm.example>", "anna@firm.example, eve@evil.example", "anna@firm.example\nBcc: eve@evil.example",
        "anna@firm.example\r\nBcc: eve@evil.example", '"anna@firm.example"@evil.example', "eve%evil.example@firm.example",
        "evil.example!eve@firm.example", "@evil.example:anna@firm.example", "a..b@firm.example", ".a@firm.example",
        "änna@firm.example", "anna@firm..example", "anna@-firm.example", "x" * 65 + "@firm.example",
        "anna@" + "x" * 64 + ".example", "anna@firm.example\0", "=?utf-8?q?x=2C_e=40evil=2Ecom=2C?=@firm.example", "=?x@firm.example", "anna@fi\u202erm.example", "anna@firm.example>",
    ],
)  # fmt: skip
def test_what_is_not_a_plain_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain address"):
        address(text)


@pytest.mark.parametrize(
    "text", ["Hi\nBcc: eve@evil.example", "Hi\r\nX: y", "", " ", "x" * 201, "a\0b", "a\u202eb", "\ud800", "a\u2028b"]
)
def test_a_subject_is_one_visible_line(text: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        written(subject=text)


@pytest.mark.parametrize("character", ["\0", "\x1b", "\u202e", "\u2066", "\u200b", "\U000e0041", "\ud800", "\x85"])
def test_a_body_holds_nothing_invisible(character: str) -> None:
    with pytest.raises(ValueError, match="invisible"):
        written(body=f"a{character}b")


def test_a_mail_goes_to_somebody_and_not_to_everybody() -> None:
    with pytest.raises(ValueError, match="at least one"):
        written(to=[])
    with pytest.raises(ValueError, match="most is 20"):
        written(to=[f"a{number}@firm.example" for number in range(21)])
    assert written(to=["a@firm.example", "a@FIRM.example"]).recipients == ("a@firm.example",)


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ") | st.just("\n"), max_size=3_000),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=200).filter(
        lambda text: "=?" not in text
    ),
)
def test_the_recipient_reads_what_was_shown_and_the_bytes_repeat(body: str, subject: str) -> None:
    mail = written(body=body, subject=subject)
    composed = [compose(mail, identifier=message_id("k", mail.sender), date=NOW).as_bytes() for _ in range(2)]
    assert composed[0] == composed[1]
    assert composed[0].isascii()
    assert max(map(len, composed[0].split(b"\r\n"))) < 1_000
    read = message_from_bytes(composed[0], policy=SMTP)
    assert read.get_content().replace("\r\n", "\n").rstrip("\n") == mail.body.rstrip("\n")
    assert str(read["Subject"]) == mail.subject
    assert sorted(read.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    )


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?x=0d=0aReply-To=3a_e=40evil=2ecom=0d=0aBcc=3a_e=40evil=2ecom?=",
        "=?utf-8?b?aHR0cHM6Ly9ldmlsLmNvbS9sb2dpbg==?=",
        "Hello =?us-ascii?q?evil?=",
        "=?",
    ],
)
def test_a_subject_holds_nothing_that_is_decoded(subject: str) -> None:
    with pytest.raises(ValueError, match="decode"):
        written(subject=subject)


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": "=?utf-8?q?x=0d=0aBcc=3a_e=40evil=2ecom?="},
        {"subject": "=?utf-8?b?aHR0cHM6Ly9ldmlsLmNvbS9sb2dpbg==?="},
        {"to": ("=?utf-8?q?x=2C_e=40evil=2Ecom=2C?=@firm.example",)},
        {"cc": ("=?utf-8?q?x=2C_e=40evil=2Ecom=2C?=@firm.example",)},
        {"to": ("anna@firm.example, eve@evil.example",)},
        {"sender": "=?utf-8?q?eve?= <agent@firm.example>"},
    ],
)
def test_what_would_be_read_as_another_mail_is_not_composed(parts: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "sender": "agent@firm.example",
        "to": ("anna@firm.example",),
        "cc": (),
        "subject": "Hello",
    }
    with pytest.raises(ValueError, match="read as it is written"):
        compose(MailMessage(**{**values, "body": "Hi.\n", **parts}), identifier="<1@firm.example>", date=NOW)


# Pieces out of which headers, encoded words, addresses and parts of a message are made.
_PIECES = st.sampled_from(
    ["=?", "?=", "=?utf-8?q?", "=?utf-8?b?", "=0d=0a", "=3a", "\r\n", "\n", "\n\n", "Bcc: ", "--", "eve@evil.example", ",", "<",
     ">", '"', "(", ")", ":", ";", "\\", ".", "@", "=", "?", "_", " ", "  ", "\t", "é", "\u20ac", "x" * 90, "Content-Type: text/html"]
)  # fmt: skip
_HOSTILE = st.lists(_PIECES | st.text(max_size=5), max_size=12).map("".join)


@settings(max_examples=500, deadline=None)
@given(subject=_HOSTILE, body=_HOSTILE, local=_HOSTILE, copy=_HOSTILE)
def test_a_hostile_mail_is_refused_or_read_as_it_was_shown(subject: str, body: str, local: str, copy: str) -> None:
    to, cc = [f"{local}@firm.example"], [f"{copy}@firm.example"]
    for parts in ({"to": to}, {"cc": cc}, {"subject": subject}, {"body": body}, {"subject": subject, "body": body}):
        try:
            mail = written(**parts)
        except ValueError:
            continue
        read = message_from_bytes(compose(mail, identifier="<1@firm.example>", date=NOW).as_bytes(), policy=SMTP)
        assert [one.addr_spec for one in read["To"].addresses] == list(mail.to)
        assert [one.addr_spec for one in read["Cc"].addresses] == list(mail.cc) if mail.cc else read["Cc"] is None
        assert (str(read["From"]), str(read["Subject"])) == ("agent@firm.example", mail.subject)
        assert read.get_content().replace("\r\n", "\n").rstrip("\n") == mail.body.rstrip("\n")
        assert set(read.keys()) - {"Cc"} == {
            "From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"
        }  # fmt: skip


@given(st.text(st.sampled_from("abc é€😀-:,.?!()\"'"), min_size=1, max_size=200))
def test_an_ordinary_subject_is_taken(subject: str) -> None:
    if subject.strip():
        assert written(subject=subject).subject == subject.strip()


def test_one_key_has_one_message_id() -> None:
    assert message_id("7", "a@firm.example") == message_id("7", "a@firm.example")
    assert message_id("7", "a@firm.example") != message_id("8", "a@firm.example")
    assert message_id("7", "a@firm.example").endswith("@firm.example>")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("see https://docs.firm.example/a?b=c.", ["docs.firm.example"]),
        ("see HTTP://EVIL.example:8080/x", ["evil.example"]),
        ("go to www.evil.example or evil.example/login", ["www.evil.example", "evil.example"]),
        ("just evil.example", ["evil.example"]),
        ("https://firm.example@evil.example/", ["evil.example"]),
        ("https://evil.example\\@firm.example/", ["evil.example"]),
        ("https://evil\u3002example/ and \uff45\uff56\uff49\uff4c.example", ["evil.example", "evil.example"]),
        ("https://%65vil.example/", [""]),
        ("https://10.0.0.1/x http://0x7f000001/ http://localhost/", ["", "", ""]),
        ("[here](https://evil.example)", ["evil.example"]),
        ("mail eve@evil.example", ["evil.example"]),
        ("https://bücher.example/", ["xn--bcher-kva.example"]),
        ("https:evil.example/x", [""]),
        ("the file report.pdf, 3.5 hours, e.g. at 5 p.m.", []),
        ("nothing here", []),
        ("Pay at .evil.com/pay", ["evil.com"]),
        ("Pay at //evil.com/pay", ["evil.com"]),
        ("Pay at @evil.com/pay", ["evil.com"]),
        ("Pay at x/evil.com/pay", ["evil.com"]),
        ("Pay at ..evil.com", ["evil.com"]),
        ("Pay at evil.com@ now", ["evil.com"]),
        ("Pay at -evil.com", [""]),
        ("https://firm.example/,https://evil.example", ["firm.example", "evil.example"]),
        ("https://firm.example/?to=https://evil.example/x", ["firm.example", "evil.example"]),
        ("https://firm.example/profile:anna", ["firm.example"]),
        ("Open \\\\203.0.113.5\\share\\x.docx", [""]),
        ("Open \\\\evil.example\\share", ["evil.example"]),
        ("smb://203.0.113.5/share sftp://evil.example/x", ["", "evil.example"]),
        ("https://busine\u00df.example/ https://busi\u200dness.example/", ["xn--busine-gta.example", ""]),
        ("https://firm.example/|www.evil.example", ["firm.example", "www.evil.example"]),
        ("evil.\u092d\u093e\u0930\u0924/login", ["evil.xn--h2brj9c"]),
        ("either/or, 1 // 2, and/or", []),
    ],
)  # fmt: skip
def test_links_are_found_with_the_host_they_lead_to(text: str, hosts: list[str]) -> None:
    assert [domain_of(link) for link in links_in(text)] == hosts


def test_a_domain_is_listed_by_globs_that_fit_it_whole() -> None:
    globs = "firm.example, *.partner.example"
    assert is_listed("firm.example", globs)
    assert is_listed("mail.partner.example", globs)
    for other in ("", "evil.example", "xfirm.example", "firm.example.evil.example", "partner.example"):
        assert not is_listed(other, globs)
    assert not is_listed("firm.example", "")


@pytest.mark.parametrize(
    "glob", ["*firm.example", "*", "*.", "f*.example", "mail.*.example", "f?rm.example", "[f]irm.example"]
)
def test_a_star_that_is_no_whole_label_fits_nothing(glob: str) -> None:
    for domain in ("evilfirm.example", "firm.example", "mail.firm.example"):
        assert not is_listed(domain, glob)
