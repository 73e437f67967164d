"""Run a throw-away server that is set up like a Supabase project: its roles, schemas, grants, functions and event triggers.

The administrator's URL connects as `postgres`, which is no superuser there. Unlike the hosted product it has no supautils, so
event triggers, and policies on auth and storage, are created as `supabase_admin`.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent.db import load_queries
from agent.testing.cluster import Cluster

_QUERIES = load_queries(__package__, "supabase.sql")
_RENAMING = "learning_agent_renaming"


class SupabaseCluster(Cluster):
    """A `Cluster` whose databases begin like a Supabase project. Roles belong to a server, so it has a server of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._password = str(conninfo_to_dict(self._admin)["password"])
        self._demote_postgres()
        with self.superuser("postgres") as conn:
            conn.execute(_QUERIES["roles"])

    def superuser(self, database: str) -> psycopg.Connection:
        """Open a connection to `database` as supabase_admin, in autocommit mode."""
        url = make_conninfo(self.url(database), user="supabase_admin", password=self._password)
        return psycopg.connect(url, autocommit=True)

    def _demote_postgres(self) -> None:
        """Rename the server's first superuser to supabase_admin, and create a `postgres` that is no superuser."""
        with self._connect("postgres") as conn:
            conn.execute(
                sql.SQL("create role {} superuser login password {}").format(
                    sql.Identifier(_RENAMING), sql.Literal(self._password)
                )
            )
        url = make_conninfo(self.url("postgres"), user=_RENAMING, password=self._password)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("alter role postgres rename to supabase_admin")
            conn.execute(
                sql.SQL(
                    "create role postgres login nosuperuser createdb createrole replication bypassrls password {}"
                ).format(sql.Literal(self._password))
            )
        with self.superuser("postgres") as conn:
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(_RENAMING)))

    def _create(self, name: str, template: str | None, *, replace: bool = False) -> None:
        super()._create(name, template, replace=replace)
        if template is None:
            with self.superuser(name) as conn:
                conn.execute(_QUERIES["project"])
