"""What is in a database before `agent migrate` comes: migrations that were run by hand, and schemas that somebody else made.

A migration that was run with psql is in no list of migrations. It is known by what it makes: when all of that is there, it
was run; when only a part is, nobody can go on from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import Connection as SyncConnection

from agent.errors import ConfigurationError, SetupRequired

_TABLE = re.compile(r"^create table (?P<table>agents\.\w+)", re.MULTILINE)
_FUNCTION = re.compile(r"^create (?:function|procedure) agents\.(?P<name>\w+)", re.MULTILINE)
_ALTER = re.compile(r"^alter table (?P<table>agents\.\w+)\n(?P<parts>[^;]*);", re.MULTILINE)
_ADD = re.compile(r"\badd (?P<what>column|constraint) +(?P<name>\w+)")
_AUDIT = re.compile(r"^call agents\.audit\('(?P<table>agents\.\w+)'", re.MULTILINE)

_PRESENT = """
SELECT CASE w.what
         WHEN 'table' THEN to_regclass(w.place) IS NOT NULL
         WHEN 'function' THEN EXISTS (SELECT FROM pg_proc p WHERE p.proname = w.name AND p.pronamespace = to_regnamespace('agents'))
         WHEN 'column' THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(w.place) AND a.attname = w.name
                                       AND NOT a.attisdropped)
         WHEN 'constraint' THEN EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass(w.place) AND c.conname = w.name)
         ELSE EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass(w.place) AND t.tgname = w.name) END AS present
  FROM unnest(%s::text[], %s::text[], %s::text[]) AS w (what, place, name)
"""
# Whoever owns a schema, or may create in it, decides what is there. Administrators are superusers, roles that make roles, this
# one, and who ran our migrations before: that one was made a member of agent_app.
_FOREIGN = """
WITH administrator AS (
  SELECT r.oid FROM pg_roles r
   WHERE r.rolsuper OR r.rolcreaterole OR r.rolname IN (current_user, 'agent_app')
      OR EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.roleid WHERE m.member = r.oid AND a.rolname = 'agent_app')
)
SELECT n.nspname, coalesce(r.rolname, 'everybody')
  FROM pg_namespace n
  CROSS JOIN LATERAL (SELECT n.nspowner AS grantee UNION ALL
                      SELECT x.grantee FROM aclexplode(n.nspacl) x WHERE x.privilege_type = 'CREATE') a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE n.nspname IN ('agents', 'agents_checkpoints', 'supabase_migrations')
   AND a.grantee NOT IN (SELECT oid FROM administrator)
"""


def is_there(conn: SyncConnection, version: str, text: str) -> bool:
    """Whether the migration `text` was run by hand. Raises `ConfigurationError` where only a part of it is there.

    One that makes nothing new is never there: it can be run again.
    """
    marks = list(_marks(text))
    rows = conn.execute(_PRESENT, [list(column) for column in zip(*marks, strict=True)]).fetchall() if marks else []
    present = [row[0] for row in rows]
    if any(present) and not all(present):
        missing = next(mark for mark, found in zip(marks, present, strict=True) if not found)
        raise ConfigurationError(
            f"Migration {version} was run by hand, and only a part of it is there (no {' '.join(filter(None, missing))}). "
            "Run its file once more as a whole in an empty database, or take back what is there, then run `agent migrate`."
        )
    return bool(present) and all(present)


def check_schemas(conn: SyncConnection) -> None:
    """Raise `SetupRequired` when somebody who is no administrator owns one of our schemas, or may create objects in it."""
    row = conn.execute(_FOREIGN).fetchone()
    if row is not None:
        raise SetupRequired(
            f"The schema {row[0]!r} is for the agent's own tables, but {row[1]!r} may create objects in it. Look at what is "
            "there, then drop it, or give it to an administrator and revoke that right."
        )


def _marks(text: str) -> Iterator[tuple[str, str, str]]:
    """What a migration makes: (what, the relation that it is or belongs to, its own name)."""
    for found in _TABLE.finditer(text):
        yield "table", found["table"], ""
    for found in _FUNCTION.finditer(text):
        yield "function", "", found["name"]
    for altered in _ALTER.finditer(text):
        for added in _ADD.finditer(altered["parts"]):
            if f"drop {added['what']} {added['name']}" in altered["parts"]:
                continue  # it was there before
            yield added["what"], altered["table"], added["name"]
    for found in _AUDIT.finditer(text):
        yield "trigger", found["table"], "audit"
