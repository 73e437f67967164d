"""Look at runs of plans in a real Chromium: while they run, back in time, again, side by side, and very large ones."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from tests.console.conftest import Opened, Site
from tests.console.test_every_page import HOSTILE, look

from agent.orchestration import AgentOrchestrator, BaseAgent, schedules

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Hand(BaseAgent):
    """Does a step when the test says so, and gives back what it was given."""

    limits = None

    def __init__(self, agent_id: str) -> None:
        super().__init__(agent_id)
        self.may = {name: asyncio.Event() for name in ("first", "second")}

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002
        if action in self.may:
            await self.may[action].wait()
        if input.get("fail"):
            raise OSError(str(input["fail"]))
        return {"action": action, **input}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(open_site: Opened) -> Site:
    return await open_site()


async def run(site: Site, plan: dict[str, Any], agent: BaseAgent | None = None) -> str:
    """Run a plan to its end, and return the path of its page."""
    orchestrator = AgentOrchestrator(site.runtime)
    await orchestrator.register_agent(agent or Hand("hand"))
    result = await orchestrator.orchestrate({"agentId": "hand", **plan})
    return f"/console/plans/{result.run_id}"


def box(page: Page, title: str) -> Any:
    return page.locator("#graph svg.graph g", has=page.locator("title", has_text=re.compile(f"^{re.escape(title)}$")))


async def serious(page: Page) -> list[str]:
    """Return what axe finds, in both colours."""
    axe = Axe()
    await page.evaluate(axe.axe_script)
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    await page.emulate_media(color_scheme="dark")
    found["violations"] += (await page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})"))["violations"]  # fmt: skip
    await page.emulate_media(color_scheme="light")
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"] if one["impact"] in {"serious", "critical"}]  # fmt: skip


async def test_an_open_graph_follows_the_run_and_a_human_is_asked_in_place(plans: Site) -> None:
    agent = Hand("hand")
    orchestrator = AgentOrchestrator(plans.runtime)
    await orchestrator.register_agent(agent)
    plan = {"id": "live", "agentId": "hand", "steps": [
        {"id": "first"}, {"id": "ask", "approval": {"summary": "May the second step run?"}, "dependencies": ["first"]},
        {"id": "second", "dependencies": ["ask"]},
    ]}  # fmt: skip
    running = asyncio.create_task(orchestrator.orchestrate(plan))
    async with plans.page("/console/plans") as page:
        await expect(page.locator("#plans")).to_contain_text("live")
        await page.get_by_role("link", name="live", exact=True).click()
        await expect(box(page, "first")).to_have_class("running")
        agent.may["first"].set()
        await expect(box(page, "first")).to_have_class("succeeded")
        card = page.locator("article[data-item]")
        await expect(card).to_contain_text("May the second step run?")
        await expect(card.get_by_role("link", name="this run of a plan")).to_be_visible()
        await card.get_by_role("button", name="Approve").click()
        await expect(box(page, "second")).to_have_class("running")
        # Paused and resumed, and then it ends: all on the open page.
        await page.get_by_role("button", name="Pause", exact=True).click()
        await expect(page.locator("#run")).to_contain_text("paused")
        await page.get_by_role("button", name="Go on").click()
        agent.may["second"].set()
        await expect(page.locator("#run .chip").first).to_have_text("succeeded")
        await expect(page.locator("#in-time")).to_contain_text("critical path")
        assert await page.locator("#in-time rect.critical").count() == 3
    # Who pauses a run gives it up: the last step may be done by whoever resumes it.
    assert (await running).success
    assert plans.faults == []


async def test_a_run_is_gone_through_by_keyboard_and_without_a_script(plans: Site) -> None:
    path = await run(plans, {"id": "trail", "steps": [{"id": "a"}, {"id": "b", "dependencies": ["a"]}]})
    async with plans.page(path) as page:
        slider = page.locator("#scrub")
        await slider.focus()
        await page.keyboard.press("Home")
        await expect(page.locator("#moment")).to_contain_text("before the first")
        await expect(box(page, "a")).to_have_class("waiting")
        for state in ("waiting", "running", "succeeded"):  # the plan begins, step a begins, step a ends
            await page.keyboard.press("ArrowRight")
            await expect(box(page, "a")).to_have_class(state)
        await expect(box(page, "b")).to_have_class("waiting")
        assert await slider.evaluate("e => e === document.activeElement")
        assert page.url.endswith("?at=3")
        await page.reload()
        await expect(box(page, "b")).to_have_class("waiting")
        await expect(page.locator("#steps")).to_contain_text("waiting")
        await page.get_by_role("link", name="As it is now").click()
        await expect(box(page, "b")).to_have_class("succeeded")
    async with plans.page(f"{path}?at=0&zoom=50", java_script_enabled=False) as page:
        await page.locator("#scrub").focus()
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await page.get_by_role("button", name="Show", exact=True).click()
        await expect(box(page, "a")).to_have_class("succeeded")
        await expect(box(page, "b")).to_have_class("waiting")
        assert "zoom=50" in page.url
        await page.get_by_role("link", name="Event before").click()
        await expect(box(page, "a")).to_have_class("running")


async def test_a_step_runs_again_with_another_input_and_is_compared(plans: Site) -> None:
    failing = {"id": "mend", "steps": [{"id": "kept", "agentId": "learning-agent", "action": "get_insights", "input": {"learnerId": "ana"}}, {
        "id": "sick", "agentId": "learning-agent", "action": "get_insights", "input": {"learnerId": ""}, "dependencies": ["kept"]}]}  # fmt: skip
    async with httpx.AsyncClient(base_url=plans.url) as client:
        run_id = (await client.post("/api/plans", json=failing)).json()["run_id"]
    async with plans.page(f"/console/plans/{run_id}") as page:
        await expect(page.locator("#run .chip").first).to_have_text("failed")
        await box(page, "sick").locator("a").click()
        await page.fill("textarea[name=input]", '{"learnerId": }')
        await page.get_by_role("button", name="Run again from here").click()
        await expect(page.get_by_role("alert")).to_contain_text("line 1, column 15")
        await page.go_back()
        assert await page.input_value("textarea[name=input]") == '{"learnerId": }'  # what was typed is kept
        await page.fill("textarea[name=input]", '{"learnerId": "ben"}')
        await page.get_by_role("button", name="Run again from here").click()
        await page.wait_for_url(re.compile(r"/console/plans/[0-9a-f-]{36}$"))
        await expect(page.locator("#run .chip").first).to_have_text("succeeded")
        # What was taken over was done before the first event.
        await page.goto(f"{page.url}?at=0")
        await expect(box(page, "kept")).to_have_class("succeeded")
        await expect(box(page, "sick")).to_have_class("waiting")
        await page.get_by_role("link", name="Compare it with").click()
        await expect(page.locator("main")).to_contain_text("1 step gave something else")
        row = page.locator("#pairs tbody tr")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("Correct the input")
        await expect(row).to_contain_text("changed, ran again")
        assert await serious(page) == []


async def test_no_content_of_a_plan_runs_or_breaks_a_page(plans: Site) -> None:
    names = ["<b id=planted>", "a\u202etxt", "\u202e" * 50, "x" * 200, "$from", "constructor", "../../..", "%00 %2e", "🧨" * 60, "'\"><svg onload=reports.push(9)>"]  # fmt: skip
    steps = [
        {"id": name, "input": {HOSTILE: HOSTILE}, "dependencies": names[:at][-2:]} for at, name in enumerate(names)
    ]
    steps.append({"id": "end", "input": {"fail": HOSTILE}, "dependencies": names[-1:]})
    path = await run(
        plans, {"id": HOSTILE.replace("\n", " ").replace("\x1b", "").replace("\x07", "")[:200], "steps": steps}
    )
    await schedules.schedule("<b id=planted>", {"id": "<i id=planted>", "steps": [{"id": "s", "agentId": "x"}]}, "0 6 * * *", runtime=plans.runtime)  # fmt: skip
    found: dict[str, Any] = {}
    pages = [
        "/console/plans",
        path,
        f"{path}?at=4&zoom=fit&step=x&state=%3Cb",
        *(f"{path}/steps/{at}" for at in (0, 4, 10)),
    ]
    async with plans.page(viewport={"width": 390, "height": 844}) as page:
        for one in pages:
            faults = await look(page, one)
            if (width := await page.evaluate("document.documentElement.scrollWidth")) > 390:
                faults.append(f"{width} pixels wide")
            if faults or (faults := await serious(page)):
                found[one] = faults
    assert found == {}
    assert plans.faults == []
    await schedules.unschedule("<b id=planted>", runtime=plans.runtime)


async def test_five_hundred_steps_stay_usable_and_thousands_are_shown_in_part(plans: Site) -> None:
    steps: list[dict[str, Any]] = [
        {"id": f"step {at}", "dependencies": [f"step {at // 3}"] if at else []} for at in range(500)
    ]
    path = await run(plans, {"id": "wide", "steps": steps})
    async with httpx.AsyncClient(base_url=plans.url) as client:
        answer = await client.get(path, headers={"Accept-Encoding": "gzip"})
        assert len(gzip.compress(answer.content)) < 60_000
    async with plans.page(path) as page:
        assert await page.locator("#graph g").count() >= 500
        await page.fill("input[name=step]", "step 499")
        await page.keyboard.press("Enter")
        await expect(page.locator("#steps tbody tr")).to_have_count(1)
        await expect(page.locator("#graph g.chosen")).to_contain_text("step 499")
        await page.goto(path)
        await page.get_by_role("link", name="More").click()
        await expect(page.locator("#steps caption")).to_contain_text("101 to 200")
    # Nobody runs these: their agent is known nowhere.
    many = [{"id": f"s{at}", "agentId": "nobody", "dependencies": [f"s{at - 1}"] if at else []} for at in range(3_000)]
    orchestrator = AgentOrchestrator(plans.runtime)
    orchestrator.register_kind("nobody", Hand)
    run_id = await orchestrator.submit({"id": "huge", "steps": many})
    async with plans.page(f"/console/plans/{run_id}?step=s1500") as page:
        await expect(page.locator("#drawn")).to_contain_text("120 of 3,000 steps are drawn")
        await expect(page.locator("#graph g.chosen")).to_contain_text("s1500")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator(".note.good")).to_contain_text("cancelled")


async def test_a_schedule_is_removed_by_a_form_of_ours_only(plans: Site) -> None:
    plan = {"id": "daily", "steps": [{"id": "s", "agentId": "learning-agent"}]}
    await schedules.schedule("morning", plan, "0 6 * * 1-5", runtime=plans.runtime)
    async with plans.page("/console/plans") as page:
        row = page.locator("#schedules tbody tr")
        await expect(row).to_contain_text("0 6 * * 1-5")
        await row.get_by_role("button", name="Remove").click()
        await expect(page.locator("#schedules")).to_contain_text("Nothing begins by itself")
    async with httpx.AsyncClient(base_url=plans.url) as client:
        refused = await client.post("/console/plans/schedules/remove", data={"name": "morning"})
        assert refused.status_code == 403  # no token of a form of ours
