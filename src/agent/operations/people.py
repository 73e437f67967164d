"""Name people who may decide, and report what that changes for everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.approval.eligibility import Person, Role, same_name
from agent.approval.people import people
from agent.runtime import Runtime, current_runtime

DEFAULT_ROLES: tuple[Role, ...] = ("approver",)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPerson:
    """A person who was named.

    `alone` says that nobody else may decide from now on; `shut_out` is then the runtime's user, if that is somebody else.
    """

    person: Person
    alone: bool = False
    shut_out: str | None = None


async def add(name: str, roles: Sequence[str] = DEFAULT_ROLES, *, runtime: Runtime | None = None) -> NamedPerson:
    """Name a person or change their roles. Raises `InvalidInput`, or `DecisionRefused` if the runtime's user is no admin."""
    runtime = runtime or await current_runtime()
    person = await people.add(name, roles, runtime=runtime)
    if len(await people.list_people(runtime=runtime)) > 1:
        return NamedPerson(person=person)
    return NamedPerson(
        person=person, alone=True, shut_out=None if same_name(person.name, runtime.user) else runtime.user
    )
