"""The tool send_email: what an approver sees of a mail, when it is sent, and what is known of it after a crash.

A mail is of LOW risk only where the operator has listed every domain that it goes to or links to, and the user or a
trusted place gave every address, link and account in it. What was shown is what is sent: by the same way, from the same
address, as the same text.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent.approval.human_approval import Approval
from agent.approval.preview import MailPreview
from agent.errors import ActionRefused, ConfigurationError, InvalidArguments, OutcomeUnknown, ProviderUnavailable
from agent.execution.outside_effects import Happened, OutsideTool, Proposal
from agent.execution.tools.arguments import SendEmail
from agent.provenance.conversation_context import context_of_call, longer_context, untrusted_origins
from agent.provenance.origins import Value, shapes_in
from agent.providers.mail import NOT_SET_UP, Route, deliver, in_outbox, route_of
from agent.providers.mail_message import MailMessage, compose, domain_of, is_listed, mail_message, message_id
from agent.runtime import Runtime
from agent.types import Assessment, CallKey, RiskLevel, ToolResult

_SECONDS = 180.0


async def propose(arguments: SendEmail, *, call: CallKey | None, runtime: Runtime) -> Proposal:
    """The mail as its recipients would see it. Raises `InvalidArguments`, or `ConfigurationError` where mail is not set up."""
    settings = runtime.settings
    route = route_of(settings)
    if route is None:
        raise ConfigurationError(f"Not sent. {NOT_SET_UP}")
    mail = _letter(arguments.model_dump(), route.sender)
    conversation = await longer_context(await context_of_call(call, runtime=runtime), runtime=runtime)
    origins = await untrusted_origins(_values(mail), conversation, runtime=runtime)
    unlisted = _unlisted(mail, settings.email_domains)
    refused = bool(unlisted) and settings.email_refuse_others
    reasons = (
        "outside:email",
        *(f"domain:{domain}" for domain in unlisted.values()),
        *(f"origin:{origin.place}" for origin in origins),
    )
    risk: RiskLevel = "HIGH" if unlisted or origins else "LOW"
    sentence = _sentence(mail, route)
    if refused:
        sentence = f"{sentence} AGENT_EMAIL_DOMAINS does not name {', '.join(sorted(set(unlisted.values())))}."
    assessment = Assessment(
        verdict="refuse" if refused else "run", risk=risk, reasons=tuple(dict.fromkeys(reasons)), sentence=sentence
    )
    preview = MailPreview(
        sentence=sentence, masked_sentence=_masked_sentence(mail, route), text=_rendered(mail), links=tuple(mail.links), via=route.kind,
        place=route.place, from_=mail.sender, origins=(*_warnings(unlisted), *(origin.sentence for origin in origins)),
        not_previewed=("A mail cannot be taken back.",) if route.kind == "smtp" else (),
    )  # fmt: skip
    return Proposal(assessment=assessment, preview=preview)


async def carry_out(approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
    """Send an approved mail. Raises `OutcomeUnknown`; with any other error nothing was sent."""
    shown, route = approval.preview, route_of(runtime.settings)
    assert isinstance(shown, MailPreview)  # noqa: S101  # only what `propose` has shown is carried out
    if route is None or (route.kind, route.place, route.sender) != (shown.via, shown.place, shown.from_):
        raise ActionRefused("Not sent: mail is set up in another way than when this was approved. Ask again.")
    mail = _letter(approval.arguments, route.sender)
    if _rendered(mail) != shown.text:
        raise ActionRefused("Not sent: the mail would be another one than was approved. Ask again.")
    _check_still_allowed(mail, runtime)
    identifier = message_id(key, mail.sender)
    message = compose(mail, identifier=identifier, date=approval.created_at)
    delivery = await deliver(message, mail.recipients, settings=runtime.settings)
    if delivery.status == "unknown":
        raise OutcomeUnknown(delivery.detail)
    if delivery.status == "not-sent":
        raise ProviderUnavailable(delivery.detail)
    return ToolResult(success=True, status="succeeded", message=delivery.detail, data={"message_id": identifier})


async def look(approval: Approval, *, key: str, runtime: Runtime) -> Happened:
    """An outbox shows its files; a mail server cannot be asked."""
    shown = approval.preview
    if not isinstance(shown, MailPreview) or shown.via != "outbox":
        return "unknown"
    file = in_outbox(message_id(key, shown.from_), Path(shown.place))
    return "done" if await asyncio.to_thread(file.exists) else "not-done"


def _letter(arguments: dict[str, Any], sender: str) -> MailMessage:
    try:
        return mail_message(sender=sender, **arguments)
    except ValueError as error:
        raise InvalidArguments(f"send_email cannot take this: {error}.") from error


def _values(mail: MailMessage) -> list[Value]:
    """What somebody should have said: who gets it, where it leads, and the accounts that it names."""
    found = [Value(argument="to", kind="address", text=one) for one in mail.to]
    found += [Value(argument="cc", kind="address", text=one) for one in mail.cc]
    for name, text in (("subject", mail.subject), ("body", mail.body)):
        found += [Value(argument=name, kind=kind, text=one) for kind, one in shapes_in(text)]
    known = {value.text for value in found}
    found += [Value(argument="body", kind="link", text=link) for link in mail.links if link not in known]
    return list(dict.fromkeys(found))


def _unlisted(mail: MailMessage, domains: str) -> dict[str, str]:
    """Addresses and links whose domain is not pre-approved, with that domain."""
    hosts = {target: domain_of(target) for target in (*mail.recipients, *mail.links)}
    return {target: host or "not certain" for target, host in hosts.items() if not is_listed(host, domains)}


def _check_still_allowed(mail: MailMessage, runtime: Runtime) -> None:
    """The operator may have become stricter since the mail was approved. Raises `ActionRefused`."""
    unlisted = _unlisted(mail, runtime.settings.email_domains)
    if unlisted and runtime.settings.email_refuse_others:
        names = ", ".join(sorted(set(unlisted.values())))
        raise ActionRefused(f"Not sent: AGENT_EMAIL_DOMAINS does not name {names}.")


def _warnings(unlisted: dict[str, str]) -> list[str]:
    return [
        f"{target[:200]!r} leads to {host!r}, which AGENT_EMAIL_DOMAINS does not name."
        for target, host in unlisted.items()
    ]


def _sentence(mail: MailMessage, route: Route) -> str:
    how = "Sends a mail" if route.kind == "smtp" else "Writes a mail into the outbox"
    others = len(mail.recipients) - 1
    return f"{how} to {mail.recipients[0]}{f' and {others} more' if others else ''}: {mail.subject[:80]!r}."


def _masked_sentence(mail: MailMessage, route: Route) -> str:
    how = "Sends a mail" if route.kind == "smtp" else "Writes a mail into the outbox"
    number = len(mail.recipients)
    return f"{how} to {number} recipient{'' if number == 1 else 's'}."


def _rendered(mail: MailMessage) -> str:
    """The mail as its recipients read it."""
    copies = [f"Cc: {', '.join(mail.cc)}"] if mail.cc else []
    head = [f"From: {mail.sender}", f"To: {', '.join(mail.to)}", *copies, f"Subject: {mail.subject}"]
    return "\n".join([*head, "", mail.body])


OUTSIDE = OutsideTool(propose=propose, carry_out=carry_out, look=look, seconds=_SECONDS)
