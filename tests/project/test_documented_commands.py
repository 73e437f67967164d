"""Every command that README, docs and `--help` show is run: on the embedded database, and where it uses the application, on Debian's Postgres 15.

Where a command names a request, an execution, a thread or the like, the test makes one and names that.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from agent.approval.human_approval import human_approval_queue
from agent.cli.main import app
from agent.db import embedded
from agent.demo.application import fill_demo, load_demo
from agent.execution.safe_executor import safe_executor
from agent.settings import Settings
from agent.testing.cluster import throwaway_folder
from agent.testing.installed_server import InstalledServer
from agent.testing.running import running

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]
from tests.cases.created_tool_cases import proposal  # noqa: E402

FUNCTIONS = """
create schema shop;
create function public.net_price(p int) returns int language sql stable as 'select p * 2';
create function shop.net_price(p int) returns int language sql stable as 'select p * 2';
create function shop.rank(p int) returns int language sql stable as 'select p';
create function shop.rank(p text) returns int language sql stable as 'select 1';
"""


def documented() -> list[str]:
    """The commands, each once, without remarks."""
    found: dict[str, None] = {}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
            found |= dict.fromkeys(re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?(agent .*)$", block, re.MULTILINE))
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found |= {" ".join(one.split()): None for one in re.findall(r"`(?:\.venv/bin/)?(agent [^`]*)`", prose)}
    for epilogue in _epilogues(typer.main.get_command(app)):
        found |= dict.fromkeys(re.findall(r"^\s*(agent .*)$", epilogue.replace("\\[", "["), re.MULTILINE))
    parts = (part.strip() for line in found for part in re.split(r"&&|>", line.partition("  #")[0]))
    # Once for each form: another number is the same command.
    forms = {re.sub(r" (?:ID|\d+|3f2a91bc04de)\b", " ID", part): part for part in parts if part.startswith("agent ")}
    return sorted(forms.values())


def _epilogues(command: Any) -> Iterator[str]:
    yield command.epilog or ""
    for one in getattr(command, "commands", {}).values():
        yield from _epilogues(one)


@dataclass
class Place:
    """Where commands are run: their environment, and the application's database."""

    environment: Mapping[str, str]
    application: str
    folder: Path
    clients: Iterator[int] = field(default_factory=lambda: iter(range(5, 100)))
    made: dict[str, str] = field(default_factory=dict)

    def once(self, what: str, make: Callable[[], str]) -> str:
        """What a command that changes nothing can look at, made at its first use."""
        if what not in self.made:
            self.made[what] = make()
        return self.made[what]

    def run(self, *arguments: str, user: str = "tester", code: int | None = None, **more: str) -> Result:
        environment = {**self.environment, "AGENT_USER": user, **more}
        result = CliRunner().invoke(app, list(arguments), env=environment, input="", prog_name="agent")
        assert code is None or result.exit_code == code, (arguments, result.output)
        return result

    def json(self, *arguments: str, code: int = 0, **more: str) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, **more).stdout)

    @property
    def settings(self) -> Settings:
        apart = self.environment.get("APP_DATABASE_URL")
        return Settings(_env_file=None, home=self.environment["AGENT_HOME"], app_database_url=apart, user="tester")

    def own(self, statement: str) -> None:
        """Run a statement on the agent's own tables."""
        home = self.settings.home
        with psycopg.connect(embedded.start(home, embedded.read_or_make_secret(home)), autocommit=True) as conn:
            conn.execute(statement)

    def asked(self, *, sql: bool = False) -> str:
        """The number of a request that waits."""
        client = next(self.clients)
        question = (
            f"Set the monthly budget of client {client} to {1000 + client}"
            if sql
            else f"Set the status of client {client} to lead"
        )
        return str(self.json("chat", question, code=4)["approvals"][0]["id"])

    def executed(self) -> str:
        """The number of an approved change."""
        return str(self.json("approvals", "approve", self.asked())["result"]["execution_id"])

    def thread(self) -> str:
        return str(self.json("chat", "How many clients are there?")["thread_id"])

    def memory(self) -> str:
        self.run("chat", f"Remember: the number {time.monotonic()} is a fact", code=0)
        return str(self.json("memory", "list", "--kind", "fact")[0]["id"])

    def replaced(self) -> str:
        """The number of a memory whose place another one took."""
        code = next(self.clients)
        self.run("chat", f"Remember: code {code} means open", code=0)
        older = str(self.json("memory", "list", "--kind", "fact")[0]["id"])
        self.run("chat", f"Remember: code {code} means shut", code=0)
        return older

    def named(self) -> None:
        for name, role in (("ana", "admin"), ("bo", "approver"), ("tester", "admin")):
            self.run("people", "add", name, "--role", role, user="ana", code=0)

    def nobody_named(self) -> None:
        self.run("people", "remove", "--everybody", user="ana")

    def tool(self) -> str:
        """The tool open_orders in two versions."""

        async def make() -> None:
            async with running(self.settings):
                for code in ("return 2 * n", "return n + n"):
                    arguments = proposal("open_orders", code=f"def run(n: int) -> int:\n    {code}\n")
                    asked = await safe_executor.execute("create_new_tool", arguments, wait=False)
                    await human_approval_queue.decide(asked["approval_id"], "approve")
                    await safe_executor.run_approved(asked["approval_id"])

        asyncio.run(make())
        return "open_orders"


@pytest.fixture(scope="module")
def embedded_place() -> Iterator[Place]:
    with _folder() as (folder, environment):
        settings = Settings(_env_file=None, home=folder / "home")
        load_demo(settings)
        url = embedded.start(settings.home, embedded.read_or_make_secret(settings.home))
        yield _prepared(Place(environment, url, folder))


@pytest.fixture(scope="module")
def installed_place(installed_server: InstalledServer) -> Iterator[Place]:
    with _folder() as (folder, environment):
        url = installed_server.create("documented")
        here = Place({**environment, "APP_DATABASE_URL": url}, url, folder)
        here.run("setup", code=0)
        with psycopg.connect(url, autocommit=True) as conn:
            fill_demo(conn)
        yield _prepared(here)


@contextmanager
def _folder() -> Iterator[tuple[Path, Mapping[str, str]]]:
    # Not in pytest's own folder, which each other run of pytest closes to the server's user.
    folder = throwaway_folder("commands")
    folder.chmod(0o755)
    environment = {
        "AGENT_HOME": str(folder / "home"),
        "COLUMNS": "200",
        "AGENT_ASK_FROM": "LOW",
        "AGENT_APPROVAL_TIMEOUT": "600",
    }
    try:
        yield folder, environment
    finally:
        embedded.halt(folder / "home")
        shutil.rmtree(folder, ignore_errors=True)


def _prepared(place: Place) -> Place:
    with psycopg.connect(place.application, autocommit=True) as conn:
        conn.execute(FUNCTIONS)
    place.run("setup", code=0)
    place.run("migrate", code=0)
    return place


def _approval(place: Place, words: list[str]) -> list[str]:
    verb = words[1] if len(words) > 1 else "list"
    if verb in {"list", "watch"} or verb.startswith("-"):
        return words
    # A number says which constant of a statement is free, a name which argument.
    sql = "--sql" in words or any(word == "--free" and after.isdigit() for word, after in pairwise(words))
    number = place.once("request", place.asked) if verb == "show" else place.asked(sql=sql)
    if verb == "reopen":
        place.own(f"update agents.human_approval_queue set expires_at = now() where id = {number}")
    if verb == "delegate":
        place.named()
    return [*words[:2], number, *words[3:]]


def _execution(place: Place, words: list[str]) -> list[str]:
    if words[1:2] == ["settle"]:
        number = place.executed()
        place.own(f"update agents.agent_execution_log set status = 'unknown' where id = {number}")
        return ["executions", "settle", number, *(words[3:] or ["--happened"])]
    if len(words) < 3 or words[2] not in {"31", "ID"}:
        return words
    return [*words[:2], place.once("execution", place.executed), *words[3:]]


def _person(place: Place, words: list[str]) -> list[str]:
    if words[1:2] == ["remove"]:
        place.named()
    elif words[1:3] == ["add", "bo"]:
        place.run("people", "add", "ana", "--role", "admin", user="ana", code=0)
    return words


def _break_glass(place: Place, words: list[str]) -> list[str]:
    place.named()
    return words if len(words) > 1 else [*words, "incident 7"]


def _audit(place: Place, words: list[str]) -> list[str]:
    place.once("entry", place.executed)
    if words == ["audit", "export"]:
        return [*words, "monday.json"]
    if "--anchor" in words:
        place.run("audit", "export", "monday.json", "--overwrite", code=0)
    return words


def _file(place: Place, words: list[str]) -> list[str]:
    words = words if len(words) > 1 else [*words, "monday.dump"]
    if words[0] == "restore":
        place.run("backup", words[1], "--overwrite", code=0)
    return words


def _chat(place: Place, words: list[str]) -> list[str]:
    names = {"[QUESTION]": "How many clients are there?"}
    if "--thread" in words:
        names |= dict.fromkeys(("3f2a91bc04de", "ID"), place.once("thread", place.thread))
    return [names.get(one, one) for one in words]


def _tool(place: Place, words: list[str]) -> list[str]:
    if len(words) > 2 and not words[2].startswith("-"):
        place.once("tool", place.tool)
        if words[1] == "rollback":
            place.tool()
        if words[1] == "enable":
            place.run("tools", "disable", "open_orders")
    return words


def _function(place: Place, words: list[str]) -> list[str]:
    if words[1:2] == ["revoke"]:
        place.run("functions", "trust", words[2], code=0)
    return words


def _sync(place: Place, words: list[str]) -> list[str]:
    """Make the channel, the agent and what is asked about them, as the examples before would have."""
    place.once("channel", lambda: _sync_begins(place))
    if words[1:2] == ["release"]:
        place.run("sync", "create", "nightly", "--strategy", "manual", code=0)
    if words[1:2] == ["resolve"]:
        place.run("sync", "snapshot", "seo-2", '{"progress": 75}', code=0)
        met = place.json("sync", "reconcile", "seo-2", '{"progress": 80}', "--strategy", "manual")
        return ["sync", "resolve", str(met["conflicts"][0]["conflict_id"]), *words[3:-1], str(met["version"])]
    if words[1:2] == ["diff"]:
        newest = place.json("sync", "snapshots", "seo-1")[0]["version"]
        return [*words[:3], str(newest - 1), *words[4:]]
    return words


def _sync_begins(place: Place) -> str:
    place.run("sync", "create", "seo-agents", code=0)
    place.run("sync", "subscribe", "seo-agents", "seo-1", code=0)
    for progress in ("10", "75"):
        place.run("sync", "snapshot", "seo-1", f'{{"progress": {progress}}}', code=0)
    return "seo-agents"


def _analytics(place: Place, words: list[str]) -> list[str]:
    """Log runs, as the examples before would have, and train twice before the older version is asked for."""
    place.once("runs", lambda: _analytics_begins(place))
    if words[1:2] == ["rollback"]:  # the example before it has deleted the runs
        _analytics_begins(place)
        place.run("analytics", "train", code=0)
    return words


def _analytics_begins(place: Place) -> str:
    place.own(
        "select set_config('request.jwt.claims', '{\"tenant_id\": \"default\"}', false);"
        " insert into agents.execution_log (agent_name, task_id, task_type, execution_time, success)"
        " select 'director', gen_random_uuid(), 'planning', 1 + n / 10.0, n % 4 > 0 from generate_series(1, 40) n"
    )
    place.run("analytics", "train", code=0)
    return "director"


def _key(place: Place, words: list[str]) -> list[str]:
    made = place.json("keys", "create", "--name", "to-revoke")
    return [str(made["key"]["id"]) if word == "3" else word for word in words]


def _alert(place: Place, words: list[str]) -> list[str]:
    def found() -> str:
        place.run("monitor", "--once", code=0)
        return str(place.json("alerts", "list")[0]["id"])

    return [place.once("alert", found) if one in {"ID", "3"} else one for one in words]


def _plan(place: Place, words: list[str]) -> list[str]:
    """Run the plans that are shown, replayed and cancelled, and write the file that is run."""
    place.once("plans", lambda: _plans_run(place))
    if words[1:2] == ["unschedule"]:
        place.run(
            "plans",
            "schedule",
            words[2],
            "parallel-analysis",
            "-p",
            "learnerId=ana",
            "--cron",
            "0 6 * * *",
            "--time-zone",
            "Europe/Berlin",
            code=0,
        )
    return [str(place.folder / one) if one == "plan.json" else one for one in words]


def _plans_run(place: Place) -> str:
    for template in ("learning-session", "ask-with-fallback"):
        place.run("plans", "run", template, "-p", "learnerId=ana", code=0)
    place.run("plans", "replay", "learning-session-ana", "--from", "feedback", code=0)  # its newest run can be compared
    plan = place.json("plans", "templates", "parallel-analysis", "-p", "learnerId=ana")
    (place.folder / "plan.json").write_text(json.dumps(plan))
    return "learning-session-ana"


def _improvement(place: Place, words: list[str]) -> list[str]:
    """Name a session, a campaign, a configuration or a change that is there; only one whose evidence holds can be applied."""
    group, verb = [*words[1:], "", ""][:2]
    if verb == "import":
        place.run("improve", "research", "export", words[3], code=0)

    def made() -> str:
        if group == "sessions":
            return str(place.json("improve", "sessions", "start", "seo-1")["session_id"])
        patterns = place.json("improve", "research", "launch", "workflows")
        if group == "research":
            return str(place.json("improve", "research", "list")[0]["campaign_id"])
        if group == "configs":
            return str(place.json("improve", "configs", "generate", "seo_workflow")["config_id"])
        pattern = str(patterns[0]["pattern_id"])
        return (
            pattern
            if verb == "propose"
            else str(place.json("improve", "optimizations", "propose", pattern)["optimization_id"])
        )

    return [made() if one == "ID" else one for one in words]


PREPARED: Mapping[str, Callable[[Place, list[str]], list[str]]] = {
    "approvals": _approval, "executions": _execution, "people": _person, "audit": _audit, "backup": _file, "restore": _file, "chat": _chat,
    "tools": _tool, "functions": _function, "break-glass": _break_glass, "sync": _sync, "plans": _plan, "analytics": _analytics, "improve": _improvement,
    "keys": _key,
    "messaging": lambda place, words: [_route(place) if one == "3" else one for one in words],
    "alerts": _alert,
    "undo": lambda place, words: ["undo", place.executed(), *words[2:]],
    "threads": lambda place, words: [_thread(place, words) if one == "3f2a91bc04de" else one for one in words],
    "memory": lambda place, words: [_memory_word(place, words, one) for one in words],
    "permissions": lambda place, words: [_permission(place) if one == "3" else one for one in words],
    "assess": lambda _place, words: ["select 1" if one == "SQL" else one for one in words],
}  # fmt: skip


def _thread(place: Place, words: list[str]) -> str:
    return place.thread() if "delete" in words else place.once("thread", place.thread)


def _memory_word(place: Place, words: list[str], word: str) -> str:
    if word == "memories.jsonl":
        file = place.folder / f"{words[1]}-{word}"
        file.unlink(missing_ok=True)
        if "import" in words:
            place.run("memory", "export", str(file), "--overwrite", code=0)
        return str(file)
    return _memory(place, words) if word == "12" else word


def _memory(place: Place, words: list[str]) -> str:
    if "restore" in words:
        return place.replaced()
    if "release" in words:
        number = place.memory()
        place.run("memory", "quarantine", number, code=0)
        return number
    return place.memory() if "forget" in words else place.once("memory", place.memory)


def _route(place: Place) -> str:
    return str(place.json("messaging", "route", "add", "slack", "C1")["id"])


def _permission(place: Place) -> str:
    return str(place.json("approvals", "approve", place.asked(), "--always", "8h")["permission"]["id"])


def _expected(words: list[str], place: Place) -> set[int]:
    if words[0] == "undo":
        return {4}  # it waits for a human
    if words[:3] == ["improve", "optimizations", "apply"]:
        return {4}  # nothing is proven there
    if words[:3] == ["improve", "optimizations", "search"]:
        return {5} if "model" in words else {2}  # the built-in model drafts nothing; nothing better is found there
    if words[0] == "demo" and "APP_DATABASE_URL" in place.environment:
        return {5}  # it plays in the embedded database only
    return {0}


# The server of the application changes nothing about these: they answer from the agent's own tables, or start a process.
_ONCE = {
    "alerts", "analytics", "audit", "break-glass", "keys", "improve", "integration", "mcp", "memory", "messaging", "people", "plans",
    "serve", "sync", "threads", "worker",
}  # fmt: skip


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_works(embedded_place: Place, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _works(embedded_place, command, monkeypatch)


@pytest.mark.parametrize("command", [one for one in documented() if one.split()[1] not in _ONCE])
def test_a_documented_command_works_on_an_installed_server(
    installed_place: Place, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _works(installed_place, command, monkeypatch)


def _works(place: Place, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.folder / "here"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    monkeypatch.chdir(folder)
    words = shlex.split(command, comments=True)[1:]
    if words[:2] == ["approvals", "watch"]:
        _watched(place, words)
        return
    if words[0] in {"serve", "worker"} or words[:2] == ["mcp", "--http"] or words == ["monitor"]:
        _served(place, words)
        return
    if words == ["mcp"]:  # the client closes its end at once
        program = [sys.executable, "-m", "agent.cli.main", *words]
        subprocess.run(
            program, env={"PATH": os.environ["PATH"], **place.environment}, stdin=subprocess.DEVNULL, check=True
        )
        return
    prepare = PREPARED.get(words[0], lambda _place, same: same)
    words = prepare(place, words)
    secret = {"AGENT_SECRET": embedded.read_or_make_secret(place.settings.home)} if "--print-sql" in words else {}
    try:
        done = place.run(
            *words, user="bo" if "delegate" in words else "ana" if words[0] == "people" else "tester", **secret
        )
        assert done.exit_code in _expected(words, place), done.output
        assert done.output or words[0] == "chat"
        assert "Unexpected" not in done.output
        assert "psycopg" not in done.output
        if "--json" in words and done.exit_code == 0:
            json.loads(done.stdout)
    finally:
        if words[0] in {"people", "break-glass"} or "delegate" in words:
            place.run("break-glass", "--end", code=0)
            place.nobody_named()
        if "--always" in words:  # what comes later is to be asked about
            place.own("update agents.permissions set revoked_at = now() where revoked_at is null")
        if words[0] == "stop":
            place.run("resume", code=0)


def _watched(place: Place, words: list[str]) -> None:
    """Run what goes on until Ctrl-C."""
    place.asked()
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **place.environment}
    program = [sys.executable, "-m", "agent.cli.main", *words]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "psycopg" not in told


def _served(place: Place, words: list[str]) -> None:
    """Run a process that works until it is told to end; it says so in one line."""
    words = [
        *(word for word in words if word not in {"--port", "9000", "9100"}),
        *(["--port", "0"] if words[0] in {"serve", "mcp"} else []),
    ]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **place.environment}
    program = [sys.executable, "-m", "agent.cli.main", *words, "--json"]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "psycopg" not in told


def test_every_command_has_an_example_that_is_run() -> None:
    shown = [shlex.split(command, comments=True)[1:] for command in documented()]
    for group, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        for name in getattr(command, "commands", {}) or [""]:
            path = [group, name] if name else [group]
            bare = [group] if name == "list" else path
            assert any(words[: len(path)] == path or words == bare for words in shown), path
