"""The tool send_email: it proposes a mail, sends the approved one, and checks after a crash whether it was sent.

A mail is of LOW risk only if the operator has listed every domain that it goes to or links to, and the user or a trusted
source gave every address, link and account in it. The mail that is sent is the one in the preview: by the same route, from
the same address, with the same text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
    """Return a mail as its recipients would read it. Raises `InvalidArguments`, or `ConfigurationError` if mail is not set up."""
    settings = runtime.settings
    route = route_of(settings)
    if route is None:
        raise ConfigurationError(f"Not sent. {NOT_SET_UP}")
    mail = _message_from(arguments.model_dump(), route.sender)
    conversation = await longer_context(await context_of_call(call, runtime=runtime), runtime=runtime)
    origins = await untrusted_origins(_values(mail), conversation, runtime=runtime)
    unlisted = _unlisted(mail, settings.email_domains)
    sentence = _sentence(mail, route)
    places = [origin.place for origin in origins]
    assessment = assessed(
        sentence, unlisted=unlisted.values(), places=places, refuse_others=settings.email_refuse_others
    )
    preview = MailPreview(
        sentence=assessment.sentence, masked_sentence=_masked_sentence(mail, route), text=_rendered(mail), links=tuple(mail.links), via=route.kind,
        place=route.place, from_=mail.sender, origins=(*_warnings(unlisted), *(origin.sentence for origin in origins)),
        not_previewed=("A mail cannot be taken back.",) if route.kind == "smtp" else (),
    )  # fmt: skip
    return Proposal(assessment=assessment, preview=preview)


def assessed(sentence: str, *, unlisted: Iterable[str], places: Iterable[str], refuse_others: bool) -> Assessment:
    """Return the assessment of a mail to some `unlisted` domains, with values that come from untrusted `places`."""
    domains, places = tuple(unlisted), tuple(places)
    reasons = ("outside:email", *(f"domain:{domain}" for domain in domains), *(f"origin:{place}" for place in places))
    refused = bool(domains) and refuse_others
    if refused:
        sentence = f"{sentence} AGENT_EMAIL_DOMAINS does not name {', '.join(sorted(set(domains)))}."
    risk: RiskLevel = "HIGH" if domains or places else "LOW"
    return Assessment(
        verdict="refuse" if refused else "run", risk=risk, reasons=tuple(dict.fromkeys(reasons)), sentence=sentence
    )


async def carry_out(approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
    """Send an approved mail. Raises `OutcomeUnknown`; with any other error nothing was sent."""
    preview, route = approval.preview, route_of(runtime.settings)
    assert isinstance(preview, MailPreview)  # noqa: S101  # only what `propose` previewed is carried out
    if route is None or (route.kind, route.place, route.sender) != (preview.via, preview.place, preview.from_):
        raise ActionRefused("Not sent: the settings for mail have changed since this was approved. Ask again.")
    mail = _message_from(approval.arguments, route.sender)
    if _rendered(mail) != preview.text:
        raise ActionRefused("Not sent: the mail differs from the one that was approved. Ask again.")
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
    """Return whether a mail is in the outbox; "unknown" for a mail server, which cannot be asked."""
    preview = approval.preview
    if not isinstance(preview, MailPreview) or preview.via != "outbox":
        return "unknown"
    file = in_outbox(message_id(key, preview.from_), Path(preview.place))
    return "done" if await asyncio.to_thread(file.exists) else "not-done"


def _message_from(arguments: dict[str, Any], sender: str) -> MailMessage:
    try:
        return mail_message(sender=sender, **arguments)
    except ValueError as error:
        raise InvalidArguments(f"send_email cannot take this: {error}.") from error


def _values(mail: MailMessage) -> list[Value]:
    """Return the values whose origin is checked: recipients, links, and the addresses and accounts in the text."""
    values = [Value(argument="to", kind="address", text=address) for address in mail.to]
    values += [Value(argument="cc", kind="address", text=address) for address in mail.cc]
    for name, text in (("subject", mail.subject), ("body", mail.body)):
        values += [Value(argument=name, kind=kind, text=part) for kind, part in shapes_in(text)]
    known = {value.text for value in values}
    values += [Value(argument="body", kind="link", text=link) for link in mail.links if link not in known]
    return list(dict.fromkeys(values))


def _unlisted(mail: MailMessage, domains: str) -> dict[str, str]:
    """Return the addresses and links whose domain the operator has not listed, with that domain."""
    hosts = {target: domain_of(target) for target in (*mail.recipients, *mail.links)}
    return {target: host or "not certain" for target, host in hosts.items() if not is_listed(host, domains)}


def _check_still_allowed(mail: MailMessage, runtime: Runtime) -> None:
    """Raise `ActionRefused` if the operator's settings, which may be stricter since the approval, refuse the mail."""
    unlisted = _unlisted(mail, runtime.settings.email_domains)
    if unlisted and runtime.settings.email_refuse_others:
        names = ", ".join(sorted(set(unlisted.values())))
        raise ActionRefused(f"Not sent: AGENT_EMAIL_DOMAINS does not name {names}.")


def _warnings(unlisted: dict[str, str]) -> list[str]:
    return [
        f"{target[:200]!r} leads to {host!r}, which AGENT_EMAIL_DOMAINS does not name."
        for target, host in unlisted.items()
    ]


def _operation(route: Route) -> str:
    return "Sends a mail" if route.kind == "smtp" else "Writes a mail into the outbox"


def _sentence(mail: MailMessage, route: Route) -> str:
    others = len(mail.recipients) - 1
    return (
        f"{_operation(route)} to {mail.recipients[0]}{f' and {others} more' if others else ''}: {mail.subject[:80]!r}."
    )


def _masked_sentence(mail: MailMessage, route: Route) -> str:
    number = len(mail.recipients)
    return f"{_operation(route)} to {number} recipient{'' if number == 1 else 's'}."


def _rendered(mail: MailMessage) -> str:
    """Return the mail as its recipients read it."""
    copies = [f"Cc: {', '.join(mail.cc)}"] if mail.cc else []
    head = [f"From: {mail.sender}", f"To: {', '.join(mail.to)}", *copies, f"Subject: {mail.subject}"]
    return "\n".join([*head, "", mail.body])


OUTSIDE = OutsideTool(propose=propose, carry_out=carry_out, look=look, seconds=_SECONDS)
