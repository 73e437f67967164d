"""`/api/doctor`, `/api/coverage` and `/api/settings`: which guard is on, which kind of action asks whom, by which settings."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from agent.api.callers import Acting, needs
from agent.operations import coverage as covering
from agent.operations import doctor as examining
from agent.operations import settings
from agent.operations.coverage import Asker, Coverage, CoveredKind
from agent.operations.doctor import Line

router = APIRouter(prefix="/api", tags=["set-up"])


class Diagnosis(BaseModel):
    """The guards, and which kind of action asks whom. `missing` names the lines with something to mend."""

    lines: list[Line]
    kinds: list[CoveredKind]
    askers: list[Asker]
    missing: list[str]


class Setting(BaseModel):
    """A setting as it is in force, and what it would be if nobody had set it."""

    name: str
    value: Any
    default: Any
    description: str


class Settings(BaseModel):
    """The settings that may be read: those that decide what may run, who is asked, and how much."""

    settings: list[Setting]


@router.get("/doctor", **needs("viewer"))
async def get_doctor(runtime: Acting) -> Diagnosis:
    """Say which guard is on, what is missing, and how to mend it."""
    found = await examining.doctor(runtime=runtime)
    return Diagnosis(
        lines=list(found.lines), kinds=list(found.coverage.kinds), askers=list(found.coverage.askers),
        missing=[line.name for line in found.missing],
    )  # fmt: skip


@router.get("/coverage", **needs("viewer"))
async def get_coverage(runtime: Acting) -> Coverage:
    """Say which kind of action runs at once, asks whom, or is refused."""
    return await covering.coverage(runtime=runtime)


@router.get("/settings", **needs("viewer"))
async def get_settings(runtime: Acting) -> Settings:
    """Return the settings that may be read. They are changed where the process is started, not here."""
    views = settings.in_force(runtime)
    return Settings(settings=[Setting.model_validate(view, from_attributes=True) for view in views])
