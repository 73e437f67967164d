"""Takes one person's decision, in one transaction under the lock of the request's row.

A decision that waits for the lock sees the one before it: of many final decisions one counts, and two people's yes are two
votes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.approval import permissions
from agent.approval.eligibility import Membership, votes_missing, why_not, why_not_delegate
from agent.approval.people import check_not_reserved, membership_of
from agent.approval.permissions import Grant
from agent.approval.records import DECISIONS, Approval, Decision
from agent.approval.requests import NewRequest, identifier, row_values, short_text
from agent.db import Connection, load_queries
from agent.db.queries import fetch_one
from agent.errors import AlreadyDecided, DecisionRefused, InvalidInput, NotFound
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRequest:
    """A decision that a person wants to take. `binding` is that of the request they saw, where the surface passes it on.

    The comment of a rejection is a correction, after which the model may propose something else, unless the no is `final`.
    """

    decision: Decision
    by: str
    via: str = "python"
    comment: str | None = None
    response: str | None = None
    delegate_to: str | None = None
    binding: str | None = None
    grant: Grant | None = None
    final: bool = False

    @property
    def to_model(self) -> str | None:
        """Return what the decision says to the model, or None: an answer in the tool's place, or a correction."""
        if self.decision == "respond":
            return short_text(self.response)
        is_correction = self.decision == "reject" and not self.final and (self.comment or "").strip()
        return short_text(self.comment) if is_correction else None

    def check(self) -> None:
        """Raise `InvalidInput` if this is not a valid decision."""
        if self.decision not in DECISIONS:
            raise InvalidInput(f"{self.decision!r} is not a decision: say one of {', '.join(map(repr, DECISIONS))}.")
        if self.decision == "respond" and not (short_text(self.response) or "").strip():
            raise InvalidInput("Say what the tool's answer is to be: a response in its place must not be empty.")
        if self.decision == "delegate" and not self.delegate_to:
            raise InvalidInput("Say to whom it is delegated.")
        if self.final and self.decision != "reject":
            raise InvalidInput("Only a rejection can be final.")
        if self.grant is not None and self.decision != "approve":
            raise InvalidInput("Only an approval can allow more of the same.")
        check_not_reserved(self.by)


async def take(approval_id: int, request: DecisionRequest, runtime: Runtime) -> Approval | None:
    """Take a decision and return the request; None when it came too late.

    Raises `DecisionRefused`, `InvalidInput` or `NotFound`.
    """
    request.check()
    if request.decision == "edit":
        raise InvalidInput("An edit is assessed first: use safe_executor.decide.")
    async with runtime.transaction() as conn:
        approval, who, missing = await _locked(approval_id, request, conn, runtime)
        if approval is None:
            return None
        values = _values(approval, request, who, runtime) | {"missing": missing}
        if request.decision == "delegate":
            values["delegate"] = await _delegate(approval, request, conn, runtime)
        query = {"approve": "approve", "delegate": "delegate"}.get(request.decision, "finish")
        row = await _fetch(conn, query, values)
        if row is not None and request.grant is not None:
            await permissions.keep(request.grant, Approval.from_row(row), by=who.name, conn=conn, runtime=runtime)
    return Approval.from_row(row) if row else None


async def replace(
    approval_id: int, request: DecisionRequest, new: NewRequest, *, confirmed: bool, runtime: Runtime
) -> Approval | None:
    """Replace a request by `new` and return that; None when it was decided before.

    `confirmed` counts the edit as an approval of the new request too.
    """
    async with runtime.transaction() as conn:
        approval, who, _ = await _locked(approval_id, request, conn, runtime)
        if approval is None or await _fetch(conn, "finish", _values(approval, request, who, runtime)) is None:
            return None
        values = row_values(
            new, runtime=runtime, requested_by=approval.requested_by, call=approval.call, replaces=approval
        )
        # A reopened request belongs to a conversation but to no call of it.
        row = await _fetch(conn, "request", values | {"thread_id": approval.thread_id, "turn": approval.turn})
        assert row is not None  # noqa: S101  # the replaced row has left the call's place
        replacement = Approval.from_row(row)
        if confirmed:
            missing = votes_missing(replacement, several=who.several)
            voted = await _fetch(conn, "approve", {**_values(replacement, request, who, runtime), "missing": missing})
            replacement = Approval.from_row(voted) if voted else replacement
    return replacement


async def _locked(
    approval_id: int, request: DecisionRequest, conn: Connection, runtime: Runtime
) -> tuple[Approval | None, Membership, int]:
    """Lock a request; return it (None when it is decided), who decides, and how many people must still approve it."""
    values = {"tenant_id": runtime.tenant_id, "id": identifier(approval_id)}
    row = await _fetch(conn, "lock", values)
    if row is None:
        raise NotFound(f"There is no approval {approval_id!r}. `agent approvals list` shows what waits.")
    approval = Approval.from_row(row)
    # Read after the lock: a person may lose their rights while this waits.
    who, voters = await membership_of(request.by, conn, runtime, voters=approval.approved_by)
    if approval.status != "pending":
        return None, who, 0
    check_may(approval, request, who)
    lost_votes = len(approval.approved_by) - len(voters) if who.several else 0
    return approval, who, votes_missing(approval, several=who.several) + lost_votes


def check_may(approval: Approval, request: DecisionRequest, who: Membership) -> None:
    """Raise `DecisionRefused` if this person may not take this decision, or saw another request than this."""
    if reason := why_not(approval, request.decision, who):
        raise DecisionRefused(f"Approval {approval.id} stays as it is. {reason}")
    if request.binding is not None and request.binding != approval.binding:
        raise DecisionRefused(
            f"Approval {approval.id} is not what was decided about: look at it again, then decide. Nothing was done."
        )
    if request.decision == "approve" and who.name in approval.approved_by:
        raise AlreadyDecided(f"{who.name!r} has approved {approval.id} already; another person must approve it too.")
    if request.grant is not None and approval.votes_needed > 1 and who.several:
        raise DecisionRefused(
            f"Approval {approval.id} needs {approval.votes_needed} people, so it cannot be always allowed."
        )


async def _delegate(approval: Approval, request: DecisionRequest, conn: Connection, runtime: Runtime) -> str:
    to, _ = await membership_of(request.delegate_to or "", conn, runtime)
    if reason := why_not_delegate(approval, to):
        raise InvalidInput(reason)
    return to.name


def _values(approval: Approval, request: DecisionRequest, who: Membership, runtime: Runtime) -> dict[str, Any]:
    return {
        "tenant_id": runtime.tenant_id, "id": approval.id, "decided_by": who.name, "via": short_text(request.via),
        "comment": short_text(request.comment), "decision": request.decision,
        "status": {"reject": "rejected", "respond": "answered", "edit": "edited"}.get(request.decision),
        "response": request.to_model,
    }  # fmt: skip


async def _fetch(conn: Connection, query: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    return await fetch_one(conn, _QUERIES[query], values)
