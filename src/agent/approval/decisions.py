"""Takes one person's decision, in one transaction under the lock of the request's row.

Who waits for that lock sees what the one before did: sixteen deciders make one decision, and two people two votes.
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
    """What a person said to a request. `binding` is that of the request as they saw it, where the surface passes it on."""

    decision: Decision
    by: str
    via: str = "python"
    comment: str | None = None
    response: str | None = None
    delegate_to: str | None = None
    binding: str | None = None
    grant: Grant | None = None

    def check(self) -> None:
        """Raise `InvalidInput` for what is no decision at all."""
        if self.decision not in DECISIONS:
            raise InvalidInput(f"{self.decision!r} is not a decision: say one of {', '.join(map(repr, DECISIONS))}.")
        if self.decision == "respond" and not (short_text(self.response) or "").strip():
            raise InvalidInput("Say what the tool's answer is to be: a response in its place must not be empty.")
        if self.decision == "delegate" and not self.delegate_to:
            raise InvalidInput("Say to whom it is delegated.")
        if self.grant is not None and self.decision != "approve":
            raise InvalidInput("Only an approval can allow more of the same.")
        check_not_reserved(self.by)


async def take(approval_id: int, said: DecisionRequest, runtime: Runtime) -> Approval | None:
    """Take `said`; None when it came too late. Raises `DecisionRefused`, `InvalidInput` or `NotFound`."""
    said.check()
    if said.decision == "edit":
        raise InvalidInput("An edit is assessed first: use safe_executor.decide.")
    async with runtime.transaction() as conn:
        approval, who, missing = await _locked(approval_id, said, conn, runtime)
        if approval is None:
            return None
        values = _values(approval, said, who, runtime) | {"missing": missing}
        if said.decision == "delegate":
            values["delegate"] = await _delegate(approval, said, conn, runtime)
        query = {"approve": "approve", "delegate": "delegate"}.get(said.decision, "finish")
        row = await _one(conn, query, values)
        if row is not None and said.grant is not None:
            await permissions.keep(said.grant, Approval.from_row(row), by=who.name, conn=conn, runtime=runtime)
    return Approval.from_row(row) if row else None


async def replace(
    approval_id: int, said: DecisionRequest, new: NewRequest, *, confirmed: bool, runtime: Runtime
) -> Approval | None:
    """Put `new` in the place of a request; None when somebody was first. `confirmed` counts the edit as a yes to it too."""
    async with runtime.transaction() as conn:
        approval, who, _ = await _locked(approval_id, said, conn, runtime)
        if approval is None or await _one(conn, "finish", _values(approval, said, who, runtime)) is None:
            return None
        values = row_values(
            new, runtime=runtime, requested_by=approval.requested_by, call=approval.call, replaces=approval
        )
        # One that was opened again is of a conversation, and no call of it.
        row = await _one(conn, "request", values | {"thread_id": approval.thread_id, "turn": approval.turn})
        assert row is not None  # noqa: S101  # the replaced row has left the call's place
        made = Approval.from_row(row)
        if confirmed:
            missing = votes_missing(made, several=who.several)
            voted = await _one(conn, "approve", {**_values(made, said, who, runtime), "missing": missing})
            made = Approval.from_row(voted) if voted else made
    return made


async def _locked(
    approval_id: int, said: DecisionRequest, conn: Connection, runtime: Runtime
) -> tuple[Approval | None, Membership, int]:
    """The request under its lock, who decides, and how many must still say yes; no request when it is decided."""
    values = {"tenant_id": runtime.tenant_id, "id": identifier(approval_id)}
    row = await _one(conn, "lock", values)
    if row is None:
        raise NotFound(f"There is no approval {approval_id!r}. `agent approvals list` shows what waits.")
    approval = Approval.from_row(row)
    # After the lock: whoever lost their rights while this waited has lost them.
    who, voters = await membership_of(said.by, conn, runtime, voters=approval.approved_by)
    if approval.status != "pending":
        return None, who, 0
    check_may(approval, said, who)
    gone = len(approval.approved_by) - len(voters) if who.several else 0
    return approval, who, votes_missing(approval, several=who.several) + gone


def check_may(approval: Approval, said: DecisionRequest, who: Membership) -> None:
    """Raise `DecisionRefused` when this person may not say this, or speaks of something else than the request."""
    if reason := why_not(approval, said.decision, who):
        raise DecisionRefused(f"Approval {approval.id} stays as it is. {reason}")
    if said.binding is not None and said.binding != approval.binding:
        raise DecisionRefused(
            f"Approval {approval.id} is not what was decided about: look at it again, then decide. Nothing was done."
        )
    if said.decision == "approve" and who.name in approval.approved_by:
        raise AlreadyDecided(f"{who.name!r} has approved {approval.id} already; another person must approve it too.")
    if said.grant is not None and approval.votes_needed > 1 and who.several:
        raise DecisionRefused(
            f"Approval {approval.id} needs {approval.votes_needed} people, so it cannot be always allowed."
        )


async def _delegate(approval: Approval, said: DecisionRequest, conn: Connection, runtime: Runtime) -> str:
    to, _ = await membership_of(said.delegate_to or "", conn, runtime)
    if reason := why_not_delegate(approval, to):
        raise InvalidInput(reason)
    return to.name


def _values(approval: Approval, said: DecisionRequest, who: Membership, runtime: Runtime) -> dict[str, Any]:
    return {
        "tenant_id": runtime.tenant_id, "id": approval.id, "decided_by": who.name, "via": short_text(said.via),
        "comment": short_text(said.comment), "decision": said.decision,
        "status": {"reject": "rejected", "respond": "answered", "edit": "edited"}.get(said.decision),
        "response": short_text(said.response) if said.decision == "respond" else None,
    }  # fmt: skip


async def _one(conn: Connection, query: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    return await fetch_one(conn, _QUERIES[query], values)
