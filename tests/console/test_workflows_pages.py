"""Make workflows in a real Chromium: by choosing, without a script, in two tabs, with errors at their fields; save, run, import, go back."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Dialog, Page, expect
from tests.console.conftest import Opened, Site
from tests.console.test_every_page import HOSTILE, look
from tests.console.test_plans_pages import box, serious

import agent.orchestration.saved_templates.store as saved
from agent.access import keys
from agent.audit.log import audit_log
from agent.errors import NotFound
from agent.integration import performers
from agent.orchestration.saved_templates.design import blank, changed, read_design

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(open_site: Opened) -> Site:
    return await open_site()


async def make(site: Site, name: str, steps: list[dict[str, Any]], **more: Any) -> str:
    """Store a template, and return the path of its editor."""
    design = read_design({"plan": {"id": name, "agentId": "learning-agent", "steps": steps}, **more})
    return f"/console/workflows/{await saved.create(name, design, runtime=site.runtime)}"


async def store_step(page: Page) -> None:
    await page.get_by_role("button", name="Store the step").click()
    await expect(page.locator(".note.good").first).to_contain_text("stored in the draft")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no_script"])
async def test_a_workflow_is_made_by_choosing_tried_saved_and_run(plans: Site, script: bool) -> None:
    name = f"Progress {script}"
    async with plans.page("/console/workflows", java_script_enabled=script) as page:
        await page.fill("#new input[name=name]", name)
        await page.get_by_role("button", name="Make it").click()
        await expect(page.locator("#problems")).to_contain_text("no step yet")
        await page.locator("#plan summary").click()
        await page.fill("input[name=par-0-name]", "learner")
        await page.get_by_role("button", name="Store", exact=True).click()
        await page.get_by_role("button", name="Add a step").click()
        await page.fill("#form input[name=id]", "look")
        await page.select_option("select[name=does]", "learning-agent get_insights")
        if not script:
            await store_step(page)  # now its fields are known
            await page.get_by_role("link", name="look", exact=True).last.click()
        await page.locator("[name^=in-][value=learnerId]").wait_for()
        prefix = (await page.locator("[name^=in-][value=learnerId]").get_attribute("name") or "").removesuffix("-name")
        await page.fill(f"[name={prefix}-value]", "{learner}")
        await store_step(page)
        await page.get_by_role("button", name="Add a step after this one").click()
        await page.fill("#form input[name=id]", "talk")
        await page.select_option("select[name=does]", "tutor-agent prepare_conversation")
        if script:  # the picture is renewed while one edits
            await expect(box(page, "talk")).to_contain_text("prepare_conversation")
        else:
            await store_step(page)
            await page.get_by_role("link", name="talk", exact=True).last.click()
        row = page.locator(".given", has=page.locator("[value=learnerId]"))
        await row.locator("select").select_option("from")
        await row.locator("[name$=-value]").fill("look.nextActivity.skill")
        await page.fill("input[name=retries]", "2")
        await page.fill("input[name=timeout]", "30")
        await store_step(page)
        await expect(page.locator("#problems")).to_contain_text("It can run")
        await page.locator("#keep summary").click()
        await page.fill("input[name=note]", "The first one")
        await page.get_by_role("button", name="Save as version 1").click()
        await expect(page.locator(".note.good").first).to_contain_text("version 1")
        await page.get_by_role("link", name="Workflows").first.click()
        await page.get_by_role("link", name=f"Run {name}").click()
        await page.fill("input[name=p-learner]", "ana")
        await page.get_by_role("button", name="Run it").click()
        await page.wait_for_url(re.compile("/console/plans/[0-9a-f-]{36}$"))
        if script:
            await expect(page.locator("#run .chip").first).to_have_text("succeeded")
        assert plans.faults == []
    template = await saved.named(name, runtime=plans.runtime)
    assert template
    about, design = await saved.version(template, runtime=plans.runtime)
    assert (about.version, about.note) == (1, "The first one")
    look_, talk = design.steps
    assert look_ == {
        "id": "look",
        "agentId": "learning-agent",
        "action": "get_insights",
        "input": {"learnerId": "{learner}"},
    }
    assert talk == {
        "id": "talk", "agentId": "tutor-agent", "action": "prepare_conversation", "dependencies": ["look"], "timeout": 30_000,
        "input": {"learnerId": {"$from": "look.nextActivity.skill"}}, "retryPolicy": {"maxRetries": 2},
    }  # fmt: skip
    assert any(one.subject == "plan_template_versions" for one in await audit_log.recent(runtime=plans.runtime))


async def test_what_is_wrong_stands_at_its_field_and_is_not_lost(plans: Site) -> None:
    steps: list[dict[str, Any]] = [
        {"id": "a", "dependencies": ["gone"]},
        {"id": "a"},
        {"id": "c", "dependencies": ["d"]},
        {"id": "d", "dependencies": ["c"]},
    ]
    path = await make(plans, "Wrong", steps)
    async with plans.page(f"{path}?step=0") as page:
        await expect(page.locator("#wrong-after")).to_contain_text(
            "'a' depends on 'gone', and the plan has no such step"
        )
        await page.goto(f"{path}?step=1")
        await expect(page.locator("#wrong-id")).to_contain_text("Two steps have the id 'a'")
        await page.fill("#form input[name=id]", "b")
        await expect(page.locator("#wrong-id .note")).to_have_count(0)  # while one types
        await page.fill("input[name=timeout]", "soon")
        await page.fill("input[name=when_path]", "nobody.field")
        await expect(page.locator("#wrong-when")).to_contain_text("names no step of the plan")
        await page.get_by_role("button", name="Store the step").click()
        await expect(page.locator("#wrong-timeout")).to_contain_text("'soon' is no number")
        assert await page.input_value("input[name=timeout]") == "soon"
        assert await page.input_value("input[name=when_path]") == "nobody.field"
        await page.fill("input[name=timeout]", "")
        await page.fill("input[name=when_path]", "")
        await store_step(page)
        await page.goto(f"{path}?step=0")
        await page.get_by_label("gone (no such step)").uncheck()
        await expect(page.locator("#problems")).to_contain_text("in a circle: c -> d -> c")
        await store_step(page)
        await page.goto(f"{path}?step=3")
        await expect(page.locator("#wrong-after")).to_contain_text("in a circle")
        await page.locator("#keep summary").click()
        await page.get_by_role("button", name="Save as version 1").click()
        await expect(page.get_by_role("alert")).to_contain_text("in a circle")
        await page.goto(f"{path}?step=3")
        await page.get_by_label("c", exact=True).uncheck()
        await page.fill("input[name=agent]", "nobody")
        await expect(page.locator("#wrong-who")).to_contain_text("not registered")
        assert await serious(page) == []
        asked: list[str] = []

        async def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        await page.reload()  # what is typed is not left without a question
        assert asked == ["beforeunload"]


async def test_two_tabs_lose_nothing_of_each_other(plans: Site) -> None:
    path = await make(
        plans, "Two tabs", [{"id": "a"}, {"id": "b", "dependencies": ["a"], "input": {"x": {"$from": "a.y"}}}]
    )
    async with plans.page(f"{path}?step=0") as one, plans.page(f"{path}?step=1") as other:
        await one.fill("input[name=timeout]", "5")
        await store_step(one)
        await other.fill("input[name=timeout]", "7")  # another step: both are kept
        await store_step(other)
        await one.goto(f"{path}?step=1")
        await other.goto(f"{path}?step=1")
        await one.fill("input[name=timeout]", "8")
        await store_step(one)
        await other.fill("input[name=timeout]", "9")
        await other.get_by_role("button", name="Store the step").click()
        await expect(other.get_by_role("alert")).to_contain_text("Somebody changed")
        assert await other.input_value("input[name=timeout]") == "9"  # what was written is there
        await store_step(other)  # and is stored by who has read that
        # A step that is moved is still the same step; one that is renamed is named so by those that wait for it.
        await one.goto(f"{path}?step=0")
        await other.goto(f"{path}?step=0")
        await other.get_by_role("button", name="Further down").click()
        await one.fill("#form input[name=id]", "first")
        await store_step(one)
        await one.goto(f"{path}?step=0")
        await other.goto(f"{path}?step=0")
        await other.get_by_role("button", name="Remove", exact=True).click()
        await expect(other.locator(".note.good").first).to_contain_text("removed")
        await one.fill("#form input[name=id]", "late")
        await one.get_by_role("button", name="Store the step").click()
        await expect(one.get_by_role("alert")).to_contain_text("Somebody changed")
    design = (await saved.get(UUID(path[-36:]), runtime=plans.runtime)).draft
    assert design.steps == [{"id": "first", "timeout": 5000}]


async def test_versions_are_compared_restored_exported_and_imported(plans: Site) -> None:
    path = await make(plans, "Versions", [{"id": "a", "action": "get_insights", "input": {"learnerId": "ana"}}])
    key = UUID(path[-36:])
    await saved.save(key, "one", runtime=plans.runtime)
    await saved.edit(
        key,
        lambda design: changed(design, 0, {"id": "a", "action": "get_insights", "timeout": 1}),
        runtime=plans.runtime,
    )
    await saved.save(key, "two", runtime=plans.runtime)
    async with plans.page(f"{path}/versions/2") as page:
        await expect(page.locator("main")).to_contain_text("timeout")
        await page.goto(f"{path}/versions/1")
        await page.locator("#restore summary").click()
        await page.get_by_role("button", name="Make this the draft").click()
        await expect(page.locator(".note.good").first).to_contain_text("version 1 again")
        exported = await page.request.get(f"{path}/template.json")
        assert (await exported.json())["plan"]["steps"][0]["input"] == {"learnerId": "ana"}
        await page.goto("/console/workflows")
        await page.fill("#new input[name=name]", "Copy")
        await page.locator("#more summary").click()
        await page.fill("textarea[name=text]", "{not json")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.get_by_role("alert")).to_contain_text("line 1, column 2")
        await page.go_back()
        await page.locator("#more summary").click()
        await page.fill("textarea[name=text]", json.dumps(await exported.json()))
        await page.get_by_role("button", name="Make it").click()
        await expect(page.locator("#graph svg g")).to_have_count(1)
        await page.locator("#other > summary").click()
        await page.locator("#remove summary").click()
        await page.get_by_role("button", name="Remove it").click()
        await expect(page.locator(".note.good").first).to_contain_text("removed")
    with pytest.raises(NotFound):
        await saved.version(key, 3, runtime=plans.runtime)


async def test_a_ready_workflow_is_run_scheduled_and_copied(plans: Site) -> None:
    async with plans.page("/console/workflows/ready/template%3Alearning-session") as page:
        await page.fill("input[name=p-learnerId]", "ana")
        await page.get_by_role("button", name="Run it").click()
        await expect(page.locator("#run .chip").first).to_have_text("succeeded")
        await page.locator("#template summary").click()
        await page.fill("#template input[name=name]", "From a run")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.locator("#problems")).to_contain_text("It can run")
        await page.goto("/console/workflows/ready/template%3Alearning-session")
        await page.fill("input[name=p-learnerId]", "ana")
        await page.locator("#schedule summary").click()
        await page.fill("input[name=schedule]", "weekly")
        await page.fill("input[name=cron]", "0 6 * * 1")
        await page.get_by_role("button", name="Schedule it").click()
        await expect(page.locator("#schedules")).to_contain_text("weekly")
        await page.goto("/console/workflows/ready/workflow%3Auser_sync")
        await page.fill("input[name=p-user_id]", "7")
        await page.fill("textarea[name=p-data]", '{"name": "Ana"}')
        await page.get_by_role("button", name="Run it").click()
        await expect(page.locator("#run .chip").first).to_have_text("succeeded")
        # The coordinator's workflows are edited like any other plan.
        await page.goto("/console/workflows")
        await page.fill("#new input[name=name]", "Own lessons")
        await page.select_option("select[name=from]", "workflow:content_generation")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.locator("#problems")).to_contain_text("It can run")
        await page.get_by_role("link", name="store_in_database").last.click()
        await expect(page.locator("select[name=does]")).to_have_value("integration:database_sync store_in_database")
        assert await page.locator("#rows select").first.input_value() == "from"


async def test_no_content_of_a_template_runs_and_large_ones_stay_usable(plans: Site) -> None:
    names = [
        "<b id=planted>",
        "\u202e" * 20 + "x",
        "y" * 200,
        "null",
        "🧨 " * 30,
        "'\"><svg onload=reports.push(9)>",
        "{x}",
        "after-0",
    ]
    steps = [
        {
            "id": name,
            "action": HOSTILE[:150],
            "input": {HOSTILE: HOSTILE, "n": {"$from": names[0]}},
            "dependencies": names[:at][-2:],
        }
        for at, name in enumerate(names)
    ]
    path = await make(
        plans,
        "<b id=planted>"
        + HOSTILE.replace("\x1b", "").replace("\x07", "").replace("\u2028", "").replace("\u202e", "")[:150],
        steps,
        summary=HOSTILE,
    )
    await saved.edit(UUID(path[-36:]), lambda design: design, runtime=plans.runtime)
    wide = await make(
        plans, "Wide", [{"id": f"step {at}", "dependencies": [f"step {at // 3}"] if at else []} for at in range(500)]
    )
    found: dict[str, Any] = {}
    async with plans.page(viewport={"width": 390, "height": 844}) as page:
        for one in ["/console/workflows", path, f"{path}?step=0", f"{path}?step=5", f"{path}/run", f"{wide}?step=499"]:
            faults = await look(page, one)
            if (pixels := await page.evaluate("document.documentElement.scrollWidth")) > 390:
                faults.append(f"{pixels} pixels wide")
            if faults or ("step" in one and one != wide and (faults := await serious(page))):
                found[one] = faults
        assert found == {}
        await page.goto(f"{path}?step=1")  # what hides itself is shown, and goes back as it was
        await store_step(page)
        await page.goto(f"{wide}?step=499")
        assert await page.input_value("textarea[name=after_more]") == "\nstep 166".strip()
        await page.fill("textarea[name=after_more]", "step 3\nstep 4")
        await store_step(page)
    assert plans.faults == []
    assert (await saved.get(UUID(path[-36:]), runtime=plans.runtime)).draft.steps == steps
    assert (await saved.get(UUID(wide[-36:]), runtime=plans.runtime)).draft.steps[499]["dependencies"] == [
        "step 3",
        "step 4",
    ]


async def test_only_operators_change_a_template_and_no_tenant_sees_another_ones(plans: Site) -> None:
    path = await make(plans, "Mine", [{"id": "a"}])
    viewer = await keys.create("look", person="vera", role="viewer", runtime=plans.runtime)
    async with httpx.AsyncClient(base_url=plans.url, headers={"Authorization": f"Bearer {viewer.secret}"}) as client:
        seen = await client.get(f"{path}?step=0")
        assert seen.status_code == 200
        assert "Store the step" not in seen.text
        token = re.search(r'name="token" value="([^"]+)"', seen.text)
        form = {"token": token[1] if token else "", "id": "b", "seen": "x"}
        for what in ("steps", "steps/0", "plan", "save", "run", "remove", "import", "versions/1/restore"):
            refused = await client.post(f"{path}/{what}", data=form)
            assert refused.status_code == 403, (what, refused.text[-2_000:])
    async with httpx.AsyncClient(base_url=plans.url) as client:
        assert (await client.post(f"{path}/remove", data={"x": "y"})).status_code == 403  # no token of a form of ours
    run_id = await performers.orchestrator(plans.runtime).submit({"id": "secret", "steps": [{"id": "a", "agentId": "learning-agent", "input": {"learnerId": "a secret"}}]})  # fmt: skip
    operator = await keys.create("edit", person="otto", role="operator", runtime=plans.runtime)
    async with httpx.AsyncClient(base_url=plans.url, headers={"Authorization": f"Bearer {operator.secret}"}) as client:
        page = await client.get("/console/workflows")
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        begun = {"token": token[1] if token else "", "name": "Copied"}
        copied = await client.post("/console/workflows", data={**begun, "run": str(run_id)})
        assert copied.status_code == 403, copied.text[-1_000:]  # what somebody else gave a run stays hidden
        assert "a secret" not in copied.text + (await client.get(f"/console/plans/{run_id}/steps/0")).text
        for wrong in (
            {"run": "x'"},
            {"from": "saved:x"},
            {"from": "template:none"},
            {"text": "[1]"},
            {"text": '{"steps": [{"id": 3}, 4]}'},
        ):
            assert (await client.post("/console/workflows", data={**begun, **wrong})).status_code in {404, 422}, wrong
    other = plans.runtime.for_tenant("other")
    assert await saved.listed(runtime=other) == []
    for call in (saved.get, saved.version, saved.save, saved.remove):
        with pytest.raises(NotFound):
            await call(UUID(path[-36:]), runtime=other)
    assert await saved.create("Mine", blank("x"), runtime=other)  # a name belongs to a tenant
