"""Says who a caller is and what the caller's role allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from agent.approval.eligibility import ACCESS_ROLES, AccessRole, Membership
from agent.errors import AccessDenied

Proof = Literal["local", "key", "token", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller: the tenant and the person for whom they act, and the role that bounds what they do.

    `proof` says how that is known: they call from this machine ("local"), with an API key, with a user's token or from an account of
    a messaging service. `claims` are those of a token. `expires_at` ends a stream; None means that the proof does not expire.
    """

    tenant_id: str
    person: str
    role: AccessRole
    personal: bool
    proof: Proof
    key_id: int | None = None
    expires_at: datetime | None = None
    claims: Mapping[str, Any] | None = field(default=None, repr=False)

    def allows(self, role: AccessRole) -> bool:
        """Return whether the caller has `role` or a higher one."""
        return rank(self.role) >= rank(role)

    def require(self, role: AccessRole) -> None:
        """Raise `AccessDenied` unless the caller has `role` or a higher one."""
        if not self.allows(role):
            raise AccessDenied(f"This needs the role {role}, and you are {self.role}: ask an admin for a key with it.")


def rank(role: AccessRole) -> int:
    """Return the place of a role: a higher one has the rights of those below it."""
    return ACCESS_ROLES.index(role)


def effective_role(proven: AccessRole, who: Membership) -> AccessRole:
    """Return the lower one of the role that a key or token proves and the role of the person.

    Where people are named, somebody who is not among them decides nothing. Where nobody is named, the proof alone counts.
    """
    if not who.several:
        return proven
    if who.person is None:
        own: AccessRole = "operator"
    elif not who.person.active:
        own = "viewer"
    else:
        own = who.person.access_role
    return min(proven, own, key=rank)
