"""Servers that are not the embedded one: an application database apart, a replica, a server without pgvector, rights that
are missing, limits that are reached, and a server that dies in the middle of a turn.

Every refusal is one sentence that says what to do, and none of them holds a password or the secret.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.db import embedded, migrations, programs, setup
from agent.errors import AgentError, ConfigurationError, DatabaseUnavailable, OperatorError, SetupRequired
from agent.learning.auto_discover import auto_discovery
from agent.learning.schema_linking.linking import link_schema
from agent.runtime import Runtime, open_runtime, use_runtime
from agent.settings import Settings
from agent.testing.cluster import Cluster, throwaway_folder
from agent.testing.running import running
from agent.testing.scripted_model import call, scripted_client
from agent.threads import threads

SECRET = "the secret of the second server"
READ = call("execute_sql", sql="select count(*) as n from public.customers")
CHANGE = call("execute_sql", sql="update public.customers set state = 'closed' where id = 2")

APPLICATION = """
drop table if exists public.customers;
create table public.customers (id int primary key, name text not null, state text not null default 'open');
insert into public.customers select n, 'customer ' || n, 'open' from generate_series(1, 5) n;
"""


@contextmanager
def server(version: int = programs.VERSION, *, copy_of: str | None = None) -> Iterator[Path]:
    """A throw-away server of its own; with `copy_of` a read replica of the server at that URL, as it is now."""
    home = throwaway_folder("other")
    home.chmod(0o755)
    try:
        if copy_of is None:
            embedded.initialise(home, SECRET, version=version)
        else:
            folder = home / "postgres"
            folder.mkdir()
            programs.set_owner(folder, programs.account_for(home))
            folder.chmod(0o700)
            programs.run("pg_basebackup", ["-D", "postgres", "-d", copy_of, "-c", "fast", "-X", "stream"], home=home)
            (folder / "standby.signal").touch()
            for left in folder.glob(".s.PGSQL*"):  # the socket lies in the data folder
                left.unlink()
        embedded.ensure_running(home, version)
        yield home
    finally:
        embedded.halt(home, version)
        shutil.rmtree(home, ignore_errors=True)


def query(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement)
        return cursor.fetchall() if cursor.description else []


def scripted(runtime: Runtime, *script: Any, **options: Any) -> Runtime:
    return replace(runtime, model=scripted_client(list(script), **options), made={})


def secrets_of(settings: Settings) -> list[str]:
    """Every text that must not be in anything that is shown."""
    given = [settings.secret, settings.database_url, settings.app_database_url]
    texts = [value.get_secret_value() for value in given if value is not None]
    passwords = [
        psycopg.conninfo.conninfo_to_dict(text).get("password") for text in texts if text.startswith("postgres")
    ]
    return [*texts, *(str(password) for password in passwords if password)]


@pytest.fixture(scope="module")
def old_server() -> Iterator[str]:
    """The administrator's URL of a PostgreSQL 16."""
    with server(16) as home:
        yield embedded.admin_conninfo(home, SECRET, "postgres")


@pytest.fixture
async def apart(cluster: Cluster, old_server: str) -> AsyncIterator[Runtime]:
    """The agent's tables on one server, the application on an older one."""
    query(old_server, APPLICATION)
    settings = cluster.database(cluster.template("blank"), app_database_url=old_server)
    setup.set_up(settings)
    async with running(settings) as runtime:
        yield runtime


async def test_an_application_on_another_server_is_discovered_linked_and_asked(apart: Runtime, old_server: str) -> None:
    structure = await auto_discovery.discover_app_structure()
    assert [table["qualified"] for table in structure["tables"]] == ["public.customers"]
    linked = await link_schema("How many customers are there?")
    assert linked.tables == ("public.customers",)
    client = scripted_client([READ, "There are 5."])
    answer = await chat.answer("How many customers?", runtime=replace(apart, model=client, made={}))
    assert (answer.text, answer.sources["statements"][0]["row_count"]) == ("There are 5.", 1)
    assert "TABLE public.customers" in client.requests[0][0].text


async def test_an_approved_change_on_another_server_happens_once_and_is_logged_here(
    apart: Runtime, old_server: str
) -> None:
    runtime = scripted(apart, CHANGE, "Closed.")
    asked = await chat.answer("Close customer 2", thread_id="t", runtime=runtime)
    assert query(old_server, "select count(*) from public.customers where state = 'closed'") == [(0,)]
    await human_approval_queue.decide(asked.approvals[0].id, "approve", decided_by="boss")
    assert (await chat.finish("t", runtime=runtime)).text == "Closed."
    assert (await chat.finish("t", runtime=scripted(apart))).status in {"done", "waiting"}
    assert query(old_server, "select id from public.customers where state = 'closed'") == [(2,)]
    own = apart.settings.database_url.get_secret_value()
    log = "select approved_by, status, row_count from agents.agent_execution_log where approval_id is not null"
    assert query(own, log) == [("boss", "succeeded", 1)]
    assert query(old_server, "select to_regnamespace('agents')") == [(None,)]


async def test_a_rejected_change_on_another_server_does_not_happen(apart: Runtime, old_server: str) -> None:
    runtime = scripted(apart, CHANGE, "Not done.")
    asked = await chat.answer("Close customer 2", thread_id="t", runtime=runtime)
    await human_approval_queue.decide(asked.approvals[0].id, "reject")
    assert (await chat.finish("t", runtime=runtime)).text == "Not done."
    assert query(old_server, "select count(*) from public.customers where state = 'closed'") == [(0,)]


async def test_an_application_server_without_our_logins_says_to_set_them_up(cluster: Cluster) -> None:
    with server(16) as home:
        url = embedded.admin_conninfo(home, SECRET, "postgres")
        settings = cluster.database(cluster.template("blank"), app_database_url=url)
        with pytest.raises(OperatorError, match="agent setup") as caught:
            await open_runtime(settings)
    assert not [secret for secret in secrets_of(settings) if secret in str(caught.value)]


@pytest.fixture(scope="module")
def replica(cluster: Cluster) -> Iterator[Path]:
    """A read replica of the throw-away server, with everything that it holds by now."""
    cluster.template("blank")
    with server(copy_of=cluster.url("postgres")) as home:
        yield home


def on_replica(cluster: Cluster, home: Path, database: str) -> str:
    place = psycopg.conninfo.conninfo_to_dict(cluster.url(database))["host"]
    return cluster.url(database).replace(str(place), str(embedded.socket_folder(home)))


async def test_a_read_replica_is_refused_as_the_agents_own_database(cluster: Cluster, replica: Path) -> None:
    url = on_replica(cluster, replica, "blank")
    assert query(url, "select pg_is_in_recovery()") == [(True,)]
    with pytest.raises(DatabaseUnavailable, match="primary"):
        migrations.migrate(url)
    settings = cluster.settings("blank", database_url=url)
    with pytest.raises(DatabaseUnavailable, match="primary"):
        setup.set_up(settings)
    with pytest.raises(DatabaseUnavailable, match="primary") as caught:
        await open_runtime(settings)
    assert not [secret for secret in secrets_of(settings) if secret in str(caught.value)]


async def test_a_read_replica_as_the_application_is_read_after_asking_and_a_change_is_refused_in_words(
    cluster: Cluster, replica: Path
) -> None:
    settings = cluster.database("blank", app_database_url=on_replica(cluster, replica, "blank"))
    runtime = await open_runtime(settings)
    try:
        client = scripted_client(
            [
                call("execute_sql", sql="select 1 as one"),
                call("execute_sql", sql="create table public.x (a int)"),
                "So.",
            ]
        )
        answer = await chat.answer("Try", thread_id="t", runtime=replace(runtime, model=client, made={}))
        while answer.status == "waiting":
            await human_approval_queue.decide(answer.approvals[0].id, "approve", runtime=runtime)
            answer = await chat.finish("t", runtime=replace(runtime, model=client, made={}))
        assert answer.text == "So."
        assert '"rows": [[1]]' in client.requests[1][-1].text
        assert "read-only" in client.requests[2][-1].text
    finally:
        await runtime.close()


def test_a_server_without_pgvector_says_how_to_get_it(cluster: Cluster) -> None:
    hidden = f"{cluster.empty_database()}&options=-c%20extension_control_path%3D/nowhere"
    with pytest.raises(SetupRequired, match="pgvector") as caught:
        migrations.migrate(hidden)
    assert "APP_DATABASE_URL" in str(caught.value)


@pytest.fixture
def plain_user(cluster: Cluster) -> Iterator[Callable[[str], str]]:
    """The URL of a database for a user who has no right but to log in."""
    admin = cluster.url("postgres")
    query(admin, "create role plain login password 'plain-password-of-test'")
    yield lambda url: f"postgresql://plain:plain-password-of-test@{url.partition('@')[2]}"
    query(admin, "drop role plain")


def test_an_administrator_without_rights_is_told_what_a_real_one_must_do(
    cluster: Cluster, plain_user: Callable[[str], str]
) -> None:
    url = plain_user(cluster.empty_database())
    with pytest.raises(SetupRequired, match="may create schemas") as migrating:
        migrations.migrate(url)
    with pytest.raises(SetupRequired, match="--print-sql") as setting_up:
        setup.setup_logins(url, SECRET)
    assert "plain-password" not in f"{migrating.value}{setting_up.value}"


def test_no_connection_left_is_told_as_that(cluster: Cluster, plain_user: Callable[[str], str]) -> None:
    url = plain_user(cluster.empty_database())
    query(cluster.url("postgres"), "alter role plain connection limit 1")
    with psycopg.connect(url), pytest.raises(DatabaseUnavailable, match="no connection left"):
        migrations.migrate(url)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"password": "wrong-password"}, ConfigurationError, "refused the password"),
        ({"dbname": "no_such_database"}, ConfigurationError, "no such database"),
        ({"host": "127.0.0.1", "port": "1"}, DatabaseUnavailable, "Cannot reach"),
        ({"host": "no-such-host.invalid"}, DatabaseUnavailable, "Cannot reach"),
        ({"user": "nobody_knows_me"}, OperatorError, "nobody_knows_me"),
    ],
)
def test_an_administrators_url_that_does_not_work_says_what_to_correct(
    cluster: Cluster, change: dict[str, str], error: type[AgentError], told: str
) -> None:
    url = psycopg.conninfo.make_conninfo(cluster.empty_database(), **change)
    for operation in (migrations.migrate, lambda admin: setup.setup_logins(admin, SECRET)):
        with pytest.raises(error, match=told) as caught:
            operation(url)
        assert psycopg.conninfo.conninfo_to_dict(url)["password"] not in str(caught.value)


async def test_an_empty_database_is_answered_about_honestly(runtime: Runtime) -> None:
    structure = await auto_discovery.discover_app_structure()
    assert structure["tables"] == []
    answer = await chat.answer("How many customers are there?")
    assert answer.status == "done"
    assert answer.text
    assert not any(character.isdigit() for character in answer.text)  # no number was made up


@pytest.fixture
def dying(cluster: Cluster) -> Iterator[tuple[Settings, Path]]:
    """Settings of a server that a test may stop."""
    with server() as home:
        url = embedded.admin_conninfo(home, SECRET, "postgres")
        migrations.migrate(url)
        query(url, APPLICATION)
        setup.setup_logins(url, SECRET)
        yield (
            Settings(
                _env_file=None, home=home / "agent", database_url=url, secret=SECRET, user="tester", ask_from="LOW"
            ),
            home,
        )


async def test_a_connection_that_is_killed_in_a_turn_ends_it_in_words_and_the_next_works(
    dying: tuple[Settings, Path],
) -> None:
    settings, _ = dying
    url = settings.database_url.get_secret_value()
    runtime = await open_runtime(settings)

    def kill(messages: Any) -> Any:
        # The second number is how long, in milliseconds, its end is waited for.
        query(url, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename like 'agent_%'")
        return READ

    try:
        with use_runtime(runtime):
            answer = await chat.answer(
                "How many?", thread_id="t", runtime=scripted(runtime, READ, kill, "There are 5.")
            )
            assert answer.text == "There are 5."  # idle connections were lost, and replaced
            again = await chat.answer("Again?", thread_id="t", runtime=scripted(runtime, READ, "Still 5."))
            assert again.text == "Still 5."
    finally:
        await runtime.close()


async def test_a_server_that_stops_in_a_turn_fails_it_in_words_and_the_thread_works_when_it_is_back(
    dying: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.db.database.CONNECT_TIMEOUT", 1)  # what is tested is not the patience
    settings, home = dying
    runtime = await open_runtime(settings)

    def stop(messages: Any) -> Any:
        embedded.halt(home)
        return READ

    running = scripted(runtime, READ, stop, "Never.")
    try:
        with use_runtime(runtime):
            with pytest.raises(DatabaseUnavailable) as caught:
                await chat.answer("How many?", thread_id="t", runtime=running)
            assert not [secret for secret in secrets_of(settings) if secret in str(caught.value)]
            embedded.ensure_running(home)
            later = replace(running, model=scripted_client([READ, "There are 5."]))
            answer = await chat.answer("How many?", thread_id="t", runtime=later)
            assert answer.text == "There are 5."
            assert [turn["status"] for turn in await threads.turns("t")] == ["failed", "done"]
            log = query(
                settings.database_url.get_secret_value(),
                "select action, status from agents.agent_execution_log order by id desc limit 2",
            )
            assert log == [("answer", "succeeded"), ("execute_sql", "succeeded")]
    finally:
        await runtime.close()


async def test_a_server_that_stops_under_an_approved_change_has_done_all_of_it_or_nothing(
    dying: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.db.database.CONNECT_TIMEOUT", 1)
    settings, home = dying
    url = settings.database_url.get_secret_value()
    runtime = await open_runtime(settings)
    running = scripted(runtime, CHANGE, "Closed.")
    try:
        with use_runtime(runtime):
            asked = await chat.answer("Close customer 2", thread_id="t", runtime=running)
            await human_approval_queue.decide(asked.approvals[0].id, "approve")
            embedded.halt(home)
            with pytest.raises(DatabaseUnavailable):
                await chat.finish("t", runtime=running)
            embedded.ensure_running(home)
            assert query(url, "select count(*) from public.customers where state = 'closed'") == [(0,)]
            answer = await chat.finish("t", runtime=running)
            assert answer.text == "Closed."
            assert query(url, "select count(*) from public.customers where state = 'closed'") == [(1,)]
    finally:
        await runtime.close()


async def test_a_server_that_was_away_for_long_is_used_as_soon_as_it_is_back(
    dying: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.db.database.CONNECT_TIMEOUT", 1)
    settings, home = dying
    runtime = scripted(await open_runtime(settings), READ, "There are 5.", repeat_last=True)
    try:
        with use_runtime(runtime):
            await chat.answer("How many?", thread_id="t", runtime=runtime)
            embedded.halt(home)
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable, match="Cannot reach"):
                    await chat.answer("How many?", thread_id="t", runtime=runtime)
            embedded.ensure_running(home)
            assert (await chat.answer("How many?", thread_id="t", runtime=runtime)).text == "There are 5."
    finally:
        await runtime.close()
