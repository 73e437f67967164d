"""Look after the integration layer in a real Chromium: endpoints are made, deprecated and removed; schemas show what a version changed."""

from __future__ import annotations

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect
from tests.console.conftest import Opened, Site
from tests.console.test_every_page import HOSTILE, look
from tests.console.test_plans_pages import serious

import agent.integration.schemas.registry as schemas
from agent.access import keys
from agent.integration.schema_history import changed_lines
from agent.integration.schemas.registry import NewSchema

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def layer(open_site: Opened) -> Site:
    return await open_site()


async def test_an_admin_makes_deprecates_and_removes_an_endpoint(layer: Site) -> None:
    async with layer.page("/console/integration") as page:
        await expect(page.locator("#endpoints")).to_contain_text("no endpoint yet")
        await page.locator("#new summary").click()
        await page.fill("#new input[name=path]", "/lessons/{lesson_id}")
        await page.select_option("#new select[name=does]", "database_sync read")
        await page.fill("#new input[name=rate_limit]", "many")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.get_by_role("alert")).to_contain_text("rate_limit")
        await page.go_back()
        await page.locator("#new summary").click()
        await page.fill("#new input[name=rate_limit]", "60/minute")
        await page.select_option("#new select[name=does]", "database_sync read")
        await page.get_by_role("button", name="Make it").click()
        row = page.locator("#endpoints tbody tr")
        await expect(row).to_contain_text("POST /v1/lessons/{lesson_id}")
        await row.locator("summary", has_text="Deprecate").click()
        await page.fill("input[name=sunset]", "2030-01-31")
        await page.fill("input[name=successor]", "v2/lessons")
        await page.get_by_role("button", name="Deprecate", exact=True).click()
        await expect(row).to_contain_text("then v2/lessons")
        async with httpx.AsyncClient(base_url=layer.url) as client:
            answer = await client.post("/api/v1/integration/gateway/v1/lessons/7", json={"key": "x"})
            assert "31 Jan 2030" in answer.headers["Sunset"]
        await row.locator("summary", has_text="Remove").click()
        await page.get_by_role("button", name="Remove it now").click()
        await expect(row).to_contain_text("removed")
        assert await serious(page) == []
    key = await keys.create("look", person="vera", role="operator", runtime=layer.runtime)
    async with httpx.AsyncClient(base_url=layer.url, headers={"Authorization": f"Bearer {key.secret}"}) as client:
        seen = await client.get("/console/integration")
        assert "New endpoint" not in seen.text
        assert (await client.post("/console/integration/endpoints", data={"path": "/x"})).status_code == 403


async def test_a_schema_shows_what_a_version_changed_and_runs_nothing(layer: Site) -> None:
    first = {"type": "object", "properties": {"topic": {"type": "string", "description": HOSTILE}}}
    second = {"type": "object", "properties": {**first["properties"], "grade": {"type": "integer", "default": 8}}}  # type: ignore[dict-item]  # an object
    name = "<b id=planted>"
    for definition in (first, second):
        await schemas.register(NewSchema(schema_name=name, schema_type="json_schema", platform="backend", definition=definition, compatibility="NONE"), runtime=layer.runtime)  # fmt: skip
    async with layer.page("/console/integration", viewport={"width": 390, "height": 844}) as page:
        assert await look(page, "/console/integration") == []
        await page.locator("#schemas a").click()
        await expect(page.locator(".diff .new").first).to_contain_text('"grade"')
        assert await page.locator(".diff .gone").count() == 0
        assert await look(page, page.url) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await serious(page) == []
        await page.get_by_role("link", name="1", exact=True).click()
        await expect(page.locator("main")).to_contain_text("1 of 2")
        await page.goto("/console/integration/schema?name=none&platform=backend")
        await expect(page.get_by_role("alert")).to_contain_text("no version")


async def test_lines_are_compared_within_bounds(layer: Site) -> None:
    assert layer.faults == []
    assert changed_lines({"a": 1}, {"a": 2}) == [
        ("left out", "…"),
        ("same", "{"),
        ("gone", '  "a": 1'),
        ("new", '  "a": 2'),
        ("same", "}"),
    ]
    assert changed_lines("a\nb", "a\nb") == []
    assert changed_lines("a\n" * 10_000, "b") is None
