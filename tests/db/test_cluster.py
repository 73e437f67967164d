"""The throw-away server that the other tests run on: what one file makes, another never gets."""

from __future__ import annotations

import psycopg

from agent.testing.cluster import Cluster


def one(conn: psycopg.Connection) -> None:
    conn.execute("create table public.one ()")


def other(conn: psycopg.Connection) -> None:
    conn.execute("create table public.other ()")


def tables(cluster: Cluster, template: str) -> list[str]:
    url = cluster.database(template).database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value()) as conn:
        return [
            str(row[0])
            for row in conn.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            )
        ]


def test_two_templates_of_one_name_are_two_databases(cluster: Cluster) -> None:
    first, second = cluster.template("same", one), cluster.template("same", other)
    assert tables(cluster, first) == ["one"]
    assert tables(cluster, second) == ["other"]
    assert cluster.template("same", one) == first
