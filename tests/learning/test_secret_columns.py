"""Which columns of a database count as secrets, as its catalogs and the settings say."""

from __future__ import annotations

import json

import psycopg

from agent.cli.commands.status import secrets_line
from agent.learning.auto_discover import auto_discovery
from agent.learning.discovery.secret_columns import secret_columns
from agent.runtime import Runtime, open_runtime
from agent.status import check_status

TABLES = """
create table public.clients (id bigint primary key, name text, portal_token text, note text, pin_code int);
comment on column public.clients.note is 'how they get in; never show it';
create domain public.secret_text as text;
create table public.vaults (id bigint, words public.secret_text, token_count int);
create table public.events (id bigint, ref text) partition by range (id);
create table public.events_1 partition of public.events for values from (0) to (100);
comment on column public.events_1.ref is 'confidential';
create table public.base (id bigint, label text);
comment on column public.base.label is 'keep it secret';
create table public.child (extra text) inherits (public.base);
create view public.plain as select id, name from public.clients;
create view public.renamed as select id, name, portal_token as t, length(portal_token) as n from public.clients;
create view public.deep as select t as u, name from public.renamed;
"""


def _admin(runtime: Runtime) -> psycopg.Connection:
    url = runtime.settings.database_url
    assert url is not None
    return psycopg.connect(url.get_secret_value(), autocommit=True)


async def test_the_catalogs_say_which_columns_are_secrets(runtime: Runtime) -> None:
    with _admin(runtime) as admin:
        admin.execute(TABLES)
        found = await secret_columns(runtime)
        assert found.names() == [
            "public.base.label", "public.child.label", "public.clients.note", "public.clients.portal_token",
            "public.events.ref", "public.vaults.words",
        ]  # fmt: skip
        secret = [("events_1", "ref"), ("renamed", "t"), ("deep", "u")]
        assert all(found.column("public", *one) for one in secret)
        open_ones = [("clients", "name"), ("plain", "name"), ("renamed", "n"), ("renamed", "id"), ("deep", "name")]
        assert not any(found.column("public", *one) for one in open_ones)
        assert found.column("", "clients", "portal_token")
        # of a relation that nobody has seen yet, the name decides
        assert found.column("public", "not_there", "api_key")
        assert not found.column("public", "not_there", "name")

        admin.execute("comment on column public.clients.name is 'never to be shown'")
        assert (await secret_columns(runtime)).column("public", "clients", "name")
        assert (await secret_columns(runtime)).column("public", "plain", "name")


async def test_the_settings_add_and_open_columns(runtime: Runtime) -> None:
    with _admin(runtime) as admin:
        admin.execute(TABLES)
    told = runtime.settings.model_copy(
        update={
            "secret_columns": "clients.name, events.ref",
            "open_columns": "*.portal_token, public.clients.note, events.ref",
        }
    )
    other = await open_runtime(told)
    try:
        found = await secret_columns(other)
        assert found.column("public", "clients", "name")
        assert not found.column("public", "clients", "portal_token")
        assert not found.column("public", "clients", "note")
        assert found.column("public", "events", "ref")
    finally:
        await other.close()


async def test_status_names_them_with_the_line_that_denies_them(runtime: Runtime) -> None:
    with _admin(runtime) as admin:
        admin.execute(TABLES)
    status = await check_status(runtime.settings.model_copy(update={"deny": "vaults"}))
    assert status.application is not None
    assert "public.clients.portal_token" in status.application.secrets
    line = status.application.deny_line
    assert line.startswith('AGENT_DENY="vaults, public.base.label, ')
    assert "public.vaults.words" not in line
    shown = secrets_line([f"public.t.token_{place}" for place in range(12)], line)
    assert shown.startswith("12 columns are masked: public.t.token_0, ")
    assert "and 2 more; to deny them altogether: AGENT_DENY=" in shown


async def test_discovery_shows_no_value_of_them(runtime: Runtime) -> None:
    with _admin(runtime) as admin:
        admin.execute(TABLES)
        admin.execute("insert into public.clients select n, 'x', 'tok', 'planted-note' from generate_series(1, 50) n")
        admin.execute(
            "alter table public.clients alter note set default 'planted-default', add check (note <> 'planted-check')"
        )
        admin.execute("analyze public.clients")
    structure = await auto_discovery.discover_app_structure(runtime=runtime)
    (clients,) = [table for table in structure["tables"] if table["name"] == "clients"]
    (note,) = [column for column in clients["columns"] if column["name"] == "note"]
    assert note["masked"]
    assert (note["values"], note["default"]) == ([], None)
    assert "planted-note" not in json.dumps(structure)
    assert "planted-default" not in json.dumps(structure)
