"""Ask in one browser, decide in another, and see in both what became of it."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect
from tests.console.conftest import Site

from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ask(page: Page, question: str) -> None:
    await page.fill("textarea[name=question]", question)
    await page.keyboard.press("Enter")


async def propose(site: Site, sql: str) -> int:
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=site.runtime)
    assert result["status"] == "waiting", result
    return result["approval_id"]


async def status_of(site: Site, client: int) -> str:
    result = await safe_executor.execute(
        "execute_sql", {"sql": f"select status from clients where id = {client}"}, runtime=site.runtime
    )
    return str(result["rows"][0][0])


async def test_who_asks_sees_what_another_browser_approves(site: Site) -> None:
    async with site.page("/console/chat") as asking, site.page("/console/approvals") as deciding:
        await expect(deciding.locator("#inbox")).to_contain_text("Nothing waits")
        await ask(asking, "Set the status of client 3 to paused")
        card = asking.locator("article[data-item]")
        await expect(card).to_contain_text("paused")
        # The inbox was open all the time, and shows the request by itself.
        inbox = deciding.locator("article[data-item]")
        await expect(inbox).to_contain_text("active")
        await expect(inbox.locator(".was").first).to_have_text("active")
        await expect(inbox.locator(".is").first).to_have_text("paused")
        await expect(deciding.locator("[data-count=approvals]")).to_have_text("1")
        await deciding.keyboard.type("what is that about")  # no field takes it, and it approves nothing
        await expect(inbox.get_by_role("button", name="Approve")).to_be_enabled()
        await deciding.wait_for_timeout(1_100)
        await deciding.keyboard.press("j")
        await deciding.keyboard.press("a")
        await expect(deciding.locator(".note.good")).to_contain_text("Done: 1 row")
        # Decided there, updated here: no button is left, and the answer is there.
        await expect(asking.locator("#turns")).to_contain_text("Approved by")
        await expect(asking.get_by_role("button", name="Approve")).to_have_count(0)
        await expect(asking.locator(".answer").last).to_contain_text(re.compile("paused|Done|done"))
    assert await status_of(site, 3) == "paused"
    assert site.faults == []


async def test_a_rejection_steers_and_an_edit_is_asked_about_again(site: Site) -> None:
    first = await propose(site, "update clients set status = 'churned' where id = 5")
    async with site.page("/console/approvals") as page:
        await page.keyboard.press("j")
        await page.keyboard.press("e")
        await page.fill("textarea[name=text]", "update clients set status = 'lead' where id in (5, 6)")
        await page.get_by_role("button", name="Use this instead").click()
        await expect(page.locator(".note.good")).to_contain_text("was changed")
        card = page.locator("article[data-item]")
        await expect(card.locator(".is").first).to_have_text("lead")
        await page.keyboard.press("r")
        await page.keyboard.type("Ask Ana first")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note.good")).to_contain_text("Rejected")
    assert (await human_approval_queue.get(first, runtime=site.runtime)).status == "edited"
    last = (await human_approval_queue.history(1, runtime=site.runtime))[0]
    assert (last.status, last.decided_via, last.comment) == ("rejected", "console", "Ask Ana first")
    assert await status_of(site, 5) != "lead"


async def test_two_tabs_that_decide_at_once_do_it_once(site: Site) -> None:
    number = await propose(site, "update clients set status = 'paused' where id = 7")
    async with site.context() as context:
        tabs = [await context.new_page(), await context.new_page()]
        for tab in tabs:
            await tab.goto(f"/console/approvals/{number}")
            await tab.evaluate("paused = true")  # neither learns of the other's click
        await asyncio.gather(*(tab.get_by_role("button", name="Approve").click() for tab in tabs))
        said = [await tab.locator("p.note.good[role=status]").first.inner_text() for tab in tabs]
        for tab in tabs:
            await tab.reload()  # one may have been answered while the other's change was made
            await expect(tab.locator("article .note.good")).to_contain_text("Done: 1 row")
    assert sum("already" in text for text in said) == 1, said


async def test_always_allow_shows_its_rule_before_it_saves_it(site: Site) -> None:
    number = await propose(site, "update clients set status = 'paused' where id = 9")
    async with site.page(f"/console/approvals/{number}") as page:
        await page.get_by_role("link", name="Always allow").click()
        await expect(page.locator("main pre")).to_contain_text("id = 9")
        await expect(page.locator("main")).not_to_contain_text("but id may be any number")
        await page.get_by_label("id may be any number").check()
        await expect(page.locator("main pre")).to_contain_text("id may be any number")
        await page.select_option("select[name=hours]", "1")
        await expect(page.locator("main")).to_contain_text("for 1 hour")
        assert (await human_approval_queue.get(number, runtime=site.runtime)).status == "pending"
        await page.get_by_role("button", name="Approve, and save this rule").click()
        await expect(page.locator("p.note.good").first).to_contain_text("Permission")
    again = await safe_executor.execute(
        "execute_sql", {"sql": "update clients set status = 'paused' where id = 10"}, wait=False, runtime=site.runtime
    )
    assert again["status"] == "succeeded"


async def test_rows_are_a_table_that_is_sorted_downloaded_and_read_again(site: Site) -> None:
    async with site.page("/console/chat") as page:
        await ask(page, "How many invoices per status?")
        await expect(page.locator("svg.plot")).to_have_count(1)
        await page.get_by_role("link", name="Sort, run again").click()
        await page.get_by_role("link", name="count").click()
        await expect(page.locator("th[aria-sort=ascending]")).to_contain_text("count")
        numbers = await page.locator("td.num").all_inner_texts()
        assert numbers == sorted(numbers, key=int)
        assert "sort=1" in page.url
        async with page.expect_download() as started:
            await page.get_by_role("link", name="Download").click()
        text = (await (await started.value).path()).read_text()
        assert text.splitlines()[0] == "status,count"
        assert len(text.splitlines()) == len(numbers) + 1
        await page.fill("textarea[name=text]", "select 40 + 2 as answer")
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.locator("td")).to_have_text("42")
        await page.fill("textarea[name=text]", "delete from clients")
        await page.get_by_role("button", name="Run", exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text("Only a read runs here")
        assert await page.input_value("textarea[name=text]") == "delete from clients"  # what was refused is still there


async def test_a_reload_in_the_middle_of_an_answer_loses_nothing(site: Site) -> None:
    async with site.page("/console/chat") as page:
        await page.fill("textarea[name=question]", "How many employees are there?")
        await page.reload()
        assert await page.input_value("textarea[name=question]") == "How many employees are there?"
        await page.press("textarea[name=question]", "Enter")
        await page.wait_for_url("**/chat/*")
        await page.reload()
        await expect(page.locator(".answer")).to_contain_text("employees")
        assert await page.input_value("textarea[name=question]") == ""
