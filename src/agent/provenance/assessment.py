"""Raises the risk of an action whose values do not come from the user, so that a human is asked about it.

A recipient, link, account or amount that neither the user nor a trusted source gave makes the risk HIGH; so does a secret
that was read. A change of one row is MEDIUM instead of LOW when the user's words do not ask for it. An action without an
effect is refused if its arguments hold a secret: the log would store it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.errors import ActionRefused
from agent.privacy.sensitive import keys_in
from agent.provenance.conversation_context import ConversationContext, contains_as_word, secret_in, untrusted_origins
from agent.provenance.wording import Wording
from agent.provenance.written_values import written_values
from agent.runtime import Runtime
from agent.settings import Settings
from agent.statements.parser import Statement
from agent.statements.risk import as_worded, may_be_as_worded, under_settings
from agent.statements.secret_use import GUESSED
from agent.types import RISK_LEVELS, Assessment, RiskLevel


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason to raise an action's risk to at least `risk`, with its code and a sentence for the approver."""

    risk: RiskLevel
    reason: str
    sentence: str


async def weigh(
    assessment: Assessment,
    statement: Statement | None,
    arguments: Mapping[str, Any],
    conversation: ConversationContext,
    *,
    has_effect: bool,
    runtime: Runtime,
) -> tuple[Assessment, tuple[str, ...]]:
    """Return the assessment with the risk that an action's values add, and sentences about them for the approver.

    Raises `ActionRefused` if the arguments of an action without an effect hold a secret.
    """
    findings: list[Finding] = []
    if has_effect and statement is not None:
        findings += await _value_findings(assessment, statement, conversation, runtime)
    findings += _guess_findings(assessment, conversation)
    secret = _source_of_secret(arguments, conversation, is_sent_outside=has_effect and statement is None)
    if secret is not None and not has_effect:
        raise ActionRefused(
            f"Refused: the arguments repeat a secret that was read ({secret}). Name its row instead, as a sub-select can."
        )
    if secret is not None:
        findings.append(Finding("HIGH", "secret", f"It repeats a secret that was read: {secret}."))
    if not findings:
        return _lowered(assessment, statement, conversation, runtime), ()
    raised = raised_by(assessment, findings, has_effect=has_effect, settings=runtime.settings)
    return raised, tuple(finding.sentence for finding in findings)


def raised_by(
    assessment: Assessment, findings: Sequence[Finding], *, has_effect: bool, settings: Settings
) -> Assessment:
    """Return the assessment with the risk and the reasons of some findings, under the operator's settings."""
    raised = replace(
        assessment,
        risk=max(assessment.risk, *(finding.risk for finding in findings), key=RISK_LEVELS.index),
        reasons=tuple(dict.fromkeys((*_reasons_without_read(assessment), *(finding.reason for finding in findings)))),
        verdict="ask" if assessment.verdict == "run" and not has_effect else assessment.verdict,
    )
    return under_settings(raised, ask_from=settings.ask_from, refused=settings.refuse)


def _lowered(
    assessment: Assessment, statement: Statement | None, conversation: ConversationContext, runtime: Runtime
) -> Assessment:
    """Return the assessment of a change that is as the user worded it as LOW, if its dry run can show all that it does."""
    if statement is None or not may_be_as_worded(assessment):
        return assessment
    wording = _wording_of(conversation)
    if wording.objection(statement) is not None:
        return assessment
    settings = runtime.settings
    lowered = as_worded(assessment, several=wording.means_several(statement))
    return under_settings(lowered, ask_from=settings.ask_from, refused=settings.refuse)


def _wording_of(conversation: ConversationContext) -> Wording:
    return Wording.of(conversation.user_words, conversation.known_keys(), conversation.shown_texts())


def _reasons_without_read(assessment: Assessment) -> tuple[str, ...]:
    return tuple(reason for reason in assessment.reasons if reason != "read")


def needs_a_human(reasons: Sequence[str]) -> bool:
    """Return whether an action needs a new decision: whoever gave an earlier permission did not know of these values."""
    return any(
        reason == "secret"
        or reason.startswith("secret:")
        or (reason.startswith("origin:") and reason != "origin:unsaid")
        for reason in reasons
    )


async def _value_findings(
    assessment: Assessment, statement: Statement, conversation: ConversationContext, runtime: Runtime
) -> list[Finding]:
    origins = await untrusted_origins(written_values(statement), conversation, runtime=runtime)
    if origins or "one-row" not in assessment.reasons:
        return [Finding("HIGH", f"origin:{origin.place}", origin.sentence) for origin in origins]
    objection = _wording_of(conversation).objection(statement)
    if objection is None:
        return []
    sentence = f"The user's words do not say {objection}: the model chose that."
    return [Finding("MEDIUM", "origin:unsaid", sentence)]


def _guess_findings(assessment: Assessment, conversation: ConversationContext) -> list[Finding]:
    """Return a finding if a secret column is compared with a value that the user did not say: a right guess reveals it."""
    use = assessment.secrets
    user_text = "\n".join(conversation.user_words)
    if use is None or all(value is not None and contains_as_word(user_text, value) for value in use.looked_up):
        return []
    sentence = "It compares a column that contains_as_word secrets with a value that the user did not say."
    return [Finding("HIGH", GUESSED, sentence)]


def _source_of_secret(
    arguments: Mapping[str, Any], conversation: ConversationContext, *, is_sent_outside: bool
) -> str | None:
    """Return where a secret in the arguments comes from; None if they hold none."""
    known = secret_in(arguments, conversation.secrets)
    if known is not None or not is_sent_outside:
        return known
    # A tool that the agent created may have read the key; the conversation does not show that.
    keys = keys_in(json.dumps(arguments, ensure_ascii=False, default=str))
    user_text = "\n".join(conversation.user_words)
    return next((f"a key that begins {key[:6]!r}" for key in keys if key not in user_text), None)
