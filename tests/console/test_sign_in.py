"""Sign in with a key or an account, and what a form from elsewhere, a session that is over and a lower role come to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tests.console.conftest import Opened, Site

from agent.access import keys
from agent.approval.human_approval import human_approval_queue
from agent.execution.safe_executor import safe_executor
from agent.testing.served import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECRET = "the secret of a project, which signs its tokens"


class Project:
    """The part of a Supabase project that signs people in: one account, by password or by a mailed link."""

    def __init__(self) -> None:
        self.url = ""
        self.mailed: list[dict[str, Any]] = []
        self.refreshed: list[str] = []
        self.role, self.tenant = "approver", "default"
        self.answers: JSONResponse | None = None  # in place of what a project says to a refresh token

    def session(self) -> JSONResponse:
        now = int(time.time())
        user = {
            "id": "5f3c0f0e-0000-4000-8000-000000000001", "aud": "authenticated", "email": "ana@firm.example", "app_metadata": {}, "user_metadata": {},
            "created_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        claims = {
            "sub": user["id"], "email": user["email"], "iss": f"{self.url}/auth/v1", "aud": "authenticated", "exp": now + 3600,
            "app_metadata": {"tenant_id": self.tenant, "agent_role": self.role},
        }  # fmt: skip
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        return JSONResponse({
            "access_token": token, "token_type": "bearer", "expires_in": 3600, "expires_at": now + 3600, "refresh_token": f"refresh-{len(self.refreshed)}", "user": user,
        })  # fmt: skip

    async def token(self, request: Request) -> JSONResponse:
        body = await request.json()
        if request.query_params["grant_type"] == "refresh_token":
            if self.answers is not None:
                return self.answers
            if body["refresh_token"] != f"refresh-{len(self.refreshed)}":  # each works once
                return JSONResponse(
                    {"code": 400, "error_code": "refresh_token_already_used", "msg": "No"}, status_code=400
                )
            self.refreshed.append(body["refresh_token"])
            return self.session()
        by_password = request.query_params["grant_type"] == "password" and body.get("password") == "right"
        by_link = body.get("auth_code") == "the-code" and bool(body.get("code_verifier"))
        if by_password or by_link:
            return self.session()
        return JSONResponse({"code": 400, "error_code": "invalid_credentials", "msg": "Invalid"}, status_code=400)

    async def otp(self, request: Request) -> JSONResponse:
        self.mailed.append({**await request.json(), "to": request.query_params.get("redirect_to")})
        return JSONResponse({})


@asynccontextmanager
async def project() -> AsyncIterator[Project]:
    made = Project()
    app = Starlette(routes=[
        Route("/auth/v1/token", made.token, methods=["POST"]), Route("/auth/v1/otp", made.otp, methods=["POST"]),
    ])  # fmt: skip

    async def leave() -> None:
        """Nothing runs here."""

    app.state.leave = leave
    async with serving(app) as made.url:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def account() -> AsyncIterator[Project]:
    async with project() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(open_site: Opened, account: Project) -> Site:
    """Serve the console to whoever proves who they are."""
    return await open_site(
        api_auth="required",
        supabase_url=account.url,
        supabase_anon_key=SecretStr("anon"),
        supabase_jwt_secret=SecretStr(SECRET),
    )


async def sign_in(page: Page, secret: str) -> None:
    await page.get_by_label("API key").fill(secret)
    await page.get_by_role("button", name="Sign in").first.click()


async def waiting(site: Site, client: int) -> int:
    sql = f"update clients set notes = 'seen' where id = {client}"
    result = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False, runtime=site.runtime)
    return int(result["approval_id"])


async def test_a_key_signs_in_and_leads_to_where_one_was_going(guarded: Site) -> None:
    made = await keys.create("browser", role="viewer", runtime=guarded.runtime)
    async with guarded.page("/console/memory?kind=schema") as page:
        await expect(page).to_have_url(re.compile("/console/sign-in"))
        await sign_in(page, "agk_wrong")
        await expect(page.get_by_role("alert")).to_contain_text("not valid")
        await sign_in(page, made.secret)
        await page.wait_for_url("**/console/memory?kind=schema")
        # A viewer reads, and is offered nothing else.
        await page.goto("/console/approvals")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        cookies = {one["name"]: one for one in await page.context.cookies()}
        assert cookies["agent_session"]["httpOnly"]
        assert cookies["agent_session"]["sameSite"] == "Lax"
        assert made.secret not in str(cookies)
        await page.get_by_role("button", name="Sign out").click()
        await page.goto("/console/memory")
        await expect(page).to_have_url(re.compile("/console/sign-in"))


async def test_a_session_that_ends_in_the_middle_of_a_decision_decides_nothing_and_keeps_the_text(
    guarded: Site,
) -> None:
    number = await waiting(guarded, 11)
    made = await keys.create("approver", role="approver", runtime=guarded.runtime)
    async with guarded.page(f"/console/approvals/{number}") as page:
        await sign_in(page, made.secret)
        await page.wait_for_url(f"**/console/approvals/{number}")
        await page.keyboard.press("r")
        await page.keyboard.type("Only after the audit")
        await keys.revoke(made.key.id, runtime=guarded.runtime)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("nothing was done")
        assert (await human_approval_queue.get(number, runtime=guarded.runtime)).status == "pending"
        again = await keys.create("approver again", role="approver", runtime=guarded.runtime)
        await sign_in(page, again.secret)
        await page.wait_for_url(f"**/console/approvals/{number}")
        assert await page.input_value("input[name=comment]") == "Only after the audit"
        # A page that is open when its session ends says so by itself.
        await keys.revoke(again.key.id, runtime=guarded.runtime)
        await page.evaluate("refresh()")
        await expect(page.locator("#live-said")).to_contain_text("Your session is over")


async def test_an_account_signs_in_by_password_and_by_a_mailed_link(guarded: Site, account: Project) -> None:
    async with guarded.page("/console/approvals") as page:
        await page.get_by_label("E-mail").fill("ana@firm.example")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").nth(1).click()
        await expect(page.get_by_role("alert")).to_contain_text("did not accept")
        await page.get_by_label("E-mail").fill("ana@firm.example")
        await page.get_by_label("Password").fill("right")
        await page.get_by_role("button", name="Sign in").nth(1).click()
        await page.wait_for_url("**/console/approvals")
        await expect(page.locator(".who")).to_contain_text("ana@firm.example · approver")
    async with guarded.page("/console/alerts") as page, guarded.page() as other:
        await page.get_by_label("E-mail").fill("ana@firm.example")
        await page.get_by_role("button", name="Mail me a link").click()
        await expect(page.get_by_role("status")).to_contain_text("on its way")
        link = account.mailed[-1]["to"] + "&code=the-code"
        assert account.mailed[-1]["create_user"] is False
        await other.goto(link)  # of somebody who found the mail
        await expect(other.get_by_role("alert")).to_contain_text("in the browser in which you asked")
        await page.goto(link)
        await page.wait_for_url("**/console/alerts")


def later(site: Site, change: str) -> None:
    """Let time pass for the sessions of accounts, by changing their rows."""
    assert site.runtime.settings.database_url is not None
    with psycopg.connect(site.runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        conn.execute(f"update agents.console_sessions set {change} where refresh is not null".encode())


async def kept(site: Site) -> list[bytes]:
    assert site.runtime.settings.database_url is not None
    with psycopg.connect(site.runtime.settings.database_url.get_secret_value(), autocommit=True) as conn:
        found = conn.execute("select refresh from agents.console_sessions where refresh is not null").fetchall()
    return [bytes(row[0]) for row in found]


DUE = "checked_at = now() - interval '6 minutes'"
GONE = [(400, "refresh_token_not_found"), (403, "user_banned")]
AWAY = [
    JSONResponse({"code": 429, "error_code": "over_request_rate_limit", "msg": "slow down"}, status_code=429),
    JSONResponse({"msg": "broken"}, status_code=500),
    JSONResponse({"msg": "away"}, status_code=503),
]


@asynccontextmanager
async def signed_in(guarded: Site, account: Project) -> AsyncIterator[Page]:
    account.role, account.tenant, account.answers, account.refreshed = "approver", "default", None, []
    later(guarded, "expires_at = now()")
    async with guarded.page("/console/approvals") as page:
        await page.get_by_label("E-mail").fill("ana@firm.example")
        await page.get_by_label("Password").fill("right")
        await page.get_by_role("button", name="Sign in").nth(1).click()
        await page.wait_for_url("**/console/approvals")
        later(guarded, "expires_at = now() + interval '1 hour'")
        yield page
    account.answers = None


async def test_the_project_is_asked_again_whether_an_account_still_may(guarded: Site, account: Project) -> None:
    async with signed_in(guarded, account) as page:
        assert not any(b"refresh-" in one for one in await kept(guarded))  # a dump of the database signs nobody in
        await page.reload()
        assert account.refreshed == []  # not before it is due
        later(guarded, DUE)
        account.role = "viewer"
        answers = await asyncio.gather(*(page.request.get("/console/memory") for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
        assert account.refreshed == ["refresh-0"]  # one of them asked, for all of them
        await page.reload()
        await expect(page.locator(".who")).to_contain_text("ana@firm.example · viewer")
        later(guarded, DUE)
        await page.reload()
        assert account.refreshed == ["refresh-0", "refresh-1"]
        # An account that was moved to another tenant is another account.
        later(guarded, DUE)
        account.tenant = "elsewhere"
        await page.reload()
        await expect(page).to_have_url(re.compile("/console/sign-in"))
        assert await kept(guarded) == []


@pytest.mark.parametrize(("status", "code"), GONE)
async def test_an_account_that_is_disabled_or_removed_is_signed_out_in_the_middle_of_a_decision(
    guarded: Site, account: Project, status: int, code: str
) -> None:
    number = await waiting(guarded, 20 + status % 100)
    async with signed_in(guarded, account) as page:
        await page.goto(f"/console/approvals/{number}")
        account.answers = JSONResponse({"code": status, "error_code": code, "msg": "No"}, status_code=status)
        later(guarded, DUE)
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("status")).to_contain_text("nothing was done")
        assert (await human_approval_queue.get(number, runtime=guarded.runtime)).status == "pending"
        account.answers = None
        await page.goto("/console/approvals")  # it stays over
        await expect(page).to_have_url(re.compile("/console/sign-in"))


async def test_while_the_project_is_away_a_session_lasts_as_long_as_its_last_token(
    guarded: Site, account: Project
) -> None:
    async with signed_in(guarded, account) as page:
        for answer in AWAY:
            account.answers = answer
            later(guarded, DUE)
            await page.goto("/console/memory")
            await expect(page.locator(".who")).to_contain_text("ana@firm.example")
            later(guarded, "proven_until = now() - interval '1 second'")
            status = await page.goto("/console/memory")
            assert status
            assert status.status == 503
            await expect(page.get_by_role("alert")).to_contain_text("does not answer")
            account.answers = None
            later(guarded, DUE)  # half a minute later
            await page.goto("/console/memory")
            await expect(page.locator(".who")).to_contain_text("ana@firm.example")


async def test_a_form_from_elsewhere_decides_nothing(site: Site) -> None:
    number = await waiting(site, 12)
    path, form = f"/console/approvals/{number}/decision", {"decision": "approve"}
    async with httpx.AsyncClient(base_url=site.url) as client:
        shown = await client.get(f"/console/approvals/{number}")
        token = re.search(r'name="token" value="([^"]+)"', shown.text)
        assert token
        given = {**form, "token": token[1]}
        tries: list[tuple[dict[str, str], dict[str, str]]] = [
            (form, {}), ({**form, "token": "x.y"}, {}), (given, {"Sec-Fetch-Site": "cross-site"}), (given, {"Sec-Fetch-Site": "same-site"}),
            (given, {"Sec-Fetch-Site": "none"}), (given, {"Origin": "https://evil.example"}), (given, {"Origin": "null"}), (given, {"Cookie": "agent_form=other"}),
        ]  # fmt: skip
        for data, headers in tries:
            answer = await client.post(path, data=data, headers=headers)
            assert answer.status_code == 403, (data, headers, answer.status_code)
        assert (await client.post(path, json=given)).status_code == 422
        assert (
            await client.post(path, data={**given, "x": "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")})
        ).status_code in {303, 422}
    async with httpx.AsyncClient(base_url=site.url) as stranger:  # a token is of one browser
        assert (await stranger.post(path, data=given)).status_code == 403


async def test_a_forged_session_is_nobody_and_not_the_user_of_this_machine(site: Site, guarded: Site) -> None:
    for one in (site, guarded):
        for cookie in ("x", "ags_MRSWMYLVNR2A_" + "a" * 43, "agk_x_y", "ags__", "\xe9\xff"):
            async with httpx.AsyncClient(base_url=one.url) as client:
                answer = await client.get(
                    "/console/memory", headers={"Cookie": f"agent_session={cookie}".encode("latin-1")}
                )
            assert answer.status_code == 303, cookie
            assert answer.headers["location"].startswith("/console/sign-in?"), cookie


async def test_back_leads_to_the_console_only(guarded: Site) -> None:
    made = await keys.create("back", role="viewer", runtime=guarded.runtime)
    for aim in (
        "https://evil.example",
        "//evil.example",
        "/console\\..\\x",
        "javascript:alert(1)",
        "/docs",
        "/consoleevil",
    ):
        async with guarded.page(f"/console/sign-in?next={aim}") as page:
            await sign_in(page, made.secret)
            await page.wait_for_url(re.compile(r"/console$"))
