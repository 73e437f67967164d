"""Serve SMTP on loopback, for tests of mail over real sockets, with TLS and a certificate of its own.

    with SmtpServer(tls="starttls").running() as server:
        Settings(smtp_host="localhost", smtp_port=server.port, smtp_ca_file=server.ca_file, ...)

It fails on request: it refuses a recipient, defers everybody, is slow, or drops the connection after it took the text.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(
    kw_only=True
)  # no slots: aiosmtpd looks at every attribute, which fails with slots on the first 3.11 releases
class SmtpServer:
    """An SMTP server. `messages` holds the accepted mails, `texts` also those after which the connection was dropped.

    `refused` is an address that gets a 550. `put_off` answers every recipient with 450. `drop_after_data` takes the text and
    drops the connection without an answer. `delay` and `hold` are seconds, before each recipient and the text are
    answered. With `user` a login is needed.
    """

    tls: Literal["starttls", "tls", "none"] = "none"
    user: str = ""
    password: str = ""
    refused: str = ""
    put_off: bool = False
    drop_after_data: bool = False
    delay: float = 0.0
    hold: float = 0.0
    port: int = 0
    ca_file: Path | None = None
    messages: list[EmailMessage] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[SmtpServer]:
        """Serve in a thread until the `with` block ends."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        with tempfile.TemporaryDirectory(prefix="learning-agent-smtp-") as folder:
            context = None if self.tls == "none" else self._context(Path(folder))
            server = asyncio.run_coroutine_threadsafe(self._listen(loop, context), loop).result(10)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    async def _listen(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None) -> asyncio.Server:
        def protocol() -> SMTP:
            with warnings.catch_warnings(action="ignore"):  # about a login without TLS
                return SMTP(
                    self, loop=loop, hostname="localhost", tls_context=context if self.tls == "starttls" else None,
                    require_starttls=self.tls == "starttls", auth_required=bool(self.user),
                    auth_require_tls=self.tls == "starttls", authenticator=self._authenticate,
                )  # fmt: skip

        return await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if self.tls == "tls" else None)

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        login = data if isinstance(data, LoginPassword) else LoginPassword(b"", b"")
        known = login.login == self.user.encode() and login.password == self.password.encode()
        return AuthResult(success=known, handled=known)

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient, or answer with the failure that the test has set."""
        await asyncio.sleep(self.delay)
        if self.put_off:
            return "450 4.2.0 greylisted, come back later"
        if address == self.refused:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """Accept the text, or drop the connection after it."""
        content = cast("bytes", envelope.content)
        self.texts.append(content)
        await asyncio.sleep(self.hold)
        if self.drop_after_data:
            transport = cast("asyncio.Transport", server.transport)
            transport.abort()
            return "421 gone"
        self.recipients.append(list(envelope.rcpt_tos))
        self.messages.append(message_from_bytes(content, policy=SMTP_POLICY))
        return "250 OK"

    def _context(self, folder: Path) -> ssl.SSLContext:
        self.ca_file = _certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.ca_file, folder / "key.pem")
        return context


async def _stop(server: asyncio.Server) -> None:
    server.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await server.wait_closed()


def _certificate(folder: Path) -> Path:
    """Create a self-signed certificate for localhost and its key in `folder`. Return the certificate's path."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "certificate.pem"
