"""Stores what a human allowed in advance: "always allow this for 8 hours".

An approval grants a permission, bound to its tool, pattern, tables, risk, number of rows, database and asker. The pattern is
JSON here; `agent.execution.permissions.scope` defines what it means. Each use is a request that names its permission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from agent.approval.eligibility import Membership
from agent.approval.people import people
from agent.approval.records import Approval
from agent.audit.sealing import seal_soon
from agent.db import Connection, load_queries
from agent.db.queries import fetch_one
from agent.errors import DecisionRefused, InvalidInput, NotFound
from agent.privacy.masking import MASK, masked_sql
from agent.runtime import Runtime, current_runtime
from agent.types import RiskLevel

_QUERIES = load_queries(__package__, "permissions.sql")
_log = structlog.get_logger(__name__)
_MOST_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an approval allows in advance: actions that fit `pattern`, for `seconds`, of at most `most_rows` rows of `tables`."""

    pattern: Mapping[str, Any]
    sentence: str
    tables: tuple[str, ...]
    most_rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One row of agents.permissions; `uses` and `last_used` are set where the query counted them."""

    id: int
    tool: str
    pattern: dict[str, Any]
    sentence: str
    tables: tuple[str, ...]
    risk_ceiling: RiskLevel
    most_rows: int
    granted_to: str
    granted_by: str
    comment: str | None
    approval_id: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None
    uses: int = 0
    last_used: datetime | None = None
    read_at: datetime | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Permission:
        """Build a permission from its row."""
        values = {field.name: row[field.name] for field in fields(cls) if field.name in row}
        return cls(**{**values, "tables": tuple(row["tables"])})

    @property
    def state(self) -> str:
        """Return "open", "revoked" or "expired", as of when it was read."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.read_at is not None and self.read_at >= self.expires_at else "open"


class Permissions:
    """The permissions of the current tenant. Holds no state; see the module docstring."""

    async def list_permissions(
        self,
        limit: int = 50,
        *,
        before: int | None = None,
        viewer: str | None = None,
        runtime: Runtime | None = None,
    ) -> list[Permission]:
        """Return the permissions about this database with their uses, the newest first, as `viewer` may see them.

        With `before`, return those with lower numbers.
        """
        runtime = runtime or await current_runtime()
        rows = await runtime.all(
            _QUERIES["permissions"], database_id=runtime.database_id, limit=max(0, min(limit, 10_000)), before=before
        )
        who = await people.membership(viewer, runtime=runtime)
        return [_masked(who, Permission.from_row(row)) for row in rows]

    async def of_approval(
        self, approval_id: int, *, viewer: str | None = None, runtime: Runtime | None = None
    ) -> Permission | None:
        """Return the permission that an approval granted, as `viewer` may see it; None for none."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["of_approval"], approval_id=approval_id)
        return _masked(await people.membership(viewer, runtime=runtime), Permission.from_row(row)) if row else None

    async def revoke(self, permission_id: int, *, runtime: Runtime | None = None) -> str | None:
        """Revoke a permission. Return who had revoked it before, or None if nobody had.

        Raises `NotFound`, or `DecisionRefused` for a person who may not decide.
        """
        runtime = runtime or await current_runtime()
        decider = await people.decider(runtime=runtime)
        values = {"tenant_id": runtime.tenant_id, "id": permission_id, "revoked_by": decider.name}
        async with runtime.connection() as conn:
            if not 0 < permission_id < 2**63:
                raise NotFound(f"There is no permission {permission_id!r}. `agent permissions` lists them.")
            row = await fetch_one(conn, _QUERIES["revoke"], values)
            known = row or await fetch_one(conn, _QUERIES["permission_exists"], values)
        if known is None:
            raise NotFound(f"There is no permission {permission_id!r}. `agent permissions` lists them.")
        seal_soon(runtime)
        _log.warning("permission_revoked", permission_id=permission_id)
        return None if row else known["revoked_by"]

    async def open_for(self, tool: str, *, user: str, runtime: Runtime) -> list[Permission]:
        """Return the permissions that `user` has for this tool now, the oldest first."""
        rows = await runtime.all(_QUERIES["open"], database_id=runtime.database_id, tool=tool, user=user)
        return [Permission.from_row(row) for row in rows]

    async def use(
        self, permission: Permission, approval: Approval, *, proposed: str, runtime: Runtime
    ) -> Approval | None:
        """Approve a request by a permission and return it.

        None when the permission is over, or the request is not the one with the binding `proposed`.
        """
        row = await runtime.one(_QUERIES["use"], permission_id=permission.id, id=approval.id, binding=proposed)
        if row is None:
            return None
        seal_soon(runtime)
        _log.info("permission_used", permission_id=permission.id, approval_id=approval.id)
        return Approval.from_row(row)


permissions = Permissions()


def sentence_of_call(tool: str, pattern: Mapping[str, Any], arguments: Mapping[str, Any] | None) -> str:
    """Return in words a permission for calls of a tool; without `arguments` the values that it is bound to are masked."""
    fixed = [f"{name} = {MASK if arguments is None else repr(arguments.get(name))}" for name in pattern["fixed"]]
    return f"{tool} with {', '.join([*fixed, *(f'any {name}' for name in pattern['free'])])}"


def masked_sentence(tool: str, pattern: Mapping[str, Any], sentence: str) -> str:
    """Return in words a permission for a person who may not see personal values."""
    if "values" in pattern:
        return sentence_of_call(tool, pattern, None)
    if "sql" in pattern and sentence.startswith(pattern["sql"]):
        return masked_sql(pattern["sql"]) + sentence.removeprefix(pattern["sql"])
    return MASK


def _masked(who: Membership, permission: Permission) -> Permission:
    if who.sees_personal:
        return permission
    sentence = masked_sentence(permission.tool, permission.pattern, permission.sentence)
    return replace(permission, pattern={}, sentence=sentence)


async def keep(grant: Grant, approval: Approval, *, by: str, conn: Connection, runtime: Runtime) -> Permission:
    """Store a grant in the transaction of its approval. Raises `InvalidInput` or `DecisionRefused`."""
    check_life(grant.seconds)
    if approval.risk_level == "CRITICAL" or approval.status != "approved":
        raise DecisionRefused(f"Approval {approval.id} is of risk {approval.risk_level}, which is asked every time.")
    values = {
        "tenant_id": runtime.tenant_id, "database_id": approval.database_id, "tool": approval.action,
        "pattern": Jsonb(dict(grant.pattern)), "sentence": grant.sentence, "tables": list(grant.tables),
        "risk_ceiling": approval.risk_level, "most_rows": grant.most_rows, "granted_to": approval.requested_by,
        "granted_by": by, "comment": approval.comment, "approval_id": approval.id,
        "life": timedelta(seconds=grant.seconds),
    }  # fmt: skip
    row = await fetch_one(conn, _QUERIES["keep"], values)
    assert row is not None  # noqa: S101  # an insert returns its row
    _log.warning("permission_granted", permission_id=row["id"], approval_id=approval.id)
    return Permission.from_row(row)


def check_life(seconds: float) -> None:
    """Raise `InvalidInput` if a permission may not last for so many seconds."""
    if not 0 < seconds <= _MOST_SECONDS:
        raise InvalidInput(f"{seconds!r} is not a time that a permission lasts: use seconds from above 0 to 30 days.")
