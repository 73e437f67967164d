"""A throw-away server that is set up as Supabase sets a project up: its roles, schemas, grants, functions and event triggers.

`postgres`, as whom the administrator's URL connects, is no superuser there. What differs from the hosted product: it has no
supautils, so `postgres` makes event triggers and policies on auth and storage only as `supabase_admin`.
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
    """A `Cluster` whose every database begins as a Supabase project does. Its roles are the server's, so it is one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._password = str(conninfo_to_dict(self._admin)["password"])
        self._demote_postgres()
        with self.superuser("postgres") as conn:
            conn.execute(_QUERIES["roles"])

    def superuser(self, database: str) -> psycopg.Connection:
        """A connection to `database` as supabase_admin, in autocommit mode."""
        url = make_conninfo(self.url(database), user="supabase_admin", password=self._password)
        return psycopg.connect(url, autocommit=True)

    def _demote_postgres(self) -> None:
        """Let the server's first superuser be supabase_admin, and postgres a role that is none."""
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
