"""Cases to replay: those that no test has used to confirm something are fresh, and each confirms once."""

from __future__ import annotations

from collections.abc import Sequence

from agent.db import load_queries
from agent.optimization.ids import key_of
from agent.optimization.workflows import Case, Workflow
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)


async def fresh_cases(workflow: Workflow, *, runtime: Runtime) -> list[Case]:
    """Return the workflow's cases that are not burnt, each once, in the order of their ids."""
    burnt = {row["case_id"] for row in await runtime.all(_QUERIES["burnt_cases"], workflow_type=workflow.name)}
    cases = {one.case_id: one for one in await workflow.cases(runtime)}
    return [cases[name] for name in sorted(cases.keys() - burnt)]


async def burn(workflow_type: str, case_ids: Sequence[str], *, by: str, runtime: Runtime) -> None:
    """Note that cases were looked at, so that they confirm nothing else."""
    await take(workflow_type, case_ids, by=by, runtime=runtime)


async def take(workflow_type: str, case_ids: Sequence[str], *, by: str, runtime: Runtime) -> set[str]:
    """Burn cases before they are looked at, and return those that nobody else had: two tests at once never share one."""
    rows = await runtime.all(
        _QUERIES["burn_cases"], workflow_type=workflow_type, case_ids=list(case_ids), by=key_of(by, "optimization")
    )
    return {row["case_id"] for row in rows}


async def give_back(workflow_type: str, case_ids: Sequence[str], *, by: str, runtime: Runtime) -> None:
    """Note that cases of a test were not looked at after all."""
    await runtime.execute(
        _QUERIES["give_back_cases"], workflow_type=workflow_type, case_ids=list(case_ids), by=key_of(by, "optimization")
    )
