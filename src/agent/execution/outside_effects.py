"""Defines what a tool gives whose effect is not one SQL statement: how to propose it, carry it out, and check that it happened.

The database cannot roll such an effect back: a preview never tries it, and nothing is repeated on a guess.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agent.approval.human_approval import Approval
from agent.approval.preview import Preview
from agent.runtime import Runtime
from agent.types import Assessment, CallKey, ToolResult

Happened = Literal["done", "not-done", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An effect that a tool proposes, and its `preview` for the approver.

    With the verdict "refuse" it is never carried out. Else its risk decides whether a human is asked (AGENT_ASK_FROM); for a
    CRITICAL one a human always is.
    """

    assessment: Assessment
    preview: Preview


class Propose(Protocol):
    """Returns what checked arguments would do; has no effect itself."""

    async def __call__(self, arguments: Any, *, call: CallKey | None, runtime: Runtime) -> Proposal: ...


class CarryOut(Protocol):
    """Carries out an approved effect. `key` is the same at every attempt.

    Raises `OutcomeUnknown` when it cannot tell whether the effect happened; after any other `AgentError` it did not happen.
    """

    async def __call__(self, approval: Approval, *, key: str, runtime: Runtime) -> ToolResult: ...


class Look(Protocol):
    """Returns, after a crash, whether the effect happened. "not-done" lets it be carried out again, so it must be certain."""

    async def __call__(self, approval: Approval, *, key: str, runtime: Runtime) -> Happened: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NonTransactionalEffect:
    """How an effect outside of transactions is carried out. After `seconds` without an end its outcome is unknown."""

    carry_out: CarryOut
    look: Look
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideTool(NonTransactionalEffect):
    """A tool whose effect is outside the application's database, and how it proposes one."""

    propose: Propose


def idempotency_key(approval: Approval) -> str:
    """Return 32 hex digits that name the one effect of an approval: the same in every process and at every attempt."""
    return hashlib.sha256(f"{approval.database_id}/{approval.id}/{approval.binding}".encode()).hexdigest()[:32]
