"""The bridge to Studio, with a Studio that has the plugin's rules and Roblox's limit of requests."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import agent.integration.studio.scripts as scripts
from agent.access import keys
from agent.errors import InvalidInput
from agent.integration import integration_manager
from agent.runtime import Runtime
from agent.settings import Settings
from agent.testing.running import running
from agent.testing.served import served
from agent.testing.studio import FakeStudio

STUDIO = "/api/v1/integration/studio"
MAIN = "ServerScriptService/Main"


async def do(runtime: Runtime, task: str, **parameters: Any) -> Any:
    return await integration_manager.execute("studio_bridge", task, parameters, runtime=runtime)


async def paired(http: Any, **options: Any) -> FakeStudio:
    studio = FakeStudio(str(http.base_url), **options)
    code = (await http.post(f"{STUDIO}/pairings", json={})).json()["code"]
    assert (await studio.pair(code)).status_code == 200
    second = FakeStudio(str(http.base_url))
    assert (await second.pair(code)).status_code == 401  # a code works once
    await second.close()
    return studio


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "poll"])
async def test_a_deployment_reaches_studio_and_is_verified(runtime: Runtime, stream: bool) -> None:
    async with served(runtime) as http:
        with pytest.raises(InvalidInput, match="pairings"):
            await do(runtime, "deploy_to_studio", scripts=[{"path": MAIN, "source": "x"}])
        studio = await paired(http)
        many = [{"path": f"{MAIN}{n}", "source": f"print({n})\n"} for n in range(300)]
        prepared = await do(runtime, "prepare_scripts", scripts=many)
        sent = await do(runtime, "deploy_to_studio", scripts=prepared["scripts"])
        assert (await do(runtime, "verify_deployment", deployment_id=sent["deployment_id"], wait_seconds=0))[
            "status"
        ] == "sent"
        studio.follow(stream=stream)  # Studio was closed when it was sent
        verified = await do(runtime, "verify_deployment", deployment_id=sent["deployment_id"])
        assert (verified["status"], verified["verified"]) == ("applied", True)
        assert studio.scripts == {one["path"]: one["source"] for one in many}
        assert [len(step) for step in studio.undo_steps] == [300]  # one step for undo
        assert len([one for one in studio.requests if "deployments" in one]) == 2
        # The same again is applied once, and data arrives as a module.
        module = await do(runtime, "sync_to_roblox", name="lesson:1", content={"title": 'a"\n', "end": [1, None, True]})
        await do(runtime, "verify_deployment", deployment_id=module["deployment_id"])
        assert '["end"] = {' in studio.scripts["ReplicatedStorage/AgentContent/lesson_1"]
        assert len(studio.undo_steps) == 2
        await studio.close()
    await integration_manager.shutdown(runtime=runtime)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "poll"])
async def test_ten_scripts_that_change_all_the_time_stay_below_roblox_s_limit(runtime: Runtime, stream: bool) -> None:
    async with served(runtime) as http:
        code = (await http.post(f"{STUDIO}/pairings", json={})).json()["code"]
        studio = FakeStudio(str(http.base_url), limit=50, seconds=6.0)  # as many as 500 in a minute
        await studio.pair(code)
        studio.follow(stream=stream)
        sent: list[str] = []

        async def keep_changing(number: int) -> None:
            for version in range(20):
                script = {"path": f"{MAIN}{number}", "source": f"-- {version}"}
                sent.append((await do(runtime, "deploy_to_studio", scripts=[script]))["deployment_id"])
                await asyncio.sleep(0.2)

        await asyncio.gather(*(keep_changing(number) for number in range(10)))
        for one in sent:
            assert (await do(runtime, "verify_deployment", deployment_id=one))["status"] == "applied"
        assert studio.scripts == {f"{MAIN}{number}": "-- 19" for number in range(10)}
        await studio.close()
    assert len(sent) == 200
    await integration_manager.shutdown(runtime=runtime)


async def test_what_is_in_studio_is_asked_about_or_kept_beside_and_never_lost(runtime: Runtime) -> None:
    async with served(runtime) as http:
        studio = await paired(http, confirm=lambda path: path != MAIN)
        studio.scripts |= {MAIN: "mine", "ServerScriptService/Other": "also mine"}
        studio.follow()
        both = [{"path": MAIN, "source": "v1"}, {"path": "ServerScriptService/Other", "source": "v1"}]

        async def deployed(*given: dict[str, Any]) -> Any:
            sent = await do(runtime, "deploy_to_studio", scripts=list(given))
            return await do(runtime, "verify_deployment", deployment_id=sent["deployment_id"])

        first = await deployed(*both)
        assert {one["path"]: one["status"] for one in first["results"]} == {
            MAIN: "declined",
            "ServerScriptService/Other": "applied",
        }
        assert (first["status"], studio.scripts[MAIN]) == ("partly", "mine")
        studio.scripts["ServerScriptService/Other"] = "changed in Studio"
        second = await deployed({"path": "ServerScriptService/Other", "source": "v2"})
        assert second["results"][0]["status"] == "kept_both"
        assert studio.scripts["ServerScriptService/Other"] == "changed in Studio"
        assert studio.scripts["ServerScriptService/Other_incoming"] == "v2"
        assert studio.asked == [MAIN, "ServerScriptService/Other"]
        # The other way: what was changed in Studio is a new version here, unless somebody was faster here.
        assert (await studio.push("ServerScriptService/Other"))["version"] == 3
        await http.put(f"{STUDIO}/script/ServerScriptService/Other", json={"source": "v4", "expected_version": 3})
        studio.scripts["ServerScriptService/Other"] = "again"
        conflict = await studio.push("ServerScriptService/Other")
        assert (conflict["status"], conflict["source"]) == ("conflict", "v4")
        versions = (await http.get(f"{STUDIO}/versions/ServerScriptService/Other")).json()
        assert [one["source"] for one in versions] == ["v4", "changed in Studio", "v2", "v1"]
        restored = await http.post(f"{STUDIO}/versions/ServerScriptService/Other", json={"version": 1})
        assert (restored.json()["version"], restored.json()["source"]) == (5, "v1")
        stale = await http.put(
            f"{STUDIO}/script/ServerScriptService/Other", json={"source": "x", "expected_version": 3}
        )
        assert stale.status_code == 409
        await studio.close()
    await integration_manager.shutdown(runtime=runtime)


async def test_a_plugin_sees_only_what_is_its_own_and_pages_see_nothing(runtime: Runtime) -> None:
    other = (await keys.create("o", role="admin", runtime=runtime.for_tenant("b"))).secret
    async with served(runtime) as http:
        studio = await paired(http)
        stranger = FakeStudio(str(http.base_url))
        code = (await http.post(f"{STUDIO}/pairings", json={}, headers={"Authorization": f"Bearer {other}"})).json()[
            "code"
        ]
        await stranger.pair(code)
        sent = await do(runtime, "deploy_to_studio", scripts=[{"path": MAIN, "source": "secret text"}])
        for client, status in ((stranger._client, 404), (studio._client, 200)):
            answer = await client.get(f"{STUDIO}/plugin/deployments")
            assert ("secret text" in answer.text) == (status == 200)
            told = {"deployments": [sent["deployment_id"]], "results": [{"path": MAIN, "status": "declined"}]}
            assert (await client.post(f"{STUDIO}/plugin/deployments", json=told)).status_code == status
        page = await studio._client.get(f"{STUDIO}/plugin/poll", headers={"Origin": str(http.base_url)})
        assert page.status_code == 403
        assert (await studio._client.get(f"{STUDIO}/plugin/poll", headers={"Host": "evil.example"})).status_code == 421
        assert (await http.get(f"{STUDIO}/plugin/poll")).status_code == 401  # a caller of this machine is no plugin
        wrong = [(await stranger.pair(f"{code[:-1]}{letter}")).status_code for letter in "23456789" * 3]
        assert (set(wrong[:10]), wrong[-1]) == ({401}, 429)  # codes cannot be tried out
        # Messages are kept, and errors told to other agents; a pairing that ended is refused at once.
        assert (await studio.say("error", "Main:3: attempt to index nil")).json() == {"kept": 1}
        assert (await http.get(f"{STUDIO}/messages")).json()[0]["text"].startswith("Main:3")
        (session,) = (await http.get(f"{STUDIO}/sessions")).json()
        await http.delete(f"{STUDIO}/sessions/{session['session_id']}")
        assert (await studio.say("info", "x")).status_code == 401
        for one in (studio, stranger):
            await one.close()
    await integration_manager.shutdown(runtime=runtime)


async def test_an_asset_is_handed_to_open_cloud_once_and_again_after_it_was_away(settings: Settings) -> None:
    got: list[str] = []
    away = True

    async def create(request: web.Request) -> web.Response:
        nonlocal away
        if away:
            away = False
            return web.Response(status=503)
        form = await request.post()
        got.append(f"{request.headers['x-api-key']} {form['request']}")
        return web.json_response({"path": "operations/op1", "done": False})

    async def operation(request: web.Request) -> web.Response:
        return web.json_response({"done": True, "response": {"assetId": "42"}})

    application = web.Application()
    application.router.add_post("/assets/v1/assets", create)
    application.router.add_get("/assets/v1/operations/op1", operation)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    more = Settings(
        _env_file=None, studio_open_cloud_url=f"http://127.0.0.1:{runner.addresses[0][1]}", studio_open_cloud_key="k", studio_creator="group:7",
    )  # fmt: skip
    names = ("studio_open_cloud_url", "studio_open_cloud_key", "studio_creator")
    changed = settings.model_copy(update={name: getattr(more, name) for name in names})
    async with running(changed) as runtime:
        picture: dict[str, Any] = {"name": "logo", "asset_type": "Image", "content": base64.b64encode(b"png").decode()}
        with pytest.raises(Exception, match="503"):
            await do(runtime, "upload_asset", **picture)
        for _ in range(2):
            assert (await do(runtime, "upload_asset", **picture))["asset_id"] == "42"
        await integration_manager.shutdown(runtime=runtime)
    await runner.cleanup()
    assert len(got) == 1
    assert '"groupId": "7"' in got[0]


@pytest.mark.parametrize(
    "given",
    [
        {"path": "Main", "source": ""}, {"path": "a/../b", "source": ""}, {"path": "a/b\n", "source": ""}, {"path": "a//b", "source": ""},
        {"path": MAIN, "source": "x" * 200_000}, {"path": MAIN, "source": 1}, {"path": MAIN, "source": "", "kind": "Model"}, 3,
    ],
    ids=range(8),
)  # fmt: skip
def test_a_script_that_studio_could_not_hold_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput):
        scripts.checked(given)


PARSE = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { Config, LuaVersion, OutputVerification, formatCode } = createRequire(process.argv[2])("@johnnymorganz/stylua");
for (const file of process.argv.slice(3)) {
  const config = Config.new();
  config.syntax = LuaVersion.Luau;
  formatCode(readFileSync(file, "utf8"), config, undefined, OutputVerification.None);
}
console.log("parsed");
"""


def test_the_plugin_and_written_data_are_luau(npm: Callable[..., Path], tmp_path: Path) -> None:
    """A formatter's parser of Luau reads them; nothing here runs them."""
    folder = npm("@johnnymorganz/stylua")
    (tmp_path / "parse.mjs").write_text(PARSE, encoding="utf-8")
    hostile = {"]]": "]] \\", "end": ["\u2028", 1e300, -0.5, None], "": {}, "\n": "${x}`"}
    (tmp_path / "data.luau").write_text(scripts.as_module("x", hostile).source or "", encoding="utf-8")
    plugin = Path(scripts.__file__).parent / "plugin" / "AgentBridge.luau"

    def parsed(*files: Path) -> bool:
        command = ["node", str(tmp_path / "parse.mjs"), str(folder / "package.json"), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stderr)
        return done.stdout == "parsed\n"

    assert parsed(plugin, tmp_path / "data.luau")
    (tmp_path / "wrong.luau").write_text("local x = = 1", encoding="utf-8")
    assert not parsed(tmp_path / "wrong.luau")


def test_data_stays_data_in_luau() -> None:
    hostile = {'x"]=os.exit()--': ']]\n\\" .. os.exit() .. "', "end": float("nan"), "a-b": "é\u202e\x00", "deep": [{}]}
    text = scripts.luau(hostile)
    assert '["x\\"]=os.exit()--"] = "]]\\n\\\\\\" .. os.exit() .. \\""' in text
    assert "\u202e" not in text
    assert '["end"] = nil' in text
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    with pytest.raises(InvalidInput):
        scripts.luau(deep)
