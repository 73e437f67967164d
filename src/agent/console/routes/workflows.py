"""`/console/workflows`: templates of plans are made and edited by choosing, tried, saved as versions, run and scheduled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

import agent.integration.performers as performers
import agent.orchestration.saved_templates.design as designs
import agent.orchestration.saved_templates.store as saved
from agent.console import step_forms
from agent.console.plan_pictures import Picture, graph_of
from agent.console.rendering import ConsoleRoute, done, page
from agent.console.routes.plans import ZOOMS, object_in
from agent.console.step_forms import Fields, Row
from agent.console.visits import ROOT, Form, Visit, Visitor, needs
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.orchestration import inspection, schedules
from agent.orchestration.catalogue import AgentInfo
from agent.orchestration.saved_templates.design import Design, Parameter
from agent.orchestration.saved_templates.problems import Problem, problems, unknown_actions
from agent.runtime import Runtime

router = APIRouter(prefix=f"{ROOT}/workflows", route_class=ConsoleRoute)
TemplateId = Annotated[UUID, Path()]
Place = Annotated[int, Path(ge=0, le=10_000)]
_BLANK_PARAMETERS, _LISTED_STEPS = 2, 200
# The slot of the form in which an error of a step's field is shown.
_SLOTS = {
    "id": "id", "agentId": "who", "action": "who", "dependencies": "after", "input": "input", "when": "when", "forEach": "each", "concurrency": "each",
    "timeout": "timeout", "retryPolicy": "retry", "approval": "who", "ask_seconds": "who", "compensation": "back", "plan": "who",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForm:
    """The form of a step: its fields, the rows of its inputs, what it was when somebody looked, and what is wrong at which slot."""

    place: int
    fields: Fields
    seen: str
    rows: list[Row]
    back_rows: list[Row]
    does: str
    others: list[str]
    errors: Mapping[str, list[str]]

    def get(self, name: str) -> str:
        """Return a field."""
        return self.fields.get(name, "")

    @property
    def after(self) -> list[str]:
        """Return what it waits for."""
        ticked = [value for name, value in self.fields.items() if name.startswith("after-")]
        return [*ticked, *filter(None, self.fields.get("after_more", "").split("\n"))]


@router.get("", dependencies=needs("viewer"))
async def overview(request: Request, visit: Visitor) -> Response:
    """Show the templates that were made, and those that come with it."""
    return await page(
        request, visit, "workflows.html", found=await saved.listed(runtime=visit.runtime), ready=performers.ready_made(visit.runtime)
    )  # fmt: skip


@router.post("", dependencies=needs("operator"))
async def create(request: Request, visit: Visitor, form: Form) -> Response:
    """Begin a template: without steps, from another one, from a run, or from JSON."""
    name = form.get("name", "").strip()
    design = await _begun(name, form, visit.runtime)
    made = await saved.create(name, design, runtime=visit.runtime)
    return done(request, form, "This is the new template. Nothing runs until you try it or save it.", to=f"{ROOT}/workflows/{made}")  # fmt: skip


@router.get("/ready/{key}", dependencies=needs("viewer"))
async def ready(request: Request, key: Annotated[str, Path(max_length=200)], visit: Visitor) -> Response:
    """Show a template that comes with it, with a form of its parameters."""
    design = _ready(key, visit.runtime)
    return await page(
        request, visit, "workflow_run.html", design=design, name=key.partition(":")[2], key=key, template_id=None, version=None, versions=[],
        picture=_picture(design, lambda at: f"#step-{at}"),
    )  # fmt: skip


@router.post("/ready/{key}/run", dependencies=needs("operator"))
async def run_ready(request: Request, key: Annotated[str, Path(max_length=200)], visit: Visitor, form: Form) -> Response:  # fmt: skip
    """Run a template that comes with it, or let it begin by itself."""
    return await _started(request, visit, form, _ready(key, visit.runtime))


@router.get("/{template_id}", dependencies=needs("viewer"))
async def edit(
    request: Request,
    template_id: TemplateId,
    visit: Visitor,
    step: Annotated[int | None, Query(ge=0, le=10_000)] = None,
) -> Response:
    """Show the draft of a template with its picture, and the form of one step."""
    return await _editor(request, visit, await saved.get(template_id, runtime=visit.runtime), step)


@router.post("/{template_id}/steps", dependencies=needs("operator"))
async def add_step(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Add a step behind the one that was looked at, or one that waits for nothing."""

    def add(design: Design) -> Design:
        after = form.get("after", "")
        needs = {"dependencies": [after]} if after and any(one.get("id") == after for one in design.steps) else {}
        return designs.with_step(design, {"id": designs.fresh_id(design), **needs})

    made = await saved.edit(template_id, add, runtime=visit.runtime)
    return done(request, form, to=f"{ROOT}/workflows/{template_id}?step={len(made.steps) - 1}#form")


@router.post("/{template_id}/steps/{place}", dependencies=needs("operator"))
async def change_step(request: Request, template_id: TemplateId, place: Place, visit: Visitor, form: Form) -> Response:
    """Change, move or remove a step that nobody else has changed meanwhile. What cannot be stored stays in the form."""
    what, seen = form.get("do", "save"), form.get("seen", "")
    now = await saved.get(template_id, runtime=visit.runtime)
    before = now.draft.steps[place] if place < len(now.draft.steps) else {}
    read = step_forms.step_of(form, before)
    if what == "save" and read.errors:
        return await _editor(request, visit, now, place, typed=form, status=422)

    def change(design: Design) -> Design:
        at = designs.place_of(design, place, seen)
        if what == "remove":
            return designs.without(design, at)
        if what in ("up", "down"):
            return designs.moved(design, at, -1 if what == "up" else 1)
        return designs.changed(design, at, read.step)

    try:
        made = await saved.edit(template_id, change, runtime=visit.runtime)
    except StateChanged as error:
        now = await saved.get(template_id, runtime=visit.runtime)
        return await _editor(request, visit, now, place, typed=form, status=409, conflict=str(error))
    name = read.step["id"] if what == "save" else before.get("id")
    to = next((at for at, one in enumerate(made.steps) if one.get("id") == name), None)
    said = {"save": "The step is stored in the draft.", "remove": "The step is removed."}.get(what, "")
    return done(request, form, said, to=f"{ROOT}/workflows/{template_id}{f'?step={to}' if to is not None else ''}")


@router.post("/{template_id}/look/{place}", dependencies=needs("viewer"))
async def look(request: Request, template_id: TemplateId, place: Place, visit: Visitor, form: Form) -> Response:
    """Show the page as it would be with what is typed. Nothing is stored."""
    return await _editor(request, visit, await saved.get(template_id, runtime=visit.runtime), place, typed=form)


@router.post("/{template_id}/plan", dependencies=needs("operator"))
async def change_plan(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Change what belongs to the plan as a whole, and its parameters."""
    parameters = _parameters(form)
    read = step_forms.Read(step={})
    settings = {"id": form.get("plan_id", "").strip(), "agentId": form.get("plan_agent", "").strip()}
    timeout = step_forms.milliseconds(read, form, "plan_timeout")
    if read.errors:
        raise InvalidInput(f"Correct the time of the plan: {read.errors['plan_timeout'][0]}")

    def change(design: Design) -> Design:
        plan = {**design.plan, **settings, "parallel": form.get("parallel") == "on", "timeout": timeout}
        if form.get("fallback") == "remove":
            plan["fallbackPlan"] = None
        kept = {name: value for name, value in plan.items() if value not in ("", None)}
        return replace(design, plan={"id": "", **kept}, parameters=parameters, summary=form.get("summary", "").strip()[:500])  # fmt: skip

    await saved.edit(template_id, change, runtime=visit.runtime)
    return done(request, form, "The plan is stored in the draft.")


@router.post("/{template_id}/import", dependencies=needs("operator"))
async def take_json(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Put JSON in the place of the draft."""
    design = designs.read_design(object_in(form.get("text", ""), "The template"))
    await saved.edit(template_id, lambda _: design, runtime=visit.runtime)
    return done(request, form, f"The draft has {len(design.steps)} steps now.", to=f"{ROOT}/workflows/{template_id}")


@router.get("/{template_id}/template.json", dependencies=needs("viewer"))
async def give_json(template_id: TemplateId, visit: Visitor, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None) -> Response:  # fmt: skip
    """Send the draft, or a version, as JSON."""
    design = await _design(template_id, version, visit.runtime)
    headers = {"Content-Disposition": 'attachment; filename="template.json"'}
    return Response(json.dumps(design.as_json(), ensure_ascii=False, indent=2), media_type="application/json", headers=headers)  # fmt: skip


@router.post("/{template_id}/save", dependencies=needs("operator"))
async def save(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Keep the draft as the next version."""
    number = await saved.save(template_id, form.get("note", ""), runtime=visit.runtime)
    return done(request, form, f"This is version {number}.")


@router.get("/{template_id}/run", dependencies=needs("viewer"))
async def show_run(
    request: Request, template_id: TemplateId, visit: Visitor, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> Response:  # fmt: skip
    """Show a version (the draft, if none was saved) with a form of its parameters."""
    now, known = await saved.get(template_id, runtime=visit.runtime), await saved.versions(template_id, runtime=visit.runtime)  # fmt: skip
    shown = version or (known[0].version if known else None)
    design = await _design(template_id, shown, visit.runtime)
    return await page(
        request, visit, "workflow_run.html", design=design, name=now.name, key=None, template_id=template_id, version=shown, versions=known,
        picture=_picture(design, lambda at: f"#step-{at}"),
    )  # fmt: skip


@router.post("/{template_id}/run", dependencies=needs("operator"))
async def run(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Run a version or the draft, or let a version begin by itself."""
    number = form.get("version", "")
    if number and (not number.isdecimal() or len(number) > 9):
        raise InvalidInput("A version is a whole number.")
    return await _started(request, visit, form, await _design(template_id, int(number) if number else None, visit.runtime))  # fmt: skip


@router.get("/{template_id}/versions/{version}", dependencies=needs("viewer"))
async def show_version(request: Request, template_id: TemplateId, version: Annotated[int, Path(ge=1, le=2**31 - 1)], visit: Visitor) -> Response:  # fmt: skip
    """Show what a version changed, and what the draft changes since."""
    now = await saved.get(template_id, runtime=visit.runtime)
    about, design = await saved.version(template_id, version, runtime=visit.runtime)
    before = await _design(template_id, version - 1, visit.runtime) if version > 1 else None
    return await page(
        request, visit, "workflow_version.html", now=now, about=about, design=design, picture=_picture(design, lambda at: f"#step-{at}"),
        since=None if before is None else designs.differences(before, design), draft=designs.differences(design, now.draft),
    )  # fmt: skip


@router.post("/{template_id}/versions/{version}/restore", dependencies=needs("operator"))
async def restore(request: Request, template_id: TemplateId, version: Annotated[int, Path(ge=1, le=2**31 - 1)], visit: Visitor, form: Form) -> Response:  # fmt: skip
    """Put a version in the place of the draft."""
    design = await _design(template_id, version, visit.runtime)
    await saved.edit(template_id, lambda _: design, runtime=visit.runtime)
    return done(request, form, f"The draft is version {version} again.", to=f"{ROOT}/workflows/{template_id}")


@router.post("/{template_id}/remove", dependencies=needs("operator"))
async def remove(request: Request, template_id: TemplateId, visit: Visitor, form: Form) -> Response:
    """Delete a template with its versions."""
    await saved.remove(template_id, runtime=visit.runtime)
    return done(request, form, "The template is removed. The audit log keeps its versions.", to=f"{ROOT}/workflows")


async def _begun(name: str, form: Mapping[str, str], runtime: Runtime) -> Design:
    source, text = form.get("from", ""), form.get("text", "").strip()
    if text:
        return designs.read_design(object_in(text, "The template"))
    if form.get("run"):
        return designs.read_design(await inspection.plan_to_copy(_number(form["run"]), runtime=runtime))
    if source.startswith("saved:"):
        return (await saved.get(_number(source[6:]), runtime=runtime)).draft
    return designs.read_design(_ready(source, runtime).as_json()) if source else designs.blank(name)


def _number(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise InvalidInput("A run or a template has a number such as 8887bacb-2560-4aca-a3e8-f80ad700c57a.") from None


def _ready(key: str, runtime: Runtime) -> Design:
    found = performers.ready_made(runtime).get(key)
    if found is None:
        raise NotFound(f"There is no template {key[:100]!r} that comes with it: the page Workflows lists them.")
    return found


async def _design(template_id: UUID, version: int | None, runtime: Runtime) -> Design:
    if version is None:
        return (await saved.get(template_id, runtime=runtime)).draft
    return (await saved.version(template_id, version, runtime=runtime))[1]


async def _started(request: Request, visit: Visit, form: Mapping[str, str], design: Design) -> Response:
    """Fill a template in, and run it or schedule it."""
    given = {name[2:]: value for name, value in form.items() if name.startswith("p-") and value != ""}
    given |= {one.name: "false" for one in design.parameters if one.kind == "boolean" and one.name not in given}
    plan, runner = design.filled(given), performers.orchestrator(visit.runtime)
    if form.get("do") == "schedule":
        made = await schedules.schedule(form.get("schedule", "").strip(), runner.read(plan), form.get("cron", ""), runtime=visit.runtime)  # fmt: skip
        return done(request, form, f"It begins by itself, next at {made.next_at:%Y-%m-%d %H:%M} UTC.", to=f"{ROOT}/plans#schedules")  # fmt: skip
    return done(request, form, "This is the run.", to=f"{ROOT}/plans/{await runner.submit(plan)}")


def _parameters(form: Mapping[str, str]) -> list[Parameter]:
    found = []
    for at in range(designs.MOST_PARAMETERS):
        name = form.get(f"par-{at}-name", "").strip()
        if name:
            kind, default = form.get(f"par-{at}-kind", "string"), form.get(f"par-{at}-default", "")
            known = [one for one in designs.KINDS if one == kind] or ["string"]
            found.append(designs.parameter(name, known[0], default if default != "" else None, form.get(f"par-{at}-about", "").strip()))  # fmt: skip
    return found


async def _editor(
    request: Request, visit: Visit, now: saved.SavedTemplate, place: int | None, *, typed: Fields | None = None, status: int = 200, conflict: str = "",
) -> Response:  # fmt: skip
    design, agents = now.draft, await performers.performers(runtime=visit.runtime)
    errors: dict[str, list[str]] = {}
    lost = ""
    if place is not None and place >= len(design.steps):
        lost = json.dumps(step_forms.step_of(typed, {}).step, ensure_ascii=False, indent=2) if typed else ""
        place = None
    if place is not None and typed is not None:
        read = step_forms.step_of(typed, design.steps[place])
        errors = {_SLOTS.get(name, name): list(texts) for name, texts in read.errors.items()}
        shown = designs.changed(design, place, read.step)
    else:
        shown = design
    found = [*problems(shown, performers.orchestrator(visit.runtime).read), *unknown_actions(shown, agents)]
    form = (
        None
        if place is None
        else _form(place, shown, stored=now.draft, typed=typed, agents=agents, found=found, errors=errors)
    )
    base = f"{ROOT}/workflows/{now.id}"
    wrong = {one.step for one in found if one.step is not None and one.blocks}
    return await page(
        request, visit, "workflow_edit.html", status=status, now=now, design=shown, problems=found, blocked=any(one.blocks for one in found), form=form, conflict=conflict, lost=lost, wrong_steps=wrong,
        choices=step_forms.choices(agents), kinds=step_forms.KINDS, few_steps=step_forms.FEW_STEPS, versions=(await saved.versions(now.id, runtime=visit.runtime))[:20],
        parameters=[*shown.parameters, *(Parameter(name="") for _ in range(_BLANK_PARAMETERS))], most_listed=_LISTED_STEPS, zooms=ZOOMS, zoom=request.query_params.get("zoom", ""),
        picture=_picture(shown, lambda at: f"{base}?step={at}#form", chosen=place, wrong=wrong, zoom=request.query_params.get("zoom", "")),
    )  # fmt: skip


def _form(
    place: int, shown: Design, *, stored: Design, typed: Fields | None, agents: list[AgentInfo], found: list[Problem], errors: dict[str, list[str]]
) -> StepForm:  # fmt: skip
    step = shown.steps[place]
    fields = typed if typed is not None else step_forms.fields_of(step)
    does, action = step_forms.action_of(agents, str(step.get("agentId") or shown.plan.get("agentId", "")), str(step.get("action") or step.get("id", "")))  # fmt: skip
    for one in found:
        if one.step == place and one.text not in errors.get(slot := _SLOTS.get(one.field, "step"), []):
            errors.setdefault(slot, []).append(one.text)
    if typed is not None:
        fields = {**fields, "agent": str(step.get("agentId", "")), "action": str(step.get("action", ""))}
    return StepForm(
        place=place, fields=fields, seen=designs.digest(stored.steps[place]), rows=step_forms.rows_of(fields, "in", None if action is None else action.takes),
        back_rows=step_forms.rows_of(fields, "bk", blank=1), does=does, errors=errors,
        others=[str(one.get("id", "")) for at, one in enumerate(shown.steps) if at != place],
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A step of a draft as it is drawn."""

    id: str
    dependencies: tuple[str, ...]
    about: str


def _drawn(step: Mapping[str, Any], default: str) -> _Drawn:
    given = step.get("dependencies")
    who = f"{step.get('action') or step.get('id', '')} · {step.get('agentId') or default or 'nobody'}"
    about = "a human is asked" if "approval" in step else "a plan of its own" if "plan" in step else who
    return _Drawn(id=str(step.get("id", "")), dependencies=tuple(map(str, given)) if isinstance(given, list | tuple) else (), about=about)  # fmt: skip


def _picture(design: Design, href: Any, *, chosen: int | None = None, wrong: set[int] | None = None, zoom: str = "") -> Picture:  # fmt: skip
    steps, bad = [_drawn(one, str(design.plan.get("agentId", ""))) for one in design.steps], wrong or set()
    return graph_of(
        steps, lines=lambda at: (steps[at].about, *(("has to be corrected",) if at in bad else ())), kind=lambda at: "failed" if at in bad else "",
        href=href, around=chosen or 0, chosen=chosen, scale=ZOOMS.get(zoom, 1.0),
    )  # fmt: skip
