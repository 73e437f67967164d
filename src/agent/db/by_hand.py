"""Checks a database before `agent migrate` changes it: for migrations run by hand, and for schemas that somebody else created.

A migration that was run with psql is not in the list of migrations. It is recognised by the objects that it creates: when
all exist, it was run; when only some exist, the operator has to repair the database first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import Connection as SyncConnection

from agent.errors import ConfigurationError, SetupRequired

_TABLE = re.compile(r"^create table (?P<table>agents\.\w+)", re.MULTILINE)
_FUNCTION = re.compile(r"^create (?:function|procedure) agents\.(?P<name>\w+)", re.MULTILINE)
_ALTER = re.compile(r"^alter table (?P<table>agents\.\w+)\s(?P<parts>[^;]*);", re.MULTILINE)
_ADD = re.compile(r"\badd (?P<what>column|constraint) +(?P<name>\w+)")
_DROP = re.compile(r"\bdrop (?P<what>column|constraint) +(?:if exists )?(?P<name>\w+)")
_DROP_FUNCTION = re.compile(r"^drop function (?:if exists )?agents\.(?P<name>\w+)", re.MULTILINE)
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
# Whoever owns a schema, or may create objects in it, decides what it holds. Administrators are superusers, roles that may
# create roles, the current user, and the user of an earlier migration, whom that migration made a member of agent_app.
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


def is_there(conn: SyncConnection, version: str, text: str, *, later: str = "") -> bool:
    """Return whether the migration `text` was run by hand. Raises `ConfigurationError` where only a part of it was.

    What it drops itself was there before it, and what the `later` migrations drop may be gone: neither says anything. The answer
    is no for a migration that creates no object: such a migration can be run again.
    """
    dropped = set(_dropped_objects(text + later))
    objects = [one for one in _created_objects(text) if one not in dropped]
    rows = conn.execute(_PRESENT, [list(column) for column in zip(*objects, strict=True)]).fetchall() if objects else []
    present = [row[0] for row in rows]
    if any(present) and not all(present):
        missing = next(item for item, is_present in zip(objects, present, strict=True) if not is_present)
        raise ConfigurationError(
            f"Migration {version} was run by hand, and only a part of it is there (no {' '.join(filter(None, missing))}). "
            "Run its whole file in an empty database, or remove what it created here, then run `agent migrate`."
        )
    return bool(present) and all(present)


def check_schemas(conn: SyncConnection) -> None:
    """Raise `SetupRequired` when a role that is no administrator owns one of our schemas, or may create objects in it."""
    row = conn.execute(_FOREIGN).fetchone()
    if row is not None:
        raise SetupRequired(
            f"The schema {row[0]!r} is for the agent's own tables, but {row[1]!r} may create objects in it. Look at what it "
            "holds, then drop it, or make an administrator its owner and revoke that right."
        )


def _dropped_objects(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the objects that migrations drop, in the form of `_created_objects`."""
    for altered in _ALTER.finditer(text):
        for dropped in _DROP.finditer(altered["parts"]):
            yield dropped["what"], altered["table"], dropped["name"]
    for function in _DROP_FUNCTION.finditer(text):
        yield "function", "", function["name"]


def _created_objects(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the objects that a migration creates: (kind, the relation that it is or belongs to, its own name)."""
    for created in _TABLE.finditer(text):
        yield "table", created["table"], ""
    for created in _FUNCTION.finditer(text):
        yield "function", "", created["name"]
    for altered in _ALTER.finditer(text):
        for added in _ADD.finditer(altered["parts"]):
            yield added["what"], altered["table"], added["name"]
    for audited in _AUDIT.finditer(text):
        yield "trigger", audited["table"], "audit"
