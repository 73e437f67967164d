"""Keeps the people of a tenant: who may decide, who names people, who sees personal columns.

While nobody is named, one user decides everything. The first person named must be an admin; from then on only admins
name people, and the last admin cannot be removed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import cast

import structlog

from agent.approval.eligibility import ROLES, Membership, Person, Role, last_admin
from agent.audit.sealing import seal_soon
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import DecisionRefused, InvalidInput, NotFound
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__, "people.sql")
_log = structlog.get_logger(__name__)
_RESERVED = ("policy", "permission")


class People:
    """The people of the current tenant. Holds no state; see the module docstring."""

    async def add(self, name: str, roles: Sequence[str], *, runtime: Runtime | None = None) -> Person:
        """Name a person, or give them other roles. Raises `InvalidInput`, or `DecisionRefused` unless an admin calls."""
        runtime = runtime or await current_runtime()
        cleaned = clean_name(name)
        check_not_reserved(cleaned)
        values = {
            "tenant_id": runtime.tenant_id, "name": cleaned, "roles": _checked_roles(roles), "changed_by": runtime.user
        }  # fmt: skip
        async with runtime.transaction() as conn:
            known = await _lock(conn, runtime)
            if not known and "admin" not in roles:
                raise InvalidInput(f"The first person must be an admin, who names the others: give {name!r} that role.")
            _check_admin(known, runtime)
            if "admin" not in roles and _is_last(known, cleaned):
                raise InvalidInput(f"{name!r} is the last admin: make somebody else one first.")
            row = await fetch_one(conn, _QUERIES["save_person"], values)
        assert row is not None  # noqa: S101  # an upsert returns its row
        seal_soon(runtime)
        _log.warning("person_changed", name=row["name"], roles=row["roles"])
        return _person(row)

    async def remove(self, name: str, *, runtime: Runtime | None = None) -> Person:
        """Take a person's rights away, from the next decision on.

        Raises `NotFound`, `InvalidInput` for the last admin, `DecisionRefused` unless an admin calls.
        """
        runtime = runtime or await current_runtime()
        values = {"tenant_id": runtime.tenant_id, "name": clean_name(name), "changed_by": runtime.user}
        async with runtime.transaction() as conn:
            known = await _lock(conn, runtime)
            _check_admin(known, runtime)
            if _is_last(known, values["name"]):
                raise InvalidInput(
                    f"{name!r} is the last admin: make somebody else one first, or remove everybody (then one user "
                    "decides everything again)."
                )
            row = await fetch_one(conn, _QUERIES["remove_person"], values)
        if row is None:
            raise NotFound(f"There is nobody called {name!r}. `agent people list` names them.")
        seal_soon(runtime)
        _log.warning("person_removed", name=row["name"])
        return _person(row)

    async def remove_everybody(self, *, runtime: Runtime | None = None) -> None:
        """Remove all people, so that one user decides everything again. Raises `DecisionRefused` unless an admin calls."""
        runtime = runtime or await current_runtime()
        async with runtime.transaction() as conn:
            _check_admin(await _lock(conn, runtime), runtime)
            await conn.execute(_QUERIES["remove_everybody"], {"tenant_id": runtime.tenant_id})
        seal_soon(runtime)
        _log.warning("everybody_removed")

    async def list_people(self, *, runtime: Runtime | None = None) -> list[Person]:
        """Return everybody who was ever named, by name."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["people"])
        return [_person(row) for row in rows]

    async def membership(self, name: str | None = None, *, runtime: Runtime | None = None) -> Membership:
        """Return who `name` is in this tenant (default: the runtime's user)."""
        runtime = runtime or await current_runtime()
        async with runtime.connection() as conn:
            return (await membership_of(name or runtime.user, conn, runtime))[0]

    async def decider(self, name: str | None = None, *, runtime: Runtime | None = None) -> Membership:
        """Return who `name` is, if they may decide. Raises `DecisionRefused` if they may not."""
        who = await self.membership(name, runtime=runtime)
        if who.several and not (who.person and who.person.decides):
            raise DecisionRefused(f"{who.name!r} does not have the role to decide here (`agent people list`).")
        return who


people = People()


async def membership_of(
    name: str, conn: Connection, runtime: Runtime, *, voters: Sequence[str] = ()
) -> tuple[Membership, tuple[str, ...]]:
    """Return who `name` is, and which of the earlier `voters` may still vote."""
    cleaned = clean_name(name)
    values = {"tenant_id": runtime.tenant_id, "name": cleaned, "voters": list(voters)}
    row = await fetch_one(conn, _QUERIES["membership"], values)
    assert row is not None  # noqa: S101  # a join on one row
    person = _person(row) if row["name"] is not None else None
    masked = runtime.masked and cleaned == clean_name(runtime.user)
    name = person.name if person else cleaned
    return Membership(name=name, several=row["several"], person=person, masked=masked), tuple(row["voters"])


def clean_name(name: str) -> str:
    """Return a name as it is stored: NFKC, so that two spellings are not two people. Raises `InvalidInput`."""
    cleaned = unicodedata.normalize("NFKC", str(name)).strip()
    if not 0 < len(cleaned) <= 200 or not cleaned.isprintable():
        raise InvalidInput(f"{str(name)[:50]!r} is not a name: use 1 to 200 printable characters.")
    return cleaned


def check_not_reserved(name: str) -> None:
    """Raise `InvalidInput` for a name under which rules decide, however it is spelled."""
    if clean_name(name).casefold().split()[0] in _RESERVED:
        raise InvalidInput(f"{name!r} is not a person's name: rules decide under it.")


async def _lock(conn: Connection, runtime: Runtime) -> list[Person]:
    rows = await fetch_all(conn, _QUERIES["lock_people"], {"tenant_id": runtime.tenant_id})
    return [_person(row) for row in rows]


def _check_admin(known: Sequence[Person], runtime: Runtime) -> None:
    me = clean_name(runtime.user).lower()
    if known and not any(person.is_admin and person.name.lower() == me for person in known):
        raise DecisionRefused(f"Only an admin names people, and {runtime.user!r} is none (`agent people list`).")


def _is_last(known: Sequence[Person], name: str) -> bool:
    return any(last_admin(known, person.name) for person in known if person.name.lower() == name.lower())


def _checked_roles(roles: Sequence[str]) -> list[str]:
    wrong = [role for role in roles if role not in ROLES]
    if wrong or not roles:
        raise InvalidInput(f"{', '.join(map(repr, wrong)) or 'No role'}: the roles are {', '.join(ROLES)}.")
    return sorted(set(roles))


def _person(row: dict[str, object]) -> Person:
    roles = tuple(role for role in ROLES if role in cast("list[Role]", row["roles"]))
    return Person(name=str(row["name"]), roles=roles, active=bool(row["active"]))
