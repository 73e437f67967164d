"""Large results, a tab that was left open for a day, an undo, the audit check, conflicts, alerts, other time zones, and keys alone."""

from __future__ import annotations

import re
import time

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import expect
from tests.console.conftest import Opened, Site

from agent.access import keys
from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.monitoring import alerts
from agent.monitoring.records import Check, Finding
from agent.sync.service import AgentSyncService
from agent.testing.scripted_model import call

pytestmark = pytest.mark.asyncio(loop_scope="session")
MANY = 10_000
ROWS = f"select n, 'row ' || n as name, n % 7 = 0 as seventh, null as nothing from generate_series(1, {MANY}) n order by md5(n::text)"
CHANGES = [call("execute_sql", sql=f"update clients set notes = 'seen' where id = {number}") for number in (1, 2, 3)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large(open_site: Opened) -> Site:
    """Serve an agent that fetches many rows, and whose model asks for three changes at once."""
    script = [[call("execute_sql", sql=ROWS)], "There they are.", CHANGES, "Each was decided."]
    site = await open_site(script=script, max_rows=MANY, max_result_bytes=4_000_000)
    await chat.answer("Show them all", thread_id="many", runtime=site.runtime)
    return site


def run(site: Site, sql: str) -> None:
    assert site.runtime.settings.database_url is not None
    with psycopg.connect(site.runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(sql.encode())


async def test_ten_thousand_rows_are_sorted_paged_and_downloaded_and_the_page_stays_small(large: Site) -> None:
    async with large.page("/console/chat/many") as page:
        await expect(page.locator("#turns td").nth(0)).to_be_visible()
        assert await page.locator("tr").count() < 30
        await page.get_by_role("link", name="All 10,000 rows").click()
        await expect(page.locator("caption")).to_contain_text("rows 1 to 100 of 10,000")
        await page.get_by_role("link", name=re.compile("^n$")).click()
        await expect(page.locator("tbody tr").first).to_contain_text("row 1")
        await page.get_by_role("link", name=re.compile("^n ")).click()
        await expect(page.locator("tbody tr").first).to_contain_text("row 10000")
        await page.get_by_role("link", name="Later rows").click()
        await expect(page.locator("tbody tr").first).to_contain_text("row 9900")
        assert await page.locator("*").count() < 2_000
        await page.keyboard.press("?")  # it still obeys
        await expect(page.locator("#keys-help")).to_be_visible()
        await page.keyboard.press("Escape")
        async with page.expect_download() as started:
            await page.get_by_role("link", name=re.compile("Download 10,000 rows")).click()
        lines = (await (await started.value).path()).read_text().splitlines()
        assert lines[0] == "n,name,seventh,nothing"
        assert len(lines) == MANY + 1
        size = await page.evaluate("performance.getEntriesByType('navigation')[0].transferSize")
        assert size < 60_000
    assert large.faults == []


async def test_several_changes_of_one_turn_are_all_shown_and_each_is_decided(large: Site) -> None:
    async with large.page("/console/chat") as page:
        await page.fill("textarea[name=question]", "Mark three clients as seen")
        await page.keyboard.press("Enter")
        for number in (1, 2, 3):
            card = page.locator("article[data-item]").nth(number - 1)
            await expect(card).to_contain_text(f"id = {number}")
        for decided in (1, 2):
            await page.get_by_role("button", name="Approve").first.click()
            await expect(page.locator("article .note.good")).to_have_count(decided)
        last = page.locator("article[data-item]", has=page.get_by_role("button", name="Approve"))
        await last.locator("details[data-key=r] > summary").click()
        await last.get_by_role("button", name="Reject").click()
        await expect(page.locator("article .chip.rejected")).to_have_count(1)
        await expect(page.locator("main")).to_contain_text(
            "Each was decided.", timeout=30_000
        )  # the conversation went on


async def test_a_tab_left_open_for_a_day_says_that_it_is_over_and_keeps_what_was_typed(open_site: Opened) -> None:
    site = await open_site(api_auth="required")
    made = await keys.create("a day", role="approver", runtime=site.runtime)
    sql = "update clients set notes = 'old' where id = 14"
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=site.runtime)
    number = asked["approval_id"]
    async with site.context() as context:
        page = await context.new_page()
        await page.clock.install()
        await page.goto(f"/console/approvals/{number}")
        await page.get_by_label("API key").fill(made.secret)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"**/approvals/{number}")
        await page.keyboard.press("r")
        await page.keyboard.type("Only next quarter")
        run(site, "update agents.console_sessions set expires_at = now() - interval '1 hour'")
        await page.clock.fast_forward("24:00:00")
        await expect(page.locator("article time").first).to_contain_text(re.compile("ago|in "))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("nothing was done")
        assert (await human_approval_queue.get(number, runtime=site.runtime)).status == "pending"
        await page.get_by_label("API key").fill(made.secret)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"**/approvals/{number}")
        assert await page.input_value("input[name=comment]") == "Only next quarter"
        # The request itself may have expired meanwhile: then it says so, and nothing can be decided.
        run(site, f"update agents.human_approval_queue set expires_at = now() - interval '1 hour' where id = {number}")
        await page.keyboard.press("r")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.locator("main")).to_contain_text("expired")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_a_change_is_undone_from_activity_and_the_log_is_checked(site: Site) -> None:
    sql = "update clients set status = 'lead' where id = 21"
    before = await safe_executor.execute(
        "execute_sql", {"sql": "select status from clients where id = 21"}, runtime=site.runtime
    )
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=site.runtime)
    async with site.page(f"/console/approvals/{asked['approval_id']}") as page:
        await page.get_by_role("button", name="Approve").click()
        await page.get_by_role("link", name="See the execution").click()
        await page.get_by_role("button", name="Undo").click()
        await page.wait_for_url("**/console/approvals/*")
        await expect(page.get_by_role("status").first).to_contain_text("This is what it would do")
        await expect(page.locator(".is").first).to_have_text(str(before["rows"][0][0]))
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator("article .note.good")).to_contain_text("1 row")
        await page.goto("/console/activity/audit")
        await page.get_by_role("button", name="Check the whole log").click()
        await expect(page.locator("main")).to_contain_text("The log is whole.")
        await expect(page.locator("main")).to_contain_text(
            re.compile(r"[\d,]+ entries, [\d,]+ rows? and [\d,]+ effects? were checked")
        )
    after = await safe_executor.execute(
        "execute_sql", {"sql": "select status from clients where id = 21"}, runtime=site.runtime
    )
    assert after["rows"] == before["rows"]
    assert site.faults == []


async def test_a_conflict_is_decided_once_for_the_version_that_was_seen(site: Site) -> None:
    service = AgentSyncService(site.runtime)
    await service.create_state_snapshot("pair", {"price": 1, "unit": "kg"})
    data = {"theirs": {"price": 2, "unit": "g"}, "base": {"price": 0, "unit": "t"}}
    await service.reconcile_states("pair", "merge", data)
    async with site.page("/console/sync") as page, site.page("/console/sync") as other:
        await expect(page.locator("#sync")).to_contain_text("price")
        await other.evaluate("paused = true")
        await page.locator("li", has_text="price").get_by_role("button", name="Take theirs").click()
        await expect(page.get_by_role("status").first).to_contain_text("is decided")
        await other.locator("li", has_text="price").get_by_role("button", name="Take ours").click()
        await expect(other.get_by_role("alert")).to_be_visible()  # it is decided, or the state is another one by now
        await page.goto("/console/sync")
        unit = page.locator("li", has_text="unit")
        await unit.get_by_label("or this value").fill("{not json")
        await unit.get_by_role("button", name="Take the value").click()
        await expect(page.get_by_role("alert")).to_contain_text("The value is JSON")
        await page.goto("/console/sync")
        await unit.get_by_label("or this value").fill('"lb"')
        await unit.get_by_role("button", name="Take the value").click()
        await expect(page.locator("#sync")).to_contain_text("There is none.")
    assert (await service.get_current_state("pair")).state == {"price": 2, "unit": "lb"}


async def test_an_alert_is_taken_care_of_and_muted(site: Site) -> None:
    async def never(_: object) -> list[Finding]:
        return []

    finding = Finding(
        subject="disk",
        severity="HIGH",
        message="The disk is full",
        action="Free some space",
        evidence={"free_bytes": 12, "of": {"a": [1, 2]}},
    )
    await alerts.apply(Check(name="disk", about="disks", look=never), [finding], runtime=site.runtime)
    async with site.page("/console/alerts") as page:
        await expect(page.locator("[data-count=alerts]")).to_have_text("1")
        await page.get_by_role("link", name="The disk is full").click()
        await expect(page.locator("#alert")).to_contain_text("free bytes")
        await page.locator("#take > summary").click()
        await page.get_by_label("What you do about it").fill("I delete old logs")
        await page.get_by_role("button", name="I take care of it").click()
        await expect(page.locator("#alert")).to_contain_text("I delete old logs")
        await expect(page.locator("[data-count=alerts]")).to_be_empty()
        await page.locator("#mute > summary").click()
        await page.get_by_label("Hours").fill("a day")
        await page.get_by_role("button", name="Mute", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("whole number")
        await page.go_back()
        await page.locator("#mute > summary").click()
        await page.get_by_label("Hours").fill("3")
        await page.get_by_role("button", name="Mute", exact=True).click()
        await expect(page.locator("#alert")).to_contain_text("muted until")


async def test_times_are_those_of_the_reader_wherever_they_are(site: Site) -> None:
    memory = await agent_memory.save("A memory of this moment", trust="human", runtime=site.runtime)
    for zone, offset in (
        ("Pacific/Auckland", ("GMT+13", "GMT+12")),
        ("America/St_Johns", ("GMT-3:30", "GMT-2:30")),
    ):
        async with site.page(f"/console/memory/{memory.id}", timezone_id=zone) as page:
            shown = (await page.locator("time[data-exact]").last.inner_text()).replace("\u2212", "-")
            assert shown.endswith(offset), (zone, shown)
            there = await page.evaluate(f"new Date({memory.created_at.timestamp() * 1000}).toLocaleString('sv-SE')")
            assert shown.startswith(there), (zone, shown, there)
            assert await page.locator("time[data-exact]").last.get_attribute("datetime") == memory.created_at.isoformat(
                timespec="seconds"
            ).replace("Z", "+00:00")


async def test_a_request_is_decided_with_tab_and_enter_alone(site: Site) -> None:
    sql = "update clients set status = 'lead' where id = 22"
    asked = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=site.runtime)
    async with site.page(f"/console/approvals/{asked['approval_id']}") as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="To the content")).to_be_focused()
        await page.keyboard.press("Enter")
        for _ in range(30):
            await page.keyboard.press("Tab")
            if await page.evaluate(
                "document.activeElement.matches('summary') && document.activeElement.textContent.includes('Reject')"
            ):
                break
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.type("Not with keys alone")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text("Not with keys alone")
    assert (await human_approval_queue.get(asked["approval_id"], runtime=site.runtime)).status == "rejected"


async def test_a_large_value_does_not_stop_a_page(site: Site) -> None:
    """Reported of Langfuse: a table of traces with large inputs never loads (1352, 9933)."""
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 60_000
    await site.runtime.execute(
        "insert into agents.agent_execution_log (tenant_id, database_id, action, arguments, verdict, risk_level, status, result)"
        " values (%(tenant_id)s, %(database_id)s, 'send', jsonb_build_object('picture', %(picture)s::text, 'deep', %(deep)s::jsonb), 'run', 'LOW',"
        " 'succeeded', jsonb_build_object('columns', '[1, {}]'::jsonb, 'rows', '[1, [2], {}]'::jsonb))",
        database_id=site.runtime.database_id, picture=picture, deep="[" * 200 + "]" * 200,
    )  # fmt: skip
    newest = await site.runtime.one(
        "select max(id) as id from agents.agent_execution_log where tenant_id = %(tenant_id)s"
    )
    assert newest
    began = time.perf_counter()
    async with site.page("/console/activity") as page:
        await expect(page.locator("#executions tbody tr").first).to_contain_text("send")
        answer = await page.goto(f"/console/activity/{newest['id']}")
        assert answer
        assert answer.status == 200
        assert len(await answer.body()) < 60_000
        await expect(page.locator("#execution")).to_contain_text("picture")
    assert time.perf_counter() - began < 60  # not for ever
    assert site.faults == []
