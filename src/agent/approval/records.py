"""Defines requests for a human's decision: as a value for our own code, and as a dict for callers and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, TypedDict

from agent.approval.preview import CHANGED, Preview, as_statement, digest, is_intact, preview_from_json
from agent.types import ApprovalStatus, CallKey, RiskLevel

Decision = Literal["approve", "reject", "edit", "respond", "delegate"]
DECISIONS: tuple[Decision, ...] = ("approve", "reject", "edit", "respond", "delegate")


class Answer(TypedDict):
    """What `request_approval` returns: whether a human agreed, and who. `response` is the text of a human who answered instead."""

    approved: bool
    status: ApprovalStatus
    approval_id: int
    decided_by: str | None
    comment: str | None
    response: str | None


class PendingApproval(TypedDict):
    """A request as `get_pending_approvals` returns it. Times are aware datetimes of the database's clock.

    `binding` identifies exactly this request. Who passes it on with a decision decides about nothing else.
    """

    id: int
    action: str
    arguments: dict[str, Any]
    risk_level: RiskLevel
    reasons: list[str]
    summary: str
    preview: dict[str, Any] | None
    binding: str
    executable: bool
    status: ApprovalStatus
    requested_by: str
    delegated_to: str | None
    votes_needed: int
    approved_by: list[str]
    decided_by: str | None
    decided_via: str | None
    comment: str | None
    response: str | None
    replaces: int | None
    permission_id: int | None
    thread_id: str | None
    turn: int | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One row of the queue. Only the status of the row lets the action be executed.

    `executable` is False when Python code asks for the decision only and acts itself. `binding` ties the decision to these
    arguments, this policy and this preview. `replaces` is the request that a human edited or opened again; an "edited"
    request is never executed. `votes_needed` people must approve; those in `approved_by` have done so. `response` is what a
    human said to the model: an answer in the tool's place, or with a rejection what they want instead.
    """

    id: int
    database_id: str
    action: str
    arguments: dict[str, Any]
    risk_level: RiskLevel
    reasons: tuple[str, ...]
    summary: str
    preview: Preview | None
    policy_version: str
    binding: str
    executable: bool
    status: ApprovalStatus
    requested_by: str
    decided_by: str | None
    decided_via: str | None
    comment: str | None
    thread_id: str | None
    turn: int | None
    round: int | None
    ordinal: int | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    replaces: int | None = None
    response: str | None = None
    delegated_to: str | None = None
    votes_needed: int = 1
    approved_by: tuple[str, ...] = ()
    permission_id: int | None = None
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Approval:
        """Return the approval in a row of agents.human_approval_queue; its preview is `CHANGED` if the row was altered after the request."""
        values = {field.name: row[field.name] for field in fields(cls)}
        lists = {"reasons": tuple(row["reasons"]), "approved_by": tuple(row["approved_by"])}
        approval = cls(**{**values, **lists, "preview": preview_from_json(row["preview"])})
        if approval.bound and is_intact(row["preview"]):
            return approval
        arguments = approval.arguments if isinstance(approval.arguments, dict) else {}
        return replace(approval, arguments=arguments, preview=CHANGED)

    @property
    def place(self) -> tuple[int, int]:
        """Return the round and ordinal of its call. The calls of a round are made together, so ids do not give their order."""
        return self.round or 0, self.ordinal or 0

    @property
    def bound(self) -> bool:
        """Return whether the row still holds what its binding was made of."""
        return self.binding == binding(
            self.action, self.arguments, policy_version=self.policy_version, preview=self.preview
        )

    @property
    def call(self) -> CallKey | None:
        """Return the tool call that made the request, or None if none did."""
        if self.thread_id is None or self.turn is None or self.round is None or self.ordinal is None:
            return None
        return CallKey(thread_id=self.thread_id, turn=self.turn, round=self.round, ordinal=self.ordinal)

    @property
    def correction(self) -> str | None:
        """Return what the human who rejected the request wants instead; None for a no that is final."""
        return self.response if self.status == "rejected" else None

    @property
    def title(self) -> str:
        """Return the statement that the request is about, or its summary if it is about none."""
        return as_statement(self.preview).sql or self.summary

    @property
    def preview_json(self) -> dict[str, Any] | None:
        """Return the preview as JSON, or None if there is none."""
        return self.preview.to_json() if self.preview else None

    def answer(self) -> Answer:
        """Return the decision as `request_approval` does."""
        return Answer(
            approved=self.status == "approved",
            status=self.status,
            approval_id=self.id,
            decided_by=self.decided_by,
            comment=self.comment,
            response=self.response if self.status == "answered" else None,
        )

    def as_dict(self) -> PendingApproval:
        """Return the request as a dict, for lists and JSON."""
        values = {name: getattr(self, name) for name in PendingApproval.__annotations__}
        lists = {"reasons": list(self.reasons), "approved_by": list(self.approved_by)}
        return PendingApproval(**{**values, **lists, "preview": self.preview_json})  # type: ignore[typeddict-item]  # the names are its own


def binding(action: str, arguments: Mapping[str, Any], *, policy_version: str, preview: Preview | None) -> str:
    """Return the hash that ties a decision to one action, its arguments, the policy and the preview that was shown."""
    return digest([action, arguments, policy_version, preview.fingerprint if preview else ""])
