"""People accept or reject what an answer suggests, say whether it is right, and keep pages under names of their own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.console.conftest import Opened, Site

from agent.access import keys
from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.console.answers import answer_parts
from agent.errors import AlreadyDecided, InvalidInput, NotFound
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.operations import feedback, memories, saved_views, suggestions
from agent.testing.scripted_model import call

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAN = "select count(*) from clients"
ANSWER = f"""I counted them:

```sql
{RAN};
```

1. Look at the paused ones:

   ```sql
   select name from clients where status = 'paused' order by 1
   ```
2. Then end one:

   ```PostgreSQL
   update clients set status = 'churned' where id = 4
   ```

An example with a hole, several statements, and one with a character that nobody sees:

```sql
select ... from clients
```
```sql
select 1; drop table clients
```
```sql
select 'a\u202eb'
```
```python
print("select 1")
```
"""
READ, CHANGE = "#suggestion-1-1", "#suggestion-1-2"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def advised(open_site: Opened) -> Site:
    """Serve a model that suggests statements in its answer."""
    site = await open_site(script=[[call("execute_sql", sql=RAN)], ANSWER, [call("execute_sql", sql=RAN)], ANSWER])
    await chat.answer("What could I do?", thread_id="advice", runtime=site.runtime)
    await chat.answer("And now?", thread_id="race", runtime=site.runtime)
    return site


async def test_an_answer_suggests_what_can_run_as_it_is_seen_and_has_not_run() -> None:
    parts = answer_parts(ANSWER, ran=[RAN])
    found = [one for part in parts for one in part.suggestions]
    assert [(one.place, one.reads) for one in found] == [(1, True), (2, False)]
    without = ANSWER.replace("```sql", "```text").replace("```PostgreSQL", "```text")
    whole = (
        "".join(part.html for part in parts)
        .replace("language-sql", "language-text")
        .replace("language-PostgreSQL", "language-text")
    )
    assert [part.html for part in answer_parts(without)] == [whole]
    fences = "\n\n".join(f"```sql\nselect {n}\n```" for n in range(500))
    assert sum(len(part.suggestions) for part in answer_parts(fences)) == 12


async def test_a_suggested_read_runs_and_a_suggested_change_is_asked_about(advised: Site) -> None:
    async with advised.page("/console/chat/advice") as page:
        await expect(page.get_by_role("group", name="Suggested statement")).to_have_count(2)
        await expect(page.locator(READ)).to_contain_text("Nothing of it has run")
        await page.locator(READ).get_by_role("button", name="Run it").click()
        await expect(page.locator(READ)).to_contain_text("Accepted by")
        await expect(page.locator(READ).locator("th")).to_have_text("name")
        await page.locator(CHANGE).get_by_role("button", name="Ask for this change").click()
        card = page.locator("article[data-item]")
        await expect(card.locator(".is").first).to_have_text("churned")
        asked = (await human_approval_queue.history(1, runtime=advised.runtime))[0]
        assert asked.status == "pending"
        await card.get_by_role("button", name="Approve").click()
        await expect(page.locator("article .note.good")).to_contain_text("Done: 1 row")
    assert advised.faults == []


async def test_a_suggestion_is_decided_once_and_a_rejection_is_remembered(advised: Site) -> None:
    runtime = advised.runtime
    before = len(await executions.recent(100, runtime=runtime))
    async with advised.context() as context:
        tabs = [await context.new_page(), await context.new_page()]
        for tab in tabs:
            await tab.goto("/console/chat/race")
            await tab.evaluate("paused = true")
        await asyncio.gather(*(tab.locator(READ).get_by_role("button", name="Run it").click() for tab in tabs))
        for tab in tabs:
            await expect(tab.locator(READ)).to_contain_text("Accepted by")
    assert len(await executions.recent(100, runtime=runtime)) == before + 1
    async with advised.page("/console/chat/race") as page:
        await page.locator(CHANGE).focus()
        await page.keyboard.press("j")
        await page.keyboard.press("r")
        await page.keyboard.type("Client 4 never churns: it pays by the year")
        await page.keyboard.press("Enter")
        await expect(page.locator(CHANGE)).to_contain_text("Rejected by")
    found = await memories.search("Does client 4 churn?", 3, kinds=None, runtime=runtime)
    assert "never churns" in found[0].content
    with pytest.raises(AlreadyDecided, match="rejected this statement"):
        await suggestions.accept("race", 1, 2, "update clients set status = 'churned' where id = 4", runtime=runtime)


async def test_only_the_statement_that_was_seen_is_accepted(advised: Site) -> None:
    async with advised.page("/console/chat/advice") as page:
        for form in (
            {"digest": "0" * 32, "decision": "accept"},
            {"digest": "", "decision": "accept", "sql": "drop table clients"},
        ):
            status = await post(page, "/console/chat/advice/1/suggestions/3", form)
            assert status == 404, form
        assert await post(page, "/console/chat/none/1/suggestions/1", {"decision": "accept"}) == 404


async def post(page: Page, path: str, form: dict[str, str]) -> int:
    token = await page.locator("input[name=token]").first.input_value()
    answer = await page.request.post(path, form={"token": token, **form}, max_redirects=0)
    return answer.status


async def test_a_no_with_a_reason_is_learned_and_seen_by_the_administrators_of_the_tenant(site: Site) -> None:
    runtime = site.runtime
    answer = await chat.answer("How many clients are active?", runtime=runtime)
    path = f"/console/chat/{answer.thread_id}"
    async with site.page(path) as page:
        await page.get_by_role("button", name="Right", exact=True).click()
        await expect(page.locator(".feedback")).to_contain_text("You called this answer right")
        (kept,) = await agent_memory.turn_memories(answer.thread_id, 1, runtime=runtime)
        assert kept.metadata["confirmed"]
        await page.get_by_text("It is wrong after all").click()
        await page.get_by_label("What is right instead").fill(
            "A client on trial is never active, password: hunter2horse"
        )
        await page.get_by_role("button", name="It is wrong", exact=True).click()
        await expect(page.get_by_role("status").first).to_contain_text("I will remember what you said")
        await page.goto("/console/learning/feedback")
        row = page.locator("#feedback tbody tr").first
        await expect(row).to_contain_text("A client on trial is never active")
        await expect(row).to_contain_text("How many clients are active?")
        await expect(row).not_to_contain_text("hunter2horse")
    (taught,) = await agent_memory.turn_memories(answer.thread_id, 1, runtime=runtime)
    found = await memories.search("Is a client on trial active?", 5, kinds=None, runtime=runtime)
    assert taught.id in {memory.id for memory in found}
    assert taught.content == "A client on trial is never active, password: [secret]"
    # Somebody without the right sees that something was said, not what; another tenant sees nothing of it.
    masked = replace(runtime, user="mo", masked=True)
    (one,) = await feedback.newest(1, runtime=masked)
    assert (one.correct, one.reason, one.question) == (False, "•••", "•••")
    other = runtime.for_tenant("elsewhere")
    assert await feedback.newest(10, runtime=other) == []
    with pytest.raises(NotFound):
        await feedback.give(answer.thread_id, 1, right=True, via="console", runtime=other)
    with pytest.raises(InvalidInput):
        await feedback.give(answer.thread_id, 1, right=False, reason="x" * 2_001, via="console", runtime=runtime)


async def test_what_people_say_is_shown_to_administrators_only(open_site: Opened) -> None:
    guarded = await open_site(api_auth="required")
    for role, status in (("approver", 403), ("admin", 200)):
        made = await keys.create(role, role=role, runtime=guarded.runtime)  # type: ignore[arg-type]  # one of the roles
        async with guarded.page("/console/learning/feedback") as page:
            await page.get_by_label("API key").fill(made.secret)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url("**/learning/feedback")
            answer = await page.goto("/console/learning/feedback")
            assert answer
            assert answer.status == status, role


async def test_a_view_is_kept_for_its_person_listed_found_by_its_name_and_removed(site: Site) -> None:
    runtime = site.runtime
    hostile = '<img src=x onerror=reports.push("view")> \u202e'
    async with site.page("/console/activity?status=failed&cursor=3") as page:
        await page.get_by_text("Views", exact=True).click()
        await page.get_by_label("Keep this page as").fill(hostile)
        await page.get_by_role("button", name="Keep").click()
        await expect(page.get_by_role("status").first).to_contain_text("is kept")
        await page.goto("/console/activity?status=refused")
        await page.get_by_text("Views", exact=True).click()
        await page.get_by_label("Keep this page as").fill("What was refused")
        await page.keyboard.press("Enter")
        await expect(page.locator("nav [data-name='What was refused']")).to_have_attribute("aria-current", "page")
        await page.goto("/console")
        await page.keyboard.press("Control+k")
        await page.keyboard.type("refused")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/activity?status=refused")
        assert await page.evaluate("window.reports") == []
        assert [view.path for view in await saved_views.every(runtime=runtime)] == [
            "/console/activity?status=failed",
            "/console/activity?status=refused",
        ]
        assert await saved_views.every(runtime=replace(runtime, user="somebody else")) == []
        assert await saved_views.every(runtime=runtime.for_tenant("elsewhere")) == []
        await page.get_by_text("Views", exact=True).click()
        await page.get_by_role("button", name="Remove What was refused").click()
        await expect(page.locator("nav [data-name='What was refused']")).to_have_count(0)
        for back in ("https://evil.example/", "//evil.example", "/docs", "/console\\..", ""):
            assert await post(page, "/console/views", {"name": "x", "back": back}) == 422, back
    for number in range(saved_views.MOST - 1):
        await saved_views.save(f"view {number}", "/console/memory", runtime=runtime)
    with pytest.raises(InvalidInput, match="remove one first"):
        await saved_views.save("one more", "/console/memory", runtime=runtime)
    for view in await saved_views.every(runtime=runtime):
        await saved_views.remove(view.id, runtime=runtime.for_tenant("elsewhere"))
        await saved_views.remove(view.id, runtime=replace(runtime, user="somebody else"))
    assert len(await saved_views.every(runtime=runtime)) == saved_views.MOST
    for view in await saved_views.every(runtime=runtime):
        await saved_views.remove(view.id, runtime=runtime)
    assert await safe_executor.execute("execute_sql", {"sql": "select 1"}, runtime=runtime)
