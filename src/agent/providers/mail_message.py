"""A mail as text: its addresses, its links, and the message that is sent. Pure; what is not plainly harmless is refused.

What an approver reads must be what the recipient gets: no line breaks in headers, no invisible characters, one way to
write an address, and every link named with the host that a browser would go to.
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

MOST_RECIPIENTS = 20
MOST_SUBJECT = 200
MOST_BODY = 50_000
# How an encoded word begins: the email package, and every mail program, decodes it in a header, line breaks included.
_ENCODED = "=?"
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)

# No %, ! or quotes: mail servers may read them as the way to another domain.
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+(?!-)(?=[a-z0-9-]*[a-z])[a-z0-9-]{2,63}(?<!-)")
# Joiners that writing and emoji need; all other format characters are invisible or change the direction of the text.
_JOINERS = {"\u200c", "\u200d"}
# What browsers read as a dot, and as a slash.
_DOTS = str.maketrans("\u3002\uff0e\uff61\\", ".../")
_ADDRESS_IN_TEXT = re.compile(r"(?<![\w.+'-])[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
# A scheme, or the two slashes of a share on the network, whose own are backslashes.
_BEGIN = r"(?:\b(?:https?|ftp|wss?|file|tel|sms)\s?:|\b[a-z][a-z0-9+.-]{0,30}://|(?<![\w:/])//(?=[^\s/]))"
_IN_LINK = r"[^\s<>\"'|`{}^]"
# Another link may begin inside of one: behind a comma, or as where it leads on to.
_SCHEME = re.compile(rf"{_BEGIN}/{{0,3}}(?:(?!{_BEGIN}){_IN_LINK})+", re.I)
# Letters of scripts whose vowels are marks, which \w leaves out.
_MARKS = "\u0300-\u036f\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff"
# Labels with dots between them, as many as there are; the end of a domain; what may follow it.
_DOTTED = re.compile(rf"(?<![\w{_MARKS}-])[\w{_MARKS}-]++(?:\.[\w{_MARKS}-]++)+")
_TOP = re.compile(rf"(?:(?:[^\W\d_]|[{_MARKS}]){{2,24}}|xn--[\w-]+)(?!\w)", re.I)
_REST = re.compile(rf"(?::\d+)?(?!\w)(?:[/?#]{_IN_LINK}*)?")
# Words with a dot that no mail program makes a link of, or that lead nowhere.
_FILES = frozenset(
    [
        "pdf",
        "txt",
        "csv",
        "tsv",
        "json",
        "xml",
        "yaml",
        "yml",
        "sql",
        "xls",
        "xlsx",
        "doc",
        "docx",
        "ppt",
        "pptx",
        "odt",
        "ods",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "eml",
        "log",
        "html",
        "htm",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailMessage:
    """One mail, checked; see `letter`."""

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    body: str

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody who gets it, each once."""
        return tuple(dict.fromkeys((*self.to, *self.cc)))

    @property
    def links(self) -> tuple[str, ...]:
        """What a mail program may make a link of."""
        return links_in(f"{self.subject}\n{self.body}")


def mail_message(*, sender: str, to: Iterable[str], cc: Iterable[str] = (), subject: str, body: str) -> MailMessage:
    """A checked mail. Raises `ValueError` with what to change."""
    made = MailMessage(
        sender=sender,
        to=tuple(map(address, to)),
        cc=tuple(map(address, cc)),
        subject=_line(subject),
        body=_text(body.replace("\r\n", "\n").replace("\r", "\n"), "body"),
    )
    if not made.to:
        raise ValueError("to: name at least one address")
    if len(made.recipients) > MOST_RECIPIENTS:
        raise ValueError(f"to and cc name {len(made.recipients)} addresses; the most is {MOST_RECIPIENTS}")
    if len(made.body) > MOST_BODY:
        raise ValueError(f"body has {len(made.body):,} characters; the most is {MOST_BODY:,}")
    # What cannot be sent as it is shown is refused before anybody is asked about it.
    compose(made, identifier=message_id("", sender), date=_SOME_DAY)
    return made


def address(text: str) -> str:
    """A plain address with its domain in lower case ASCII. Raises `ValueError`."""
    local, _, domain = text.strip().rpartition("@")
    ascii_domain = _ascii(domain)
    if len(local) > 64 or not _LOCAL.fullmatch(local) or _ENCODED in local or not ascii_domain:
        raise ValueError(f"{text[:100]!r} is not a plain address: write it as name@example.com, without a display name")
    return f"{local}@{ascii_domain}"


def domain_of(target: str) -> str:
    """The host that an address or link leads to, in lower case ASCII; '' where that is not certain."""
    if "/" not in target and "@" in target:
        return _ascii(target.rpartition("@")[2])
    text = target.translate(_DOTS)
    try:
        host = urlsplit(text if "://" in text else f"//{text.lstrip('/')}").hostname
    except ValueError:
        return ""
    return _ascii(host or "")


def is_listed(domain: str, globs: str) -> bool:
    """Whether `domain` is in a comma-separated list of domains; `*.` before one names all that end in it."""
    patterns = [pattern.strip().lower() for pattern in globs.split(",") if pattern.strip()]
    return bool(domain) and any(_fits(domain, pattern) for pattern in patterns)


def _fits(domain: str, pattern: str) -> bool:
    # A star elsewhere than for whole labels would fit domains of strangers, and fits nothing.
    return domain.endswith(pattern[1:]) if pattern.startswith("*.") and pattern[2:] else domain == pattern


def links_in(text: str) -> tuple[str, ...]:
    """Links, bare domains and addresses in `text`, each once, as they are written."""
    text = unicodedata.normalize("NFKC", text).translate(_DOTS)
    found = [match.group().rstrip(".,;:!?)]}") for match in _SCHEME.finditer(text)]
    rest = _SCHEME.sub(" ", text)
    found += [match.group().rstrip(".") for match in _ADDRESS_IN_TEXT.finditer(rest)]
    rest = _ADDRESS_IN_TEXT.sub(" ", rest)
    found += [link.rstrip(".,;:!?)") for link in _bare_links(rest)]
    return tuple(dict.fromkeys(found))


def _bare_links(text: str) -> Iterator[str]:
    """Domains without a scheme, with the path behind them. Looks at each character a fixed number of times."""
    place = 0
    while dotted := _DOTTED.search(text, place):
        place = dotted.end()
        end = dotted.start() + _domain_length(dotted.group())
        if end == place and (rest := _REST.match(text, end)):
            end = place = rest.end()
        if end > dotted.start():
            yield text[dotted.start() : end]


def _domain_length(dotted: str) -> int:
    """Up to where labels with dots between them are a domain; 0 where they are none, or name a file."""
    end = len(dotted)
    for label in reversed(dotted.split(".")[1:]):
        if top := _TOP.match(label):
            return 0 if top.group().lower() in _FILES else end - len(label) + top.end()
        end -= len(label) + 1
    return 0


def message_id(key: str, sender: str) -> str:
    """The same Message-ID for the same key, so that what is sent twice can be known as one."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{sender.rpartition('@')[2]}>"


def compose(mail: MailMessage, *, identifier: str, date: datetime) -> EmailMessage:
    """The message as it is sent: the same bytes for the same letter, identifier and date.

    Raises `ValueError` when somebody who reads these bytes would read another letter.
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
    if _read(message.as_bytes()) != _wanted(mail, identifier):
        raise ValueError("the mail would not be read as it is written: use plainer words in subject and addresses")
    return message


def _wanted(mail: MailMessage, identifier: str) -> dict[str, object]:
    """What `_read` must find in the bytes of `mail`."""
    return {
        "from": [mail.sender], "to": list(mail.to), **({"cc": list(mail.cc)} if mail.cc else {}),
        "subject": mail.subject, "message-id": identifier, "content-type": "text/plain",
        "body": mail.body.removesuffix("\n"), "headers": (9 if mail.cc else 8),
    }  # fmt: skip


def _read(message: bytes) -> dict[str, object]:
    """A mail as its recipient's program decodes it: every header, and the body."""
    read = message_from_bytes(message, policy=SMTP)
    found: dict[str, object] = {"headers": len(read.keys()), "content-type": read.get_content_type()}
    for name, value in read.items():
        key = name.lower()
        if key in {"from", "to", "cc"}:
            found[key] = [str(one) for one in value.addresses]
        elif key not in {"date", "content-type", "content-transfer-encoding", "mime-version"}:
            found[key] = str(value)
    if found["content-type"] == "text/plain":
        found["body"] = read.get_content().replace("\r\n", "\n").removesuffix("\n")
    return found


def _ascii(domain: str) -> str:
    """A domain as browsers and mail servers know it, or '' for what is none (a number, one word, a forged label)."""
    try:
        text = idna.encode(domain, uts46=True).decode("ascii").lower().rstrip(".")
    except UnicodeError:
        return ""
    return text if len(text) <= 253 and _DOMAIN.fullmatch(text) else ""


def _line(subject: str) -> str:
    text = _text(subject, "subject").strip()
    if not text or len(text) > MOST_SUBJECT or "\n" in text or "\t" in text:
        raise ValueError(f"subject must be one line of 1 to {MOST_SUBJECT} characters")
    if _ENCODED in text:
        raise ValueError(f"subject holds {_ENCODED!r}, which mail programs decode: leave it out")
    return text


def _text(text: str, name: str) -> str:
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        hidden = kind in {"Cc", "Cs", "Cf", "Co", "Zl", "Zp"} and character not in {"\n", "\t", *_JOINERS}
        if hidden:
            raise ValueError(f"{name} holds the invisible character U+{ord(character):04X} at {place}: leave it out")
    return text
