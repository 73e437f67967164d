"""Links accounts of messaging services to people by one-time codes, and says whom an account stands for.

Whoever sends a code from an account proves that the account is theirs. Of a code only a hash is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from agent.access.identity import Identity, effective_role
from agent.approval.eligibility import same_name
from agent.approval.people import check_not_reserved, clean_name, people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.errors import DecisionRefused, NotAuthenticated, NotFound
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__, "accounts.sql")
_LIFETIME = timedelta(minutes=15)
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # without those that look alike
_CODE_CHARS = 12
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of a messaging service, and the person whose it is."""

    service: str
    account: str
    person: str
    linked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCode:
    """A code that links the account that sends it to `person`, once, before `expires_at`."""

    code: str
    person: str
    expires_at: datetime


async def new_code(person: str | None = None, *, runtime: Runtime | None = None) -> LinkCode:
    """Make a code for `person` (default: the runtime's user). Raises `DecisionRefused` for another's unless an admin calls."""
    runtime = runtime or await current_runtime()
    owner = clean_name(person or runtime.user)
    check_not_reserved(owner)
    who, me = await people.membership(owner, runtime=runtime), await people.membership(runtime=runtime)
    if me.several and not same_name(owner, me.name) and not (me.person and me.person.is_admin):
        raise DecisionRefused(f"Only an admin links the account of somebody else, and {me.name!r} is none.")
    if who.several and not (who.person and who.person.active):
        raise NotFound(
            f"{owner!r} is not one of the people who are named: an admin names them with `agent people add`."
        )
    code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_CHARS))
    row = await runtime.one(
        _QUERIES["create_code"], hash=_hash(code), person=who.name, created_by=runtime.user, lifetime=_LIFETIME
    )
    assert row is not None  # noqa: S101  # an insert returns its row
    seal_soon(runtime)
    return LinkCode(code=code, person=who.name, expires_at=row["expires_at"])


async def link(service: str, account: str, code: str, *, runtime: Runtime) -> Account:
    """Link an account to the person of a code. Raises `NotAuthenticated` for a wrong, used or expired code."""
    row = await runtime.one(_QUERIES["link"], service=service, account=account, hash=_hash(code.strip().upper()))
    if row is None:
        raise NotAuthenticated("This code is wrong, used or expired: make a new one with `agent people link`.")
    seal_soon(runtime)
    _log.warning("account_linked", service=service, account=account, person=row["person"])
    return _account(row)


async def linked(*, runtime: Runtime) -> list[Account]:
    """Return every linked account."""
    return [_account(row) for row in await runtime.all(_QUERIES["accounts"])]


async def unlink(person: str, *, runtime: Runtime | None = None) -> list[Account]:
    """End the links of a person's accounts at once. Raises `DecisionRefused` for another's unless an admin calls."""
    runtime = runtime or await current_runtime()
    me = await people.membership(runtime=runtime)
    if me.several and not same_name(person, me.name) and not (me.person and me.person.is_admin):
        raise DecisionRefused(f"Only an admin unlinks the account of somebody else, and {me.name!r} is none.")
    rows = await runtime.all(_QUERIES["unlink"], person=clean_name(person))
    seal_soon(runtime)
    return [_account(row) for row in rows]


async def identity_of_account(service: str, account: str, *, runtime: Runtime, approval_id: int = 0) -> Identity:
    """Return whom an account stands for. Raises `NotAuthenticated`, and notes the attempt about a request in the audit log."""
    row = await runtime.one(_QUERIES["account"], service=service, account=account)
    if row is None:
        await runtime.execute(_QUERIES["refused"], service=service, account=account[:200], approval_id=approval_id)
        seal_soon(runtime)
        raise NotAuthenticated(
            "I do not know you yet. Run `agent people link` where the agent runs, then send me here in private: link CODE"
        )
    return await identity_of_person(row["person"], runtime=runtime)


async def identity_of_person(person: str, *, runtime: Runtime) -> Identity:
    """Return whom a person's own account stands for."""
    who = await people.membership(person, runtime=runtime)
    return Identity(
        tenant_id=runtime.tenant_id, person=who.name, role=effective_role("admin", who),
        personal=runtime.settings.messaging_personal and who.sees_personal, proof="account",
    )  # fmt: skip


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def _account(row: dict[str, Any]) -> Account:
    return Account(**{name: row[name] for name in Account.__dataclass_fields__})
