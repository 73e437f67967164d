"""The demonstration's script: the questions, and the operator's decisions. The answers are computed when it is played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OPERATOR = "demo operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One question. `decision` is the operator's about its request; `new_thread` begins a new conversation with it."""

    title: str
    question: str
    decision: Literal["approve", "reject"] | None = None
    comment: str | None = None
    new_thread: bool = False


CONVERSATION = (
    Scene(title="A question about data that it has never seen", question="How many campaigns are there per objective?"),
    Scene(title="A follow-up", question="And by status?"),
    Scene(title="A fact that no schema tells", question="Remember: campaign status 3 means paused"),
    Scene(
        title="A change: shown first, then asked for, then done",
        question="Set the status of client Quartz Health to paused",
        decision="approve",
    ),
    Scene(title="Read back", question="What is the status of client Quartz Health?"),
    Scene(
        title="A change that the operator does not want",
        question="Set the monthly budget of client Quartz Health to 99000",
        decision="reject",
        comment="not agreed with the client",
    ),
    Scene(title="Nothing has happened", question="What is the monthly budget of client Quartz Health?"),
    Scene(
        title="A new conversation, which still knows the fact",
        question="How many campaigns are paused?",
        new_thread=True,
    ),
)
