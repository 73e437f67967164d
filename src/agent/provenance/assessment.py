"""What the origins of an action's values do to its assessment: who asks for what nobody said is asked about.

A recipient, link, account or amount from nowhere, or a secret that was read, makes it HIGH; a change of one row that is not
in the user's words is no longer LOW. A secret in an action that is not asked about is refused: it would be in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.errors import ActionRefused
from agent.privacy.sensitive import keys_in
from agent.provenance.conversation_context import ConversationContext, holds, secret_in, untrusted_origins
from agent.provenance.written_values import is_asked_for, written_values
from agent.runtime import Runtime
from agent.statements.parser import Statement
from agent.statements.risk import under_settings
from agent.statements.secret_use import GUESSED
from agent.types import RISK_LEVELS, Assessment, RiskLevel


@dataclass(frozen=True, slots=True)
class _Finding:
    """Something about an action's values: the least risk that it has then, its code, and a sentence for the approver."""

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
    """The assessment of what a model asks for, and sentences about its values for the approver.

    Raises `ActionRefused` for a secret in an action without an effect.
    """
    found: list[_Finding] = []
    if has_effect and statement is not None:
        found += await _about_values(assessment, statement, conversation, runtime)
    found += _guesses(assessment, conversation)
    secret = _secret(arguments, conversation, goes_outside=has_effect and statement is None)
    if secret is not None and not has_effect:
        raise ActionRefused(
            f"Refused: the arguments repeat a secret that was read ({secret}). Name its row instead, as a sub-select can."
        )
    if secret is not None:
        found.append(_Finding("HIGH", "secret", f"It repeats a secret that was read: {secret}."))
    if not found:
        return assessment, ()
    raised = replace(
        assessment,
        risk=max(assessment.risk, *(one.risk for one in found), key=RISK_LEVELS.index),
        reasons=tuple(dict.fromkeys((*_without_read(assessment), *(one.reason for one in found)))),
        verdict="ask" if assessment.verdict == "run" and not has_effect else assessment.verdict,
    )
    settings = runtime.settings
    raised = under_settings(raised, ask_from=settings.ask_from, refused=settings.refuse)
    return raised, tuple(one.sentence for one in found)


def _without_read(assessment: Assessment) -> tuple[str, ...]:
    return tuple(reason for reason in assessment.reasons if reason != "read")


def needs_a_human(reasons: Sequence[str]) -> bool:
    """Whether no permission that was given earlier covers it: nobody knew of these values then."""
    return any(
        one == "secret" or one.startswith("secret:") or (one.startswith("origin:") and one != "origin:unsaid")
        for one in reasons
    )


async def _about_values(
    assessment: Assessment, statement: Statement, conversation: ConversationContext, runtime: Runtime
) -> list[_Finding]:
    origins = await untrusted_origins(written_values(statement), conversation, runtime=runtime)
    if origins or "one-row" not in assessment.reasons:
        return [_Finding("HIGH", f"origin:{one.place}", one.sentence) for one in origins]
    if is_asked_for(statement, "\n".join(conversation.user_words)) and conversation.means_its_row(statement):
        return []
    sentence = "The user's words do not say what it does or which row it is of: the model chose that."
    return [_Finding("MEDIUM", "origin:unsaid", sentence)]


def _guesses(assessment: Assessment, conversation: ConversationContext) -> list[_Finding]:
    """Values that a secret column is compared with and that the user did not say: a guess that is right would tell it."""
    use = assessment.secrets
    spoken = "\n".join(conversation.user_words)
    if use is None or all(one is not None and holds(spoken, one) for one in use.looked_up):
        return []
    sentence = "It compares a column that holds secrets with a value that the user did not say."
    return [_Finding("HIGH", GUESSED, sentence)]


def _secret(arguments: Mapping[str, Any], conversation: ConversationContext, *, goes_outside: bool) -> str | None:
    """Where a secret in the arguments comes from."""
    known = secret_in(arguments, conversation.secrets)
    if known is not None or not goes_outside:
        return known
    # A tool of the agent's own making may have read it where the conversation does not show it.
    keys = keys_in(json.dumps(arguments, ensure_ascii=False, default=str))
    spoken = "\n".join(conversation.user_words)
    return next((f"a key that begins {key[:6]!r}" for key in keys if key not in spoken), None)
