"""What a tool brings whose effect is not one SQL statement: how to show it, how to do it, and how to see whether it was done.

The database cannot take such an effect back, so nothing here is tried for a preview, and nothing is repeated on a guess.
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
    """What would be done. `preview` is for the approver: its `text` is how it will look.

    With verdict "refuse" it is never done; else its risk says whether a human is asked (AGENT_ASK_FROM), CRITICAL always.
    """

    assessment: Assessment
    preview: Preview


class Propose(Protocol):
    """Looks, without any effect, at what checked arguments would do."""

    async def __call__(self, arguments: Any, *, call: CallKey | None, runtime: Runtime) -> Proposal: ...


class CarryOut(Protocol):
    """Does what was approved. `key` is the same at every try.

    Raises `OutcomeUnknown` when it cannot tell whether it happened; with any other `AgentError` it did not happen.
    """

    async def __call__(self, approval: Approval, *, key: str, runtime: Runtime) -> ToolResult: ...


class Look(Protocol):
    """Whether it happened, asked after a crash. "not-done" lets it be done again, so it must be certain."""

    async def __call__(self, approval: Approval, *, key: str, runtime: Runtime) -> Happened: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NonTransactionalEffect:
    """An effect that no transaction holds; it is given `seconds`, after which its outcome is not known."""

    carry_out: CarryOut
    look: Look
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideTool(NonTransactionalEffect):
    """An effect outside the application's database, which a tool proposes."""

    propose: Propose


def idempotency_key(approval: Approval) -> str:
    """32 hex digits that name the one effect of an approval, the same in every process and at every try."""
    return hashlib.sha256(f"{approval.database_id}/{approval.id}/{approval.binding}".encode()).hexdigest()[:32]
