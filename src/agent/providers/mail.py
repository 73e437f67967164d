"""Delivers mail to an SMTP server, or to a folder (the outbox) where no server is set up, and reports the outcome.

When the connection breaks once the text is on its way, nobody can tell whether the mail was sent: the status is "unknown", and
nothing sends it again by itself. A failure before that is "not-sent". The outbox holds each Message-ID once.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Literal

from agent.errors import ConfigurationError
from agent.providers.mail_message import address
from agent.settings import Settings
from agent.text.storable import storable

if TYPE_CHECKING:
    from aiosmtplib import SMTP

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_DEFAULT_SENDER = "agent@localhost"
_MAX_REPLY = 200
NOT_SET_UP = (
    "Mail is not set up: set AGENT_SMTP_HOST and AGENT_SMTP_FROM to send it, or AGENT_EMAIL_OUTBOX to a folder that gets "
    "the mails as .eml files."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where mail goes: `place` is host:port or a folder, `sender` is the From address."""

    kind: Literal["smtp", "outbox"]
    place: str
    sender: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The outcome of a delivery; `detail` is a sentence for people."""

    status: Literal["sent", "not-sent", "unknown"]
    detail: str


def route_of(settings: Settings) -> Route | None:
    """Return where mail goes, or None when mail is not set up. Raises `ConfigurationError`."""
    if not settings.smtp_host:
        folder = settings.email_outbox
        return Route(kind="outbox", place=str(folder), sender=settings.smtp_from or _DEFAULT_SENDER) if folder else None
    try:
        sender = address(settings.smtp_from)
    except ValueError as error:
        raise ConfigurationError(f"AGENT_SMTP_FROM must be the address that mail is sent from: {error}.") from error
    encrypted = settings.smtp_tls != "none"
    if not encrypted and not settings.smtp_plain_network and not _is_this_machine(settings.smtp_host):
        raise ConfigurationError(
            f"AGENT_SMTP_TLS=none would send mail to {settings.smtp_host!r} in plain text: use starttls or "
            "tls, or allow it with AGENT_SMTP_PLAIN_NETWORK=true."
        )
    port = settings.smtp_port or _PORTS[settings.smtp_tls]
    return Route(kind="smtp", place=f"{settings.smtp_host}:{port}", sender=sender)


async def deliver(message: EmailMessage, recipients: tuple[str, ...], *, settings: Settings) -> Delivery:
    """Deliver `message` as the settings say: to all of `recipients` or, if the server refuses one of them, to nobody."""
    route = route_of(settings)
    if route is None:
        return Delivery(status="not-sent", detail=NOT_SET_UP)
    if route.kind == "outbox":
        return await asyncio.to_thread(_write_file, message, Path(route.place))
    return await _send(message, recipients, route, settings)


def in_outbox(identifier: str, folder: Path) -> Path:
    """Return the file of a Message-ID in an outbox."""
    return folder / f"{identifier.strip('<>').partition('@')[0]}.eml"


def _write_file(message: EmailMessage, folder: Path) -> Delivery:
    """Write the whole file or none; if there is a file of this name, it stays."""
    file = in_outbox(message["Message-ID"], folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = mkstemp(prefix=".", suffix=".tmp", dir=folder)
        try:
            with os.fdopen(handle, "wb") as target:
                target.write(message.as_bytes())
                target.flush()
                os.fsync(target.fileno())
            with suppress(FileExistsError):
                os.link(name, file)
        finally:
            Path(name).unlink()
    except OSError as error:
        return Delivery(status="not-sent", detail=f"The outbox {str(folder)!r} cannot be written: {error.strerror}.")
    return Delivery(status="sent", detail=f"Written to the outbox as {file.name}; no mail server is set up.")


async def _send(message: EmailMessage, recipients: tuple[str, ...], route: Route, settings: Settings) -> Delivery:
    from aiosmtplib import SMTP, SMTPException, SMTPResponseException

    client = SMTP(
        hostname=settings.smtp_host, port=int(route.place.rpartition(":")[2]), timeout=settings.smtp_timeout,
        username=settings.smtp_user or None,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        local_hostname=route.sender.rpartition("@")[2], use_tls=settings.smtp_tls == "tls",
        start_tls=settings.smtp_tls == "starttls", tls_context=await asyncio.to_thread(_tls_context, settings),
    )  # fmt: skip
    may_be_sent = False
    try:
        await client.connect()
        await client.mail(route.sender)
        for recipient in recipients:
            await client.rcpt(recipient)
        may_be_sent = True
        await client.data(message.as_bytes())
    except SMTPResponseException as error:
        return Delivery(status="not-sent", detail=_refusal(error.code, error.message))
    except (SMTPException, OSError) as error:
        return _interrupted(error, route) if may_be_sent else _unreachable(error, route)
    finally:
        await _disconnect(client)
    return Delivery(status="sent", detail=f"Accepted by {route.place} for {', '.join(recipients)}.")


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.smtp_tls == "none":
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.smtp_ca_file) if settings.smtp_ca_file else None)
    except OSError as error:
        raise ConfigurationError(
            f"AGENT_SMTP_CA_FILE names {str(settings.smtp_ca_file)!r}, which is not a readable PEM file."
        ) from error
    if not settings.smtp_check_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _disconnect(client: SMTP) -> None:
    from aiosmtplib import SMTPException

    with suppress(SMTPException, OSError):
        await client.quit(timeout=2)
    client.close()


def _refusal(code: int, reply: str) -> str:
    later = " Try again later." if 400 <= code < 500 else ""
    return f"Not sent: the mail server answered {code} {_short(reply)}.{later}"


def _unreachable(error: Exception, route: Route) -> Delivery:
    detail = f"Not sent: the mail server {route.place} cannot be used: {_short(str(error)) or type(error).__name__}."
    return Delivery(status="not-sent", detail=detail)


def _interrupted(error: Exception, route: Route) -> Delivery:
    detail = (
        f"The connection to the mail server {route.place} broke while the mail was sent ({_short(str(error)) or type(error).__name__}), "
        "so nobody can tell whether it arrived. Look in the mailbox or ask the recipient before you send it again."
    )
    return Delivery(status="unknown", detail=detail)


def _short(reply: str) -> str:
    # The server's reply is untrusted data: keep one short line.
    return " ".join(storable(reply).split())[:_MAX_REPLY].rstrip(".")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
