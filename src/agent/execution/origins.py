"""What the origins of an action's values do to its assessment: who asks for what nobody said is asked about.

A recipient, link, account or amount from nowhere, or a secret that was read, makes it HIGH; a change of one row that is not
in the user's words is no longer LOW. A secret in an action that is not asked about is refused: it would be in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.errors import ActionRefused
from agent.execution.heard import Heard, secret_in, untrusted
from agent.execution.risk import under_settings
from agent.execution.sql_parsing import Statement
from agent.execution.written_values import is_said, written_values
from agent.learning.privacy import keys_in
from agent.runtime import Runtime
from agent.types import RISK_LEVELS, Assessment, RiskLevel


async def weigh(
    assessment: Assessment,
    statement: Statement | None,
    arguments: Mapping[str, Any],
    heard: Heard,
    *,
    has_effect: bool,
    runtime: Runtime,
) -> tuple[Assessment, tuple[str, ...]]:
    """The assessment of a conversation's action, and sentences about its values for the approver.

    Raises `ActionRefused` for a secret in an action without an effect.
    """
    risk: RiskLevel = "LOW"
    sentences, reasons = [], []
    if has_effect and statement is not None:
        found = await untrusted(written_values(statement), heard, runtime=runtime)
        sentences, reasons = [one.sentence for one in found], [f"origin:{one.place}" for one in found]
        risk = "HIGH" if found else risk
        said = is_said(statement, "\n".join(heard.said)) and heard.means_its_row(statement)
        if not found and "one-row" in assessment.reasons and not said:
            risk, reasons = "MEDIUM", ["origin:unsaid"]
            sentences = ["The user's words do not say what it sets or which row it is: the model chose that."]
    secret = secret_in(arguments, heard.secrets)
    if secret is None and has_effect and statement is None:
        # A tool of the agent's own making may have read it where the conversation does not show it.
        secret = next((f"a key that begins {one[:6]!r}" for one in _keys(arguments) if not _was_said(one, heard)), None)
    if secret is not None and not has_effect:
        raise ActionRefused(
            f"Refused: the arguments repeat a secret that was read ({secret}). Name its row instead, as a sub-select can."
        )
    if secret is not None:
        risk, reasons = "HIGH", [*reasons, "secret"]
        sentences.append(f"It repeats a secret that was read: {secret}.")
    if not sentences:
        return assessment, ()
    raised = replace(
        assessment,
        risk=max(assessment.risk, risk, key=RISK_LEVELS.index),
        reasons=tuple(dict.fromkeys((*assessment.reasons, *reasons))),
    )
    settings = runtime.settings
    return under_settings(raised, ask_from=settings.ask_from, refused=settings.refuse), tuple(sentences)


def needs_a_human(reasons: Sequence[str]) -> bool:
    """Whether no permission that was given earlier covers it: nobody knew of these values then."""
    return any(one == "secret" or (one.startswith("origin:") and one != "origin:unsaid") for one in reasons)


def _keys(arguments: Mapping[str, Any]) -> list[str]:
    return keys_in(json.dumps(arguments, ensure_ascii=False, default=str))


def _was_said(key: str, heard: Heard) -> bool:
    return any(key in text for text in heard.said)
