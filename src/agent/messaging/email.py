"""Requests by mail: a signed link that works once. Opening it only shows the request; the button on its page decides.

Mail scanners open every link, and some forward them. So a link is bound to an address and to one request, a GET changes
nothing, and a POST counts only with the proof that stands on the page.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import html
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from agent.db import embedded
from agent.errors import AgentError, ConfigurationError, NotAuthenticated, NotFound
from agent.messaging.base import Call, Inbox, Reply, Service, Shown, Tap, TryLater, Undeliverable, Verb
from agent.messaging.rendering import Card
from agent.providers.mail import NOT_SET_UP, deliver, route_of
from agent.providers.mail_message import address, compose, links_in, mail_message, message_id
from agent.settings import Settings
from agent.text.visible import one_line

_MOST_SUBJECT, _MOST_LINK, _MOST_COMMENT = 180, 600, 1_000
_VERBS: dict[str, Verb] = {"approve": "approve", "reject": "reject"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",  # without it a browser's POST has no origin
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
_SIGNS = ".:@/\u3002\uff0e\uff61\\"  # what stands between the parts of a link, as browsers read it
_STYLE = "body{font:16px system-ui;max-width:60em;margin:2em auto;padding:0 1em}pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}"


class Email(Service):
    """Mails to the people whom the settings name."""

    name = "email"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.public_url.rstrip("/")
        self.people = _people_in(settings.email_approvers)
        self._key = _key_of(settings)
        self.hold = timedelta(seconds=5 * settings.smtp_timeout)  # a mail takes several answers of the server

    async def post(self, place: str, card: Card, token: str | None, *, marker: str) -> str:
        """Mail a request with its link. What is mailed twice has one Message-ID."""
        if not self._url:
            raise Undeliverable("A mail needs AGENT_PUBLIC_URL, the address at which people reach this server.")
        lines = (card.summary, card.code, *card.changes, *(f"⚠ {one}" for one in card.warnings), *card.facts)
        link = f"{self._url}/messaging/email/{self._link(place, marker, token or '')}"
        body = "\n".join(
            (*(unlinked(line) for line in lines if line), "", "Look at it and decide (the link is only for you):", link)
        )
        await self._mail(place, f"{card.headline}: {card.summary}", body, marker)
        return f"{place}/{marker}"

    async def update(self, place: str, message_id: str, card: Card, token: str | None) -> None:
        """Change nothing: a mail stays as it is, and its link shows how the request stands."""

    async def send(self, place: str, text: str, *, under: str | None = None, marker: str | None = None) -> None:
        """Mail a text."""
        del under
        await self._mail(place, text.partition("\n")[0], unlinked(text), marker or text)

    async def check(self) -> str:
        """Return how mail goes."""
        route = route_of(self._settings)
        if route is None:
            raise Undeliverable(NOT_SET_UP)
        return f"{route.sender} by {route.place}"

    async def receive(self, inbox: Inbox) -> None:
        """Wait: decisions come to our server."""
        del inbox
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""

    async def called(self, call: Call, inbox: Inbox) -> Reply:
        """Show a request (GET), or decide it (POST from the page that shows it). Raises `NotAuthenticated` for another link."""
        owner, marker, token = self._read(call.path)
        tap = Tap(account=owner, token=token, decision="approve", place=owner, message_id=f"{owner}/{marker}")
        if call.method != "POST":
            shown = await inbox.looked(tap)
            return _page(shown, self._form(shown, call.path) if shown.open else "")
        given = {name: values[0] for name, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(given.get("proof", "").encode(), self._proof(call.path).encode()):
            raise NotAuthenticated("Open the link, and use the button on its page.")
        if given.get("decision") not in _VERBS:
            raise NotFound("There is no such button.")
        comment = given.get("comment", "").strip()[:_MOST_COMMENT] or None
        tap = Tap(
            account=owner, token=token, decision=_VERBS[given["decision"]], comment=comment, place=owner, message_id=tap.message_id
        )  # fmt: skip
        said = await inbox.tapped(tap, asyncio.Event())
        try:
            return _page(await inbox.looked(tap), f"<p><strong>{html.escape(said)}</strong></p>")
        except AgentError:
            return _page(Shown(approval_id=0, text=said, editable=""), "")

    async def _mail(self, to: str, subject: str, body: str, key: str) -> None:
        route = route_of(self._settings)
        if route is None:
            raise Undeliverable(NOT_SET_UP)
        try:
            subject = one_line(unlinked(subject), _MOST_SUBJECT)
            mail = mail_message(sender=route.sender, to=[to], subject=subject, body=body)
            message = compose(mail, identifier=message_id(key, route.sender), date=datetime.now(UTC))
        except ValueError as error:
            raise Undeliverable(f"This cannot be mailed to {to!r}: {error}.") from error
        done = await deliver(message, mail.recipients, settings=self._settings)
        if done.status != "sent":
            raise TryLater(done.detail, unsure=done.status == "unknown")

    def _link(self, owner: str, marker: str, token: str) -> str:
        """Return what a link ends with: whose it is, which message, its token, and our signature of them."""
        signed = f"{base64.urlsafe_b64encode(owner.encode()).decode().rstrip('=')}.{marker}.{token}"
        return f"{signed}.{self._signature('link', signed)}"

    def _read(self, path: str) -> tuple[str, str, str]:
        """Return owner, marker and token of a link. Raises `NotAuthenticated` if it is not ours."""
        signed, _, signature = path.rpartition(".")
        parts = signed.split(".")
        genuine = hmac.compare_digest(signature.encode(), self._signature("link", signed).encode())
        if len(path) > _MOST_LINK or len(parts) != 3 or not genuine:
            raise NotAuthenticated("This link is not whole, or not ours: open the one in the mail.")
        try:
            owner = base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise NotAuthenticated("This link is not whole: open the one in the mail.") from None
        if owner not in self.people:
            raise NotAuthenticated("This address decides nothing here any more.")
        return owner, parts[1], parts[2]

    def _proof(self, path: str) -> str:
        return self._signature("page", path)

    def _signature(self, use: str, text: str) -> str:
        return hmac.digest(self._key, f"messaging {use}\n{text}".encode(), "sha256").hex()

    def _form(self, shown: Shown, path: str) -> str:
        if shown.why_not:
            return f"<p><strong>{html.escape(shown.why_not)}</strong></p>"
        return (
            f'<form method="post"><input type="hidden" name="proof" value="{self._proof(path)}">'
            '<p><label>Why, or what instead? <input name="comment" maxlength="1000" size="60"></label></p>'
            '<p><button name="decision" value="approve">Approve</button> '
            '<button name="decision" value="reject">Reject</button></p></form>'
        )


def unlinked(text: str) -> str:
    """Return text in which no mail program finds a link: a value must not look like our own."""
    for link in sorted(links_in(text), key=len, reverse=True):
        apart = link
        for sign in _SIGNS:
            apart = apart.replace(sign, f"{sign} ")
        text = text.replace(link, apart)
    return "".join(f"{one} " if one in _SIGNS else one for one in text) if links_in(text) else text


def _page(shown: Shown, form: str) -> Reply:
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Approval {shown.approval_id or ''}</title><style>{_STYLE}</style>"
        f"{form}<pre>{html.escape(shown.text)}</pre></html>"
    )
    return Reply(body=body, kind="text/html; charset=utf-8", headers=_HEADERS)


def _people_in(text: str) -> dict[str, str]:
    """Return the person of each address. Raises `ConfigurationError`."""
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, given = entry.partition("=")
        try:
            found[address(given)] = name.strip()
        except ValueError as error:
            raise ConfigurationError(
                f"AGENT_EMAIL_APPROVERS holds name=address, with commas between: {error}."
            ) from error
    return found


def _key_of(settings: Settings) -> bytes:
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    if settings.embedded:
        return embedded.read_or_make_secret(settings.home).encode()
    raise ConfigurationError("Links in mails are signed with AGENT_SECRET: set it.")
