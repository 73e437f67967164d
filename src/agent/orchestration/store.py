"""The rows of plans. Every write names the epoch of its owner, and raises `PlanLost` if another process has taken the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import agent.orchestration.definitions as definitions
from agent.db import load_queries
from agent.errors import NotFound
from agent.orchestration.journal import Statement, Written, journal_of
from agent.orchestration.leases import lease_of
from agent.orchestration.plan import FORMAT, Plan, read_plan
from agent.orchestration.records import PlanEvent, PlanResult, RunRecord, RunView, StepRecord, StepResult
from agent.runtime import Runtime
from agent.sync.payloads import checked_name, checked_object

_QUERIES = load_queries(__package__)
MOST_PLAN_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A run that this process owns since `epoch`. `since` is when it began to take it, by the clock of this process."""

    run_id: UUID
    epoch: int
    since: float = field(default_factory=monotonic, compare=False)


async def begin(
    plan: Plan, *, runtime: Runtime, key: str | None = None, queued: bool = False, replay_of: UUID | None = None, keep: Sequence[str] = (),
    batch: UUID | None = None,
) -> Owned | None:  # fmt: skip
    """Store a plan, owned by this process unless it is `queued`. Return None if the idempotency key is known."""
    since = monotonic()
    if key is not None:
        checked_name(key, what="The idempotency key")
    values = {**_values(plan, epoch=0 if queued else 1, runtime=runtime), "key": key, "replay_of": replay_of}
    values["batch"] = batch
    statements: list[Statement] = [*_kept(values), (_QUERIES["begin"], values), *_used(values)]
    if replay_of is not None:
        statements.append((_QUERIES["copy_steps"], {"id": values["id"], "replay_of": replay_of, "steps": list(keep)}))
    counts = await journal_of(runtime).write(values["id"], *statements)
    return Owned(run_id=values["id"], epoch=values["epoch"], since=since) if counts[len(values["large"])] else None


async def begin_part(plan: Plan, parent: Owned, step: str, *, runtime: Runtime) -> Owned | None:
    """Store a plan that is a step of a run, owned by this process. Return None if it began already, or its run has ended."""
    values = {
        **_values(plan, epoch=1, runtime=runtime),
        "parent_run": parent.run_id,
        "parent_step": step,
        "owner": parent.epoch,
    }
    statements: list[Statement] = [*_kept(values), (_QUERIES["begin_part"], values), *_used(values)]
    counts = await journal_of(runtime).write(parent.run_id, *statements)
    return Owned(run_id=values["id"], epoch=1) if counts[len(values["large"])] else None


def _kept(values: Mapping[str, Any]) -> list[Statement]:
    return [(_QUERIES["keep_value"], {"digest": digest, "value": text}) for digest, text in values["large"].items()]


def _used(values: Mapping[str, Any]) -> list[Statement]:
    return [(_QUERIES["use_value"], {"digest": digest, "id": values["id"]}) for digest in values["large"]]


def _values(plan: Plan, *, epoch: int, runtime: Runtime) -> dict[str, Any]:
    text = checked_object(plan.as_json(), what="The plan", most_bytes=MOST_PLAN_BYTES, setting="a fixed bound")
    large: dict[str, str] = {}
    if len(text) > definitions.LARGE:
        definition, large = definitions.split(json.loads(text))
        text = json.dumps(definition)
    return {
        "id": uuid4(), "plan_id": plan.id, "definition": text, "large": large, "agents": list(plan.agents), "format": plan.format, "epoch": epoch, "lease": lease_of(runtime), "timeout": timedelta(milliseconds=plan.timeout) if plan.timeout else None,
        "requested_by": runtime.user,
    }  # fmt: skip


async def claim(run_id: UUID, *, runtime: Runtime) -> Owned | None:
    """Take a plan whose lease is over. Return None if somebody runs it, or it has ended."""
    row = await runtime.one(_QUERIES["claim"], id=run_id, lease=lease_of(runtime), format=FORMAT)
    return None if row is None else Owned(run_id=run_id, epoch=row["epoch"])


async def lapsed(*, runtime: Runtime) -> list[tuple[UUID, str | None]]:
    """Return the plans that nobody runs, the oldest first, and who asked for each."""
    return [(row["id"], row["requested_by"]) for row in await runtime.all(_QUERIES["lapsed"], format=FORMAT)]


def note(owned: Owned, kind: str, payload: Mapping[str, Any], *, runtime: Runtime, step_id: str | None = None) -> Written:  # fmt: skip
    """Store an event."""
    return _write("event", owned, runtime, urgent=False, kind=kind, step_id=step_id, payload=json.dumps(payload))


def step_started(
    owned: Owned, step_id: str, payload: Mapping[str, Any], *, role: str = "step", part_of: str | None = None, runtime: Runtime
) -> Written:  # fmt: skip
    """Note that a step, an element of its list, or what takes it back begins."""
    return _write(
        "step_started",
        owned,
        runtime,
        urgent=False,
        step_id=step_id,
        role=role,
        part_of=part_of,
        payload=json.dumps(payload),
    )


def step_ended(owned: Owned, step_id: str, payload: Mapping[str, Any], *, runtime: Runtime, **values: Any) -> Written:
    """Record how a step ended: status, attempts, output, error, duration_ms, and the event's kind."""
    return _write("step_ended", owned, runtime, step_id=step_id, payload=json.dumps(payload), **values)


def skipped(owned: Owned, steps: Sequence[str], because: str | None, *, runtime: Runtime) -> Written:
    """Note the steps that will not run; `because` is None if that is no failure. Those that are noted already stay as they are."""
    values = {"id": owned.run_id, "epoch": owned.epoch, "steps": list(steps), "error": because}
    return journal_of(runtime).write(owned.run_id, (_QUERIES["skipped"], values), urgent=False)


def _write(query: str, owned: Owned, runtime: Runtime, *, urgent: bool = True, **values: Any) -> Written:
    """Store something in its turn, also if nobody waits. Whoever waits gets `PlanLost` if the run is another process's."""
    every = {**values, "id": owned.run_id, "epoch": owned.epoch}
    return journal_of(runtime).write(owned.run_id, (_QUERIES[query], every), fenced=True, urgent=urgent)


async def end(
    owned: Owned, status: str, error: str | None, *, kind: str, payload: Mapping[str, Any], fallback: Plan | None, runtime: Runtime
) -> Owned | None:  # fmt: skip
    """End a run, and begin its fallback in the same transaction. Return the fallback's run."""
    run = {"id": owned.run_id, "epoch": owned.epoch}
    statements: list[Statement] = [
        (_QUERIES["end"], {**run, "status": status, "error": error, "kind": kind, "payload": json.dumps(payload)})
    ]
    values = {} if fallback is None else _values(fallback, epoch=1, runtime=runtime)
    if fallback is not None:
        statements.append((_QUERIES["begin_fallback"], {**values, "fallback_of": owned.run_id, "owner": owned.epoch}))
        statements += [*_kept(values), *_used(values)]
    _, *began = await journal_of(runtime).write(owned.run_id, *statements, fenced=True)
    return Owned(run_id=values["id"], epoch=1) if began and began[0] else None


async def row_of(run_id: UUID, *, runtime: Runtime) -> dict[str, Any]:
    """Return the row of a run. Raises `NotFound`."""
    row = await runtime.one(_QUERIES["run"], id=run_id)
    if row is None:
        raise NotFound(f"There is no run {str(run_id)!r} of a plan: `agent plans` lists them.")
    return row


async def plan_of(run_id: UUID, *, runtime: Runtime) -> Plan:
    """Return the plan of a run. Raises `NotFound`."""
    return await plan_in(await row_of(run_id, runtime=runtime), runtime=runtime)


async def plan_in(row: Mapping[str, Any], *, runtime: Runtime) -> Plan:
    """Return the plan in the row of a run, with its large inputs."""
    digests = definitions.digests_of(row["definition"])
    rows = await runtime.all(_QUERIES["values"], digests=digests) if digests else []
    return read_plan(definitions.joined(row["definition"], {one["digest"]: one["value"] for one in rows}))


async def result_of(run_id: UUID, *, runtime: Runtime) -> PlanResult:
    """Return how a run ended, or how far it is. After a fallback the results and errors are the fallback's."""
    row = await row_of(run_id, runtime=runtime)
    if row["fallback_id"] is not None:
        other = await result_of(row["fallback_id"], runtime=runtime)
        duration = row["duration_ms"] + other.duration
        return replace(other, plan_id=row["plan_id"], run_id=str(run_id), duration=duration, fallback=other.fallback or other.plan_id)  # fmt: skip
    rows = await recorded(run_id, runtime=runtime)
    results = {
        one["step_id"]: StepResult(success=True, data=one["output"], duration=one["duration_ms"], attempts=one["attempts"])
        for one in rows if one["status"] == "succeeded" and one["role"] == "step"
    }  # fmt: skip
    errors = {
        one["step_id"]: one["error"]
        for one in rows
        if one["status"] in ("failed", "cancelled") and one["role"] == "step"
    }
    if row["error"] is not None and not errors:
        errors[row["plan_id"]] = row["error"]
    return PlanResult(
        plan_id=row["plan_id"], run_id=str(run_id), success=row["status"] == "succeeded", duration=row["duration_ms"],
        results=results, errors=errors or None,
    )  # fmt: skip


async def by_key(key: str, *, runtime: Runtime) -> UUID | None:
    """Return the run that an idempotency key began."""
    row = await runtime.one(_QUERIES["by_key"], key=key)
    return None if row is None else row["id"]


async def find(name: str, *, runtime: Runtime) -> UUID:
    """Return a run by its own id, or the newest run of a plan by the plan's. Raises `NotFound`."""
    try:
        return UUID(name)
    except ValueError:
        row = await runtime.one(_QUERIES["named"], plan_id=name)
    if row is None:
        raise NotFound(f"There is no run of a plan {name[:100]!r}: `agent plans` lists them.")
    found: UUID = row["id"]
    return found


async def recorded(run_id: UUID, *, runtime: Runtime) -> list[dict[str, Any]]:
    """Return what is recorded of the steps of a run."""
    return await runtime.all(_QUERIES["steps"], id=run_id)


async def ask_to_cancel(run_id: UUID, reason: str, *, below: bool = False, runtime: Runtime) -> list[UUID]:
    """Note that a run and all that belongs to it (with `below`: only this) is to end, and return what of it still ran."""
    return [row["id"] for row in await runtime.all(_QUERIES["ask_to_cancel"], id=run_id, reason=reason, below=below)]


async def pause(run_id: UUID, *, runtime: Runtime) -> list[UUID]:
    """Note that nothing more of a run is to start, and return what was paused."""
    return [row["id"] for row in await runtime.all(_QUERIES["pause"], id=run_id)]


async def resume(run_id: UUID, *, runtime: Runtime) -> list[UUID]:
    """Let a run go on, with the time that it had left, and return what was resumed."""
    return [row["id"] for row in await runtime.all(_QUERIES["resume"], id=run_id)]


async def give_up(owned: Owned, *, runtime: Runtime) -> bool:
    """Let nobody run a plan that is paused. Return whether it is still paused."""
    return bool(await runtime.execute(_QUERIES["give_up"], id=owned.run_id, epoch=owned.epoch))


async def part(parent_run: UUID, parent_step: str, *, runtime: Runtime) -> UUID | None:
    """Return the run of a plan that is a step of another run."""
    row = await runtime.one(_QUERIES["part"], parent_run=parent_run, parent_step=parent_step)
    return None if row is None else row["id"]


async def of_batch(batch: UUID, *, limit: int = 1000, runtime: Runtime) -> list[UUID]:
    """Return the runs of a replay in bulk."""
    return [row["id"] for row in await runtime.all(_QUERIES["batch"], batch=batch, limit=limit)]


async def of_status(status: str, *, plan_id: str | None = None, limit: int, runtime: Runtime) -> list[UUID]:
    """Return runs that ended in this way, and that no fallback saved, the newest first."""
    return [row["id"] for row in await runtime.all(_QUERIES["of_status"], status=status, plan_id=plan_id, limit=limit)]


async def newest(
    *, limit: int, status: str | None = None, after: UUID | None = None, runtime: Runtime
) -> list[RunRecord]:
    """Return the newest runs, or those behind the run `after`. Raises `NotFound` if there is no such run."""
    since = None if after is None else (await row_of(after, runtime=runtime))["created_at"]
    rows = await runtime.all(_QUERIES["newest"], limit=limit, status=status, since=since, after=after)
    return [_record(row) for row in rows]


async def view(run_id: UUID, *, runtime: Runtime) -> RunView:
    """Return a run with every step of its plan. Raises `NotFound`."""
    row = await row_of(run_id, runtime=runtime)
    known = {one["step_id"]: one for one in await recorded(run_id, runtime=runtime)}
    steps = []
    for step in (await plan_in(row, runtime=runtime)).steps:
        one = known.get(step.id, {})
        steps.append(StepRecord(
            id=step.id, agent_id=step.agent_id, action=step.action, dependencies=step.dependencies, status=one.get("status", "waiting"),
            attempts=one.get("attempts", 0), output=one.get("output"), error=one.get("error"), duration=one.get("duration_ms"),
            started_at=one.get("started_at"), finished_at=one.get("finished_at"),
        ))  # fmt: skip
    return RunView(run=_record(row), steps=steps, fallback_id=row["fallback_id"])


async def events(run_id: UUID, *, after: int = 0, limit: int = 1000, runtime: Runtime) -> list[PlanEvent]:
    """Return what happened to a run, in order."""
    return [PlanEvent(**row) for row in await runtime.all(_QUERIES["events"], id=run_id, after=after, limit=limit)]


async def forget_old(*, days: int, runtime: Runtime) -> int:
    """Delete runs that ended longer ago."""
    forgotten = await runtime.execute(_QUERIES["forget_old"], days=days)
    await runtime.execute(_QUERIES["forget_values"])
    return forgotten


def _record(row: Mapping[str, Any]) -> RunRecord:
    return RunRecord(
        id=row["id"], plan_id=row["plan_id"], status=row["status"], error=row["error"], fallback_of=row["fallback_of"], replay_of=row["replay_of"], part_of=row["parent_run"], batch=row["batch"],
        paused_at=row["paused_at"], requested_by=row["requested_by"], created_at=row["created_at"], finished_at=row["finished_at"], duration=row["duration_ms"],
    )  # fmt: skip
