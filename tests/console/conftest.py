"""Serve the console on the demonstration application, and look at it in a real Chromium: one of each for a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from agent.console.application import create_app
from agent.demo.application import fill_demo
from agent.runtime import Runtime, open_runtime
from agent.testing.cluster import Cluster
from agent.testing.scripted_model import Step, scripted_client
from agent.testing.served import serving

expect.set_options(timeout=20_000)  # ms: a machine may be busy
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Read before a test's own fixture clears the environment.
_REQUIRED = os.environ.get("AGENT_TEST_REQUIRE", "").split(",")
# What a page of ours has: its own script, and nothing that the policy had to stop.
_WATCH = """
window.reports = [];
document.addEventListener("securitypolicyviolation", e => window.reports.push(`${e.violatedDirective}: ${e.blockedURI} ${e.sample}`));
window.alert = window.confirm = window.prompt = () => { window.reports.push("a dialog was opened"); };
"""


@dataclass(slots=True)
class Site:
    """A served console, and contexts of a browser that look at it."""

    runtime: Runtime
    url: str
    browser: Browser
    faults: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def context(self, **options: Any) -> AsyncIterator[BrowserContext]:
        """Open a context of its own cookies; what goes wrong in its pages is in `faults`."""
        context = await self.browser.new_context(
            base_url=self.url, **{"viewport": {"width": 1280, "height": 800}, **options}
        )
        context.set_default_timeout(15_000)
        await context.add_init_script(_WATCH)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        try:
            yield context
        finally:
            await context.close()

    @asynccontextmanager
    async def page(self, path: str = "/console", **options: Any) -> AsyncIterator[Page]:
        """Open a page in a context of its own."""
        async with self.context(**options) as context:
            page = await context.new_page()
            await page.goto(path)
            yield page


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """Start Debian's Chromium. Where there is none, a printed line says what did not run."""
    if CHROMIUM is None:
        reason = "Not run: the console in a browser, no Chromium (apt-get install chromium)."
        if "chromium" in _REQUIRED:
            pytest.fail(reason)
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{reason}")
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


Opened = Callable[..., Awaitable[Site]]


@asynccontextmanager
async def _opening(browser: Browser, cluster: Cluster) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def opened(*, script: Sequence[Step] | None = None, **update: Any) -> Site:
            settings = cluster.database(cluster.template("demo", fill_demo)).model_copy(update=update)
            runtime = await open_runtime(settings, model=scripted_client(script) if script else None)
            stack.push_async_callback(runtime.close)
            return Site(
                runtime=runtime,
                url=await stack.enter_async_context(serving(create_app(runtime, jobs=False))),
                browser=browser,
            )

        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_site(browser: Browser, cluster: Cluster) -> AsyncIterator[Opened]:
    """Return a function that serves a fresh copy of the demonstration application with other settings, or a model with a script.

    Its sites end with the module: each holds connections.
    """
    async with _opening(browser, cluster) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(browser: Browser, cluster: Cluster) -> AsyncIterator[Site]:
    """Serve the demonstration application to this machine, where nobody signs in."""
    async with _opening(browser, cluster) as opened:
        yield await opened(environment="staging")
