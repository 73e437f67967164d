"""What the application's definitions get wrong: keys, indexes, row-level security, views and functions that show too much.

One alert for each lint, with the objects in its evidence. Supabase names such lints in its linter; docs/monitoring.md lists them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agent.db import load_queries
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch
from agent.privacy.sensitive import looks_secret, looks_sensitive
from agent.types import RiskLevel

_QUERIES = load_queries(__package__, "lints.sql")
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Lint:
    """How bad a lint is, what it says of its objects, and what to do about them."""

    severity: RiskLevel
    says: str
    action: str


LINTS: Mapping[str, Lint] = {
    "unindexed_foreign_keys": Lint("LOW", "foreign keys have no index", "Create an index on the referring columns: deletes and joins scan the table."),
    "auth_users_exposed": Lint("CRITICAL", "views show auth.users to users of the API", "Revoke select on them from anon and authenticated, or move them to a schema that the API does not serve."),
    "auth_rls_initplan": Lint("LOW", "policies call a function for each row", "Write (select auth.uid()) in place of auth.uid(): it is called once."),
    "no_primary_key": Lint("LOW", "tables have no primary key", "Add one: replication, undo and clients need it."),
    "unused_index": Lint("LOW", "indexes were never used", "Drop them if no yearly job needs them."),
    "multiple_permissive_policies": Lint("LOW", "tables have several permissive policies for one role and command", "Join them with OR: each one is evaluated for each row."),
    "policy_exists_rls_disabled": Lint("HIGH", "tables have policies, but row-level security is off", "alter table ... enable row level security."),
    "rls_enabled_no_policy": Lint("LOW", "tables have row-level security and no policy", "Nobody but their owner sees a row: add a policy, or take the table out of the API's schema."),
    "duplicate_index": Lint("LOW", "tables have the same index twice", "Drop one of them."),
    "security_definer_view": Lint("HIGH", "views bypass row-level security", "alter view ... set (security_invoker = true)."),
    "function_search_path_mutable": Lint("LOW", "functions look names up in the caller's search_path", "alter function ... set search_path = ''."),
    "auth_allow_anonymous_sign_ins": Lint("LOW", "policies let anonymous sign-ins in", "Check is_anonymous in auth.jwt(), or switch anonymous sign-ins off."),
    "rls_disabled_in_public": Lint("HIGH", "tables are open to users of the API", "alter table ... enable row level security, then add policies."),
    "extension_in_public": Lint("LOW", "extensions live in the schema public", "alter extension ... set schema extensions."),
    "rls_references_user_metadata": Lint("HIGH", "policies trust user_metadata, which users can change themselves", "Use app_metadata."),
    "materialized_view_in_api": Lint("MEDIUM", "materialised views, which have no row-level security, are open to users of the API", "Revoke select on them from anon and authenticated."),
    "foreign_table_in_api": Lint("MEDIUM", "foreign tables, which have no row-level security, are open to users of the API", "Revoke select on them from anon and authenticated."),
    "unsupported_reg_types": Lint("LOW", "columns have a type that pg_upgrade refuses", "Store text or oid in place of a reg* type."),
    "insecure_queue_exposed_in_api": Lint("HIGH", "queues are open to users of the API", "alter table ... enable row level security on the queue's table."),
    "table_bloat": Lint("LOW", "tables have more dead rows than live ones", "vacuum them, and see what keeps autovacuum from it (long transactions)."),
    "fkey_to_auth_unique": Lint("MEDIUM", "foreign keys refer to a unique column of auth", "Refer to the primary key: the unique constraint may be dropped by an update."),
    "extension_versions_outdated": Lint("LOW", "extensions are older than what the server has", "alter extension ... update."),
    "rls_policy_always_true": Lint("HIGH", "policies let everybody write everything", "Write whose rows may be changed in place of true."),
    "public_bucket_allows_listing": Lint("MEDIUM", "policies let everybody list the files of a bucket", "Name the bucket and the owner in the policy; a public bucket needs none to serve its files."),
    "graphql_anon_table_exposed": Lint("LOW", "tables appear in the GraphQL schema of people who are not signed in", "Revoke select from anon on what they need not know of."),
    "graphql_authenticated_table_exposed": Lint("LOW", "tables appear in the GraphQL schema of everybody who is signed in", "Revoke select from authenticated on what they need not know of."),
    "anon_security_definer_function_executable": Lint("HIGH", "functions with their owner's rights can be called by people who are not signed in", "revoke execute on function ... from public, anon."),
    "authenticated_security_definer_function_executable": Lint("MEDIUM", "functions with their owner's rights can be called by everybody who is signed in", "revoke execute on function ... from public, authenticated, or make them security invoker."),
    "sensitive_columns_exposed": Lint("HIGH", "tables with personal or secret columns are open to users of the API", "alter table ... enable row level security, then add policies."),
}  # fmt: skip


async def look(watch: Watch) -> list[Finding]:
    """Read the definitions, and gather the objects of each lint."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in await watch.read(_QUERIES["lints"], watch.scope):
        found[row["lint"]].append(row["object"])
    for row in await watch.read(_QUERIES["exposed_columns"], {}):
        if any(_is_sensitive(row, column) for column in row["columns"]):
            found["sensitive_columns_exposed"].append(row["name"])
    return [_finding(name, sorted(set(objects))) for name, objects in found.items() if name in LINTS]


def _is_sensitive(row: Mapping[str, Any], column: str) -> bool:
    return looks_secret(column) or looks_sensitive(column, table=row["table_name"], siblings=row["columns"])


def _finding(name: str, objects: list[str]) -> Finding:
    lint = LINTS[name]
    shown = ", ".join(objects[:3]) + (f" and {len(objects) - 3} more" if len(objects) > 3 else "")
    return Finding(
        subject=name,
        severity=lint.severity,
        message=f"{lint.says[0].upper()}{lint.says[1:]} ({len(objects)}): {shown}",
        action=lint.action,
        evidence={"lint": name, "count": len(objects), "objects": objects[:_MOST_NAMED]},
    )


CHECK = Check(name="lints", about="Definitions that are wrong", look=look, every=timedelta(hours=1))
