"""Look at every page with content that would do harm: in both colours, on a phone, with axe, and with the keyboard only."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from tests.console.conftest import Opened, Site

import agent.orchestration.saved_templates.store as templates
from agent.access import keys
from agent.analytics import AnalyticsService
from agent.analytics.models import train_all
from agent.chat import chat
from agent.console.navigation import GROUPS, ROUTERS
from agent.errors import AgentError
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.monitoring import alerts
from agent.monitoring.records import Check, Finding
from agent.operations import approvals, feedback, lessons, saved_views, suggestions
from agent.operations.approvals import HumanDecision
from agent.optimization import SelfLearningOrchestrationService
from agent.orchestration.saved_templates.design import read_design
from agent.orchestration.standard import standard_orchestrator
from agent.sync.service import AgentSyncService
from agent.threads import threads

pytestmark = pytest.mark.asyncio(loop_scope="session")

# HTML, Markdown, a scheme, a template, an end of each field that it may stand in, a direction override, escape sequences.
HOSTILE = (
    '<script>reports.push("a script ran")</script>"><img src=x onerror=reports.push("an_image_ran")>'
    "</textarea></title></pre><svg onload=reports.push('svg')><b id=planted>x</b>'-reports.push(1)-' {{7*7}} ${7*7} "
    "[click](javascript:reports.push(2)) ![p](https://evil.example/p.png) \u202etxt.exe \x1b[31m\x07 \u2028 end"
)
ROUTES = sorted(
    {route.path for router in ROUTERS for route in router.routes if "GET" in getattr(route, "methods", ())}  # type: ignore[attr-defined]  # they are API routes
)
# What is no page.
NO_PAGES = {
    "/console/static/{name}", "/console/live", "/console/chat/streams/{stream_id}", "/console/sign-in/link",
    "/console/chat/{thread_id}/{turn}/{round_}/{ordinal}/rows.csv", "/console/chat/{thread_id}/{turn}/suggestions/{place}/rows.csv",
    "/console/plans/{run_id}/compare", "/console/workflows/{template_id}/template.json", "/console/integration/schema",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def planted(open_site: Opened) -> tuple[Site, list[str]]:
    """Plant hostile content wherever a page shows some, and return a path of every route that shows it."""
    site = await open_site(environment='prod<b id="planted">')
    runtime = site.runtime
    url = runtime.settings.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        conn.execute("""create table "<img src=x onerror=reports.push(3)>" ("</script><b id=planted>" text)""")
        conn.execute(psycopg.sql.SQL("comment on table clients is {}").format(psycopg.sql.Literal(HOSTILE)))
    agent = HOSTILE.replace("/", "|")[:150]
    await AnalyticsService(runtime).register_agent(agent, capabilities=[HOSTILE[:150]])
    memory = await agent_memory.save(HOSTILE, subject=HOSTILE, trust="human", runtime=runtime)
    sql = f"update clients set notes = {psycopg.sql.Literal(HOSTILE).as_string()} where id = 1"
    waiting = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    refused = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=runtime)
    no = HumanDecision(decision="reject", comment=HOSTILE)
    await approvals.decide(refused["approval_id"], no, via="console", runtime=runtime)
    answer = await chat.answer(f"Show the clients with notes like {HOSTILE}", runtime=runtime)
    await chat.answer("Show 3 clients", thread_id=answer.thread_id, runtime=runtime)
    visible = "select '<b id=planted>x</b><img src=x onerror=reports.push(5)>' as \"<script>reports.push(6)</script>\""
    with psycopg.connect(url.get_secret_value(), autocommit=True) as conn:
        conn.execute(
            "update agents.turns set answer = %s where thread_id = %s and turn = 2",
            [f"{HOSTILE}\n```sql\n{visible}\n```\n```sql\n{sql}\n```\n```sql\nselect 2\n```\n", answer.thread_id],
        )
    await suggestions.accept(answer.thread_id, 2, 0, visible, runtime=runtime)
    await suggestions.reject(answer.thread_id, 2, 2, HOSTILE, runtime=runtime)
    await feedback.give(answer.thread_id, 2, right=False, reason=HOSTILE, via=HOSTILE, runtime=runtime)
    await saved_views.save(HOSTILE[:60], "/console/memory?query=<b id=planted>", runtime=runtime)
    steps = [one.key for turn in (1, 2) for one in await threads.calls(answer.thread_id, turn, runtime=runtime)]
    read = await safe_executor.execute(
        "execute_sql",
        {"sql": f'select {psycopg.sql.Literal(HOSTILE).as_string()} as "<b id=planted>"'},
        runtime=runtime,
    )

    async def never(_: object) -> list[Finding]:
        return []

    finding = Finding(subject=HOSTILE, severity="HIGH", message=HOSTILE, action=HOSTILE, evidence={HOSTILE: HOSTILE})
    await alerts.apply(Check(name="planted", about=HOSTILE, look=never), [finding], runtime=runtime)
    (alert,) = await alerts.list_alerts(runtime=runtime)
    learned = await lessons.learn(runtime=runtime)
    await keys.create('k"><script>reports.push(4)</script>', person="<b id=planted>", runtime=runtime)
    channel = await AgentSyncService(runtime).create_sync_channel({"name": HOSTILE[:150]})
    run = await standard_orchestrator(runtime).submit({
        "id": "plan<b id=planted>", "steps": [
            {"id": "one<script>", "agentId": "tutor-agent-x", "action": "prepare_conversation"},
            {"id": "two", "agentId": "tutor-agent-x", "action": "no_such<img src=x>", "dependencies": ["one<script>"]},
        ],
    })  # fmt: skip
    design = {
        "summary": HOSTILE,
        "plan": {"id": "p", "agentId": "x", "steps": [{"id": "<b id=planted>", "input": {HOSTILE: HOSTILE}}]},
    }
    template = await templates.create("<b id=planted>", read_design(design), runtime=runtime)
    await templates.save(template, HOSTILE, runtime=runtime)
    service = SelfLearningOrchestrationService(runtime)
    pattern = (await service.list_patterns())[0]
    change = await service.generate_optimization(pattern.pattern_id, {"agent_id": "<b id=planted>"})
    values = {
        "approval_id": waiting["approval_id"], "memory_id": memory.id, "execution_id": read["execution_id"], "alert_id": alert.id,
        "run_id": learned.id, "thread_id": answer.thread_id, "turn": 2, "round_": steps[-1].round, "ordinal": steps[-1].ordinal,
        "place": 0, "name": quote(agent, safe=""), "channel_id": channel.channel_id, "number": 0, "key": "template%3Alearning-session", "template_id": template, "version": 1, "optimization_id": change.optimization_id,
    }  # fmt: skip
    paths = [
        path.format_map({**values, "run_id": run} if "plans" in path else values)
        for path in ROUTES
        if path not in NO_PAGES
    ]
    paths = [f"{path}?name=public.clients" if path.endswith("/table") else path for path in paths]
    more = [
        "/console/knowledge?view=diagram",
        "/console/memory?query=script",
        "/console/approvals?show=all",
        "/console/no-such-page",
    ]
    return site, [*paths, *more]


RAW_JSON = """[...document.querySelectorAll("main pre, main td, main dd, main p, main li > span")]
  .filter(e => !e.closest("article td, table.rows"))  // a value of the application
  .map(e => e.textContent.trim()).filter(t => /^[{\\[]\\s*["{]/.test(t)).slice(0, 3).map(t => t.slice(0, 120))"""


async def look(page: Page, path: str) -> list[str]:
    """Return what is wrong with a page as it stands."""
    faults = []
    response = await page.goto(path)
    status = response.status if response else 0
    if status >= 400 and not path.endswith("no-such-page"):
        faults.append(f"status {status}")
    scripts = await page.locator("script").count()
    if scripts != 1:
        faults.append(f"{scripts} scripts")
    if await page.locator("#planted").count():
        faults.append("an element was planted")
    if reports := await page.evaluate("window.reports"):
        faults.append(f"reports {reports}")
    if inline := await page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on') || a.name === 'style' || /^\\s*javascript:/i.test(a.value))).length"
    ):
        faults.append(f"{inline} elements with a handler, a style or a scheme")
    # The pages of plans are looked at by their own tests.
    if "/plans" not in path and (raw := await page.evaluate(RAW_JSON)):
        faults.append(f"raw JSON: {raw}")
    if not await page.title():
        faults.append("no title")
    return faults


# What sticks out on the right, and no part of a page around it scrolls.
TOO_WIDE = """[...document.querySelectorAll("main *")].filter(e => {
  if (e.getBoundingClientRect().right <= innerWidth) return false;
  for (let a = e.parentElement; a; a = a.parentElement) if (getComputedStyle(a).overflowX !== "visible") return false;
  return true; }).slice(0, 3).map(e => e.outerHTML.slice(0, 120))"""
# Pages of a kind that axe has seen before: a few facts or rows.
LIKE_OTHERS = (
    "/console/alerts/", "/console/learning/", "/console/memory?", "/console/sync/", "/console/improve/", "/console/agents/", "/console/activity/audit",
    "/console/no-such-page", "/console/approvals?",
)  # fmt: skip
# Where most colours are.
IN_THE_DARK = ("/console", "/console/approvals", "/console/activity", "/console/settings")


async def test_no_page_runs_what_it_shows_or_is_too_wide_for_a_phone(planted: tuple[Site, list[str]]) -> None:
    site, paths = planted
    faults: dict[str, Any] = {}
    async with site.page(viewport={"width": 390, "height": 844}) as page:
        for path in paths:
            found = await look(page, path)
            if (width := await page.evaluate("document.documentElement.scrollWidth")) > 390:
                found.append(f"{width} pixels wide on a phone: {await page.evaluate(TOO_WIDE)}")
            if found:
                faults[path] = found
    assert faults == {}
    assert site.faults == []


async def test_a_model_shows_what_it_predicted_against_what_came_true(site: Site) -> None:
    service = AnalyticsService(site.runtime)
    runs = [
        {"agent_name": agent, "task_type": "audit", "execution_time": 1.0 + n / 50, "success": n % 10 < good}
        for n in range(60)
        for agent, good in (("careful", 9), ("hasty", 4))
    ]
    await service.log_runs(runs)
    await train_all(runtime=site.runtime)
    (card,) = [one["card"] for one in await service.models() if one["model_name"] == "success"]
    async with site.page("/console/agents") as page:
        plot = page.locator("svg.plot.square")
        await expect(plot).to_have_attribute(
            "aria-label", re.compile(f"{sum(one['n'] for one in card['calibration'])} runs")
        )
        await expect(plot.locator("circle")).to_have_count(len(card["calibration"]))
        row = page.locator("details[open] tbody tr").first
        await expect(row).to_contain_text(f"{100 * card['calibration'][0]['observed']:.1f} %")
        await expect(page.locator("main")).to_contain_text("Whether a run succeeds, version")
        assert await page.evaluate(RAW_JSON) == []


async def test_axe_finds_nothing_serious(planted: tuple[Site, list[str]]) -> None:
    site, paths = planted
    axe, faults = Axe(), dict[str, Any]()
    async with site.page() as page:
        for path in (path for path in paths if not path.startswith(LIKE_OTHERS)):
            await page.goto(path)
            await page.evaluate(axe.axe_script)
            found = await page.evaluate("axe.run({resultTypes: ['violations']})")
            if path in IN_THE_DARK:
                await page.emulate_media(color_scheme="dark")
                dark = await page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})")
                found["violations"] += dark["violations"]
                await page.emulate_media(color_scheme="light")
            serious = [
                f"{one['id']}: {one['nodes'][0]['html'][:200]}"
                for one in found["violations"]
                if one["impact"] in {"serious", "critical"}
            ]
            if serious:
                faults[path] = serious
    assert faults == {}


async def test_a_hidden_character_is_seen_and_an_edit_begins_with_what_is_there(
    planted: tuple[Site, list[str]],
) -> None:
    site, _ = planted
    async with site.page("/console/approvals") as page:
        card = page.locator("article[data-item]").first
        await expect(card.locator("pre").first).to_contain_text("␛[31m")
        assert "\u202e" not in await page.locator("main").inner_text()
        assert "\u202e" in await card.locator("textarea.mono").input_value()


async def test_every_page_is_reached_by_its_keys_and_a_field_that_is_typed_in_obeys_none(site: Site) -> None:
    async with site.page("/console/approvals") as page:
        for group in GROUPS:
            for entry in group.entries:
                await page.keyboard.press("g")
                await page.keyboard.press(entry.key)
                await page.wait_for_url(f"**{entry.path}")
        await page.keyboard.press("?")
        await expect(page.locator("#keys-help")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("memo")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/memory")
        await page.keyboard.press("/")
        await page.keyboard.type("gcgcj?")
        assert await page.input_value("input[name=query]") == "gcgcj?"
        await expect(page.locator("#keys-help")).to_be_hidden()


async def test_a_page_is_read_without_a_script_and_in_the_readers_time_zone(site: Site) -> None:
    await agent_memory.save("A memory to look at", trust="human", runtime=site.runtime)
    async with site.page("/console/memory", java_script_enabled=False) as page:
        await expect(page.locator("#memories")).to_contain_text("A memory to look at")
        assert re.match(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", await page.locator("time").first.get_attribute("title") or ""
        )
    async with site.page("/console/memory", timezone_id="Asia/Tokyo") as page:
        assert "GMT+9" in (await page.locator("time").first.get_attribute("title") or "")


async def test_every_form_that_filters_takes_its_fields_as_they_are(site: Site) -> None:
    """As somebody does who types words and presses Enter: each choice that was not made is sent empty."""
    await agent_memory.save("Parcels to Malta go by ship", trust="human", runtime=site.runtime)
    async with site.page("/console/memory") as page:
        await page.fill("input[name=query]", "parcels malta")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**query=parcels*")
        await expect(page.locator("#memories li").first).to_contain_text("Malta")
        for path in ("/console/memory", "/console/activity", "/console/plans"):
            await page.goto(path)
            async with page.expect_navigation() as sent:
                await page.locator("form.filters").first.evaluate("form => form.requestSubmit()")
            assert (await sent.value).status == 200, path
            await expect(page.get_by_role("alert")).to_have_count(0)


async def test_what_a_hidden_page_misses_is_there_when_it_goes_on(site: Site) -> None:
    async with site.page("/console/memory") as page:
        await page.keyboard.press("p")
        await expect(page.locator("#pause")).to_contain_text("Paused")
        await safe_executor.execute("execute_sql", {"sql": "select 1"}, runtime=site.runtime)
        await agent_memory.save("Learned while nobody looked", trust="human", runtime=site.runtime)
        await expect(page.locator("#live-said")).to_contain_text("something new")
        await expect(page.locator("#memories")).not_to_contain_text("Learned while nobody looked")
        await page.keyboard.press("p")
        await expect(page.locator("#memories")).to_contain_text("Learned while nobody looked")


async def test_wrong_addresses_are_pages_that_say_what_to_do(site: Site) -> None:
    async with site.page() as page:
        for path in (
            "approvals/999",
            "memory/0",
            "activity/x",
            "chat/none",
            "plans/none",
            "memory?cursor=x'",
            "knowledge/table?name=x",
        ):
            response = await page.goto(f"/console/{path}")
            assert response
            assert response.status in {404, 422}, (path, response.status)
            assert len(await page.get_by_role("alert").inner_text()) > 10
    with pytest.raises(AgentError):
        await threads.turns("none", runtime=site.runtime)


async def test_an_address_that_ends_with_a_slash_is_that_of_its_page(site: Site) -> None:
    for typed, path in (("/console/", "/console"), ("/console//", "/console"), ("/console/plans/", "/console/plans")):
        async with site.page(typed) as page:
            assert urlsplit(page.url).path == path
            await expect(page.locator("h1")).not_to_have_text("Not found")
