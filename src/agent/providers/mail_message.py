"""Builds and checks mails: their addresses, their links and the bytes to send. Pure; it refuses what may be harmful.

An approver must read what the recipient gets: headers have no line breaks, text has no invisible characters, an address has one
spelling, and every link is named with the host that a browser would open.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit

import idna

from agent.text.words import word_set

MAX_RECIPIENTS = 20
MAX_SUBJECT = 200
MAX_BODY = 50_000
# The start of an encoded word; mail programs decode it in a header, line breaks included.
_ENCODED_WORD = "=?"
_ANY_DATE = datetime(2026, 1, 1, tzinfo=UTC)

# No %, ! or quotes: some mail servers route such an address to another domain.
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+(?!-)(?=[a-z0-9-]*[a-z])[a-z0-9-]{2,63}(?<!-)")
# Scripts and emoji need these joiners; all other format characters are invisible or change the direction of the text.
_JOINERS = {"\u200c", "\u200d"}
# Browsers read these as a dot or as a slash.
_DOTS = str.maketrans("\u3002\uff0e\uff61\\", ".../")
_ADDRESS_IN_TEXT = re.compile(r"(?<![\w.+'-])[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
# A scheme, or two slashes: a network share, whose backslashes are translated.
_LINK_START = r"(?:\b(?:https?|ftp|wss?|file|tel|sms)\s?:|\b[a-z][a-z0-9+.-]{0,30}://|(?<![\w:/])//(?=[^\s/]))"
_LINK_CHARACTER = r"[^\s<>\"'|`{}^]"
# A link may contain another: after a comma, or as the target of a redirect.
_LINK = re.compile(rf"{_LINK_START}/{{0,3}}(?:(?!{_LINK_START}){_LINK_CHARACTER})+", re.I)
# Vowel marks, which some scripts use and \w does not match.
_MARKS = "\u0300-\u036f\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
# Labels with dots between them, as many as there are; a top-level domain; the port and path after it.
_DOTTED = re.compile(rf"(?<![\w{_MARKS}-])[\w{_MARKS}-]++(?:\.[\w{_MARKS}-]++)+")
_TOP_LEVEL = re.compile(rf"(?:(?:[^\W\d_]|[{_MARKS}]){{2,24}}|xn--[\w-]+)(?!\w)", re.I)
_PORT_AND_PATH = re.compile(rf"(?::\d+)?(?!\w)(?:[/?#]{_LINK_CHARACTER}*)?")
# Endings of files, which no mail program turns into a link or which lead nowhere.
_FILE_ENDINGS = word_set(
    """
    pdf txt csv tsv json xml yaml yml sql xls xlsx doc docx ppt pptx odt ods png jpg jpeg gif svg eml log html htm
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailMessage:
    """One checked mail; `mail_message` creates it."""

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    body: str

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return everybody who gets the mail, each once."""
        return tuple(dict.fromkeys((*self.to, *self.cc)))

    @property
    def links(self) -> tuple[str, ...]:
        """Return what a mail program may turn into a link."""
        return links_in(f"{self.subject}\n{self.body}")


def mail_message(*, sender: str, to: Iterable[str], cc: Iterable[str] = (), subject: str, body: str) -> MailMessage:
    """Return a checked mail. Raises `ValueError` with what to change."""
    mail = MailMessage(
        sender=sender,
        to=tuple(map(address, to)),
        cc=tuple(map(address, cc)),
        subject=_subject_line(subject),
        body=_visible_text(body.replace("\r\n", "\n").replace("\r", "\n"), "body"),
    )
    if not mail.to:
        raise ValueError("to: name at least one address")
    if len(mail.recipients) > MAX_RECIPIENTS:
        raise ValueError(f"to and cc name {len(mail.recipients)} addresses; the most is {MAX_RECIPIENTS}")
    if len(mail.body) > MAX_BODY:
        raise ValueError(f"body has {len(mail.body):,} characters; the most is {MAX_BODY:,}")
    # A mail that would not arrive as it is written fails here, before anybody is asked to approve it.
    compose(mail, identifier=message_id("", sender), date=_ANY_DATE)
    return mail


def address(text: str) -> str:
    """Return a plain address with its domain in lower-case ASCII. Raises `ValueError`."""
    local, _, domain = text.strip().rpartition("@")
    ascii_domain = _ascii(domain)
    if len(local) > 64 or not _LOCAL.fullmatch(local) or _ENCODED_WORD in local or not ascii_domain:
        raise ValueError(f"{text[:100]!r} is not a plain address: write it as name@example.com, without a display name")
    return f"{local}@{ascii_domain}"


def domain_of(target: str) -> str:
    """Return the host of an address or link in lower-case ASCII, or '' where it is not certain."""
    if "/" not in target and "@" in target:
        return _ascii(target.rpartition("@")[2])
    text = target.translate(_DOTS)
    try:
        host = urlsplit(text if "://" in text else f"//{text.lstrip('/')}").hostname
    except ValueError:
        return ""
    return _ascii(host or "")


def is_listed(domain: str, globs: str) -> bool:
    """Return whether `domain` is in a comma-separated list of domains; `*.` before a domain means all that end in it."""
    allowed = [glob.strip().lower() for glob in globs.split(",") if glob.strip()]
    return bool(domain) and any(_matches(domain, glob) for glob in allowed)


def _matches(domain: str, glob: str) -> bool:
    # A star anywhere else would match domains of strangers, so it matches nothing.
    return domain.endswith(glob[1:]) if glob.startswith("*.") and glob[2:] else domain == glob


def links_in(text: str) -> tuple[str, ...]:
    """Return links, bare domains and addresses in `text`, each once, as they are written."""
    text = unicodedata.normalize("NFKC", text).translate(_DOTS)
    links = [match.group().rstrip(".,;:!?)]}") for match in _LINK.finditer(text)]
    rest = _LINK.sub(" ", text)
    links += [match.group().rstrip(".") for match in _ADDRESS_IN_TEXT.finditer(rest)]
    rest = _ADDRESS_IN_TEXT.sub(" ", rest)
    links += [link.rstrip(".,;:!?)") for link in _bare_links(rest)]
    return tuple(dict.fromkeys(links))


def _bare_links(text: str) -> Iterator[str]:
    """Yield domains without a scheme, with their paths, in linear time."""
    place = 0
    while dotted := _DOTTED.search(text, place):
        place = dotted.end()
        end = dotted.start() + _domain_length(dotted.group())
        if end == place and (rest := _PORT_AND_PATH.match(text, end)):
            end = place = rest.end()
        if end > dotted.start():
            yield text[dotted.start() : end]


def _domain_length(dotted: str) -> int:
    """Return the length of the domain that `dotted` begins with; 0 if there is none, or if it is a file's name."""
    end = len(dotted)
    for label in reversed(dotted.split(".")[1:]):
        if top := _TOP_LEVEL.match(label):
            return 0 if top.group().lower() in _FILE_ENDINGS else end - len(label) + top.end()
        end -= len(label) + 1
    return 0


def message_id(key: str, sender: str) -> str:
    """Return the Message-ID of `key`, so that a mail that is sent twice is recognised."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{sender.rpartition('@')[2]}>"


def compose(mail: MailMessage, *, identifier: str, date: datetime) -> EmailMessage:
    """Return the message to send: the same bytes for the same mail, identifier and date.

    Raises `ValueError` when a reader of these bytes would get another mail.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    if mail.cc:
        message["Cc"] = ", ".join(mail.cc)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(date)
    message["Message-ID"] = identifier
    plain = mail.body.isascii() and all(len(line) < 900 for line in mail.body.split("\n"))
    message.set_content(mail.body, cte="7bit" if plain else "quoted-printable")
    if _decoded(message.as_bytes()) != _expected(mail, identifier):
        raise ValueError("the mail would not be read as it is written: use plainer words in subject and addresses")
    return message


def _expected(mail: MailMessage, identifier: str) -> dict[str, object]:
    """Return what `_decoded` must find in the bytes of `mail`."""
    return {
        "from": [mail.sender], "to": list(mail.to), **({"cc": list(mail.cc)} if mail.cc else {}),
        "subject": mail.subject, "message-id": identifier, "content-type": "text/plain",
        "body": mail.body.removesuffix("\n"), "headers": (9 if mail.cc else 8),
    }  # fmt: skip


def _decoded(message: bytes) -> dict[str, object]:
    """Return a mail as its recipient's program decodes it: every header, and the body."""
    parsed = message_from_bytes(message, policy=SMTP)
    decoded: dict[str, object] = {"headers": len(parsed.keys()), "content-type": parsed.get_content_type()}
    for name, value in parsed.items():
        key = name.lower()
        if key in {"from", "to", "cc"}:
            decoded[key] = [str(part) for part in value.addresses]
        elif key not in {"date", "content-type", "content-transfer-encoding", "mime-version"}:
            decoded[key] = str(value)
    if decoded["content-type"] == "text/plain":
        decoded["body"] = parsed.get_content().replace("\r\n", "\n").removesuffix("\n")
    return decoded


def _ascii(domain: str) -> str:
    """Return a domain as browsers and mail servers write it, or '' if it is none (a number, one word, a forged label)."""
    try:
        text = idna.encode(domain, uts46=True).decode("ascii").lower().rstrip(".")
    except UnicodeError:
        return ""
    return text if len(text) <= 253 and _DOMAIN.fullmatch(text) else ""


def _subject_line(subject: str) -> str:
    text = _visible_text(subject, "subject").strip()
    if not text or len(text) > MAX_SUBJECT or "\n" in text or "\t" in text:
        raise ValueError(f"subject must be one line of 1 to {MAX_SUBJECT} characters")
    if _ENCODED_WORD in text:
        raise ValueError(f"subject holds {_ENCODED_WORD!r}, which mail programs decode: leave it out")
    return text


def _visible_text(text: str, name: str) -> str:
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind in {"Cc", "Cs", "Cf", "Co", "Zl", "Zp"} and character not in {"\n", "\t", *_JOINERS}:
            raise ValueError(f"{name} holds the invisible character U+{ord(character):04X} at {place}: leave it out")
    return text
