"""Seals, verifies, exports and lists the audit log.

The chain shows that no entry was changed, removed or moved. A comparison with the audited rows shows that none was changed
without an entry. An anchor that is kept elsewhere shows that the end was not cut off, and that nobody who has the key
rewrote the log.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from psycopg import sql

from agent.audit.chain import Anchor, Chain, Entry, Finding, read_anchor
from agent.audit.effects_trace import Trace
from agent.audit.sealing import key_ring, reseal, seal_soon, seal_waiting
from agent.db import Connection, load_queries
from agent.db.migrations import all_migrations
from agent.db.queries import fetch_all, fetch_one
from agent.errors import NotFound
from agent.privacy.masking import MASK, is_plain_name, masked_value
from agent.runtime import Runtime, current_runtime

__all__ = [
    "AUDITED",
    "Anchor",
    "AuditLog",
    "AuditReport",
    "Audited",
    "Entry",
    "Finding",
    "Place",
    "audit_log",
    "read_anchor",
    "seal_soon",
]

# Columns of audited tables that contain no values of the application and no text about them.
_SHOWN_TO_ALL = frozenset({
    "id", "name", "version", "status", "active", "roles", "actor", "verdict", "executable", "database_id", "function_id",
    "risk_level", "risk_ceiling", "policy_version", "binding", "approval_id", "permission_id", "replaces", "thread_id", "turn",
    "round", "ordinal", "row_count", "duration_ms", "votes_needed", "approved_by", "requested_by", "decided_by", "decided_via",
    "delegated_to", "granted_to", "granted_by", "revoked_by", "changed_by", "created_by", "settled_by", "trusted_by",
    "decision", "via", "kind", "tables", "most_rows", "stopped", "read_only", "settings", "created_at", "expires_at",
    "decided_at", "finished_at", "revoked_at", "changed_at", "settled_at", "opened_by", "opened_at", "ended_by", "ended_at", "input_tokens", "output_tokens", "cost_usd",
    "entries", "former_end", "pseudonym", "asked_by",
})  # fmt: skip

_QUERIES = load_queries(__package__)
_MAX_FINDINGS = 100
_MAX_UNSEALED_SECONDS = 60.0
_STEP = 1000
_FUNCTION = re.compile(
    r"create (?:or replace )?(?:function|procedure) agents\.(\w+)\(.*?\nas \$\$(.*?)\$\$;", re.DOTALL
)
_OWN_LOGINS = frozenset({"agent_app", "agent_actor"})

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """How a table is audited: its key without the tenant, the columns that are not recorded, and those recorded in full."""

    key: tuple[str, ...] = ("id",)
    ignored: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


# One line for each table, with the arguments of `call agents.audit(...)` in its migration.
AUDITED: Mapping[str, Audited] = {
    "human_approval_queue": Audited(ignored=("claim", "claimed_until", "reminded_at", "escalated_at", "attempts")),
    "agent_execution_log": Audited(),
    "controls": Audited(key=()),
    "policy": Audited(key=(), shown=("settings",)),
    "people": Audited(key=("name",)),
    "permissions": Audited(shown=("pattern",)),
    "approval_decisions": Audited(),
    "trusted_functions": Audited(key=("database_id", "function_id")),
    "created_tools": Audited(),
    "api_keys": Audited(ignored=("last_used_at",)),
    "break_glass": Audited(),
    "messaging_identities": Audited(key=("service", "account")),
    "messaging_codes": Audited(),
    "messaging_refusals": Audited(key=("service", "account", "approval_id")),
    "erasures": Audited(),
    "messaging_routes": Audited(shown=("service", "place", "risks", "tools", "environments", "quiet", "backup")),
    "agent_sync_outlets": Audited(
        key=("outlet_id",), ignored=("epoch", "sent_through", "ready_at", "holder", "attempts", "error")
    ),
    "alert_decisions": Audited(),
    "integration_schemas": Audited(key=("name", "platform")),
    "integration_schema_versions": Audited(key=("name", "platform", "number"), ignored=("definition", "options")),
    "integration_schema_bindings": Audited(key=("boundary", "subject")),
    "integration_endpoints": Audited(key=("version", "path", "method")),
    "realtime_apps": Audited(key=("app_id",)),
    "studio_sessions": Audited(key=("session_id",), ignored=("seen_at",)),
    "optimizations": Audited(key=("optimization_id",)),
    "prompt_variants": Audited(key=("name",)),
    "plan_schedules": Audited(key=("name",), ignored=("next_at", "last_run", "error")),
    "plan_agent_limits": Audited(key=("agent_id",)),
    "plan_templates": Audited(ignored=("draft", "changed_by", "changed_at")),
    "plan_template_versions": Audited(key=("template_id", "version")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The result of `verify`. `found` is the number of findings and `findings` the first of them; without any the log is whole.

    `adopted` counts the rows that existed before the log began, `erased` the entries from which erasures took values, `rows` the
    audited rows, `effects` the traced effects, and `outside` the changes by other logins than the agent's, which are in the log as any other.
    """

    entries: int
    head: str
    unsealed: int
    adopted: int
    erased: int
    rows: int
    effects: int
    outside: Mapping[str, int]
    found: int
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether there is no finding."""
        return self.found == 0


@dataclass(kw_only=True)
class _Verification:
    """Collects findings and counts while the log is read."""

    chain: Chain
    trace: Trace = field(default_factory=Trace)
    logins: Counter[str] = field(default_factory=Counter)
    adopted: int = 0
    rows: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.found += 1
            if len(self.findings) < _MAX_FINDINGS:
                self.findings.append(finding)

    def read(self, entry: Entry) -> None:
        if entry.sequence is not None:
            self.add(self.chain.check(entry))
        else:
            self.add(self.chain.check_unsealed(entry))
        self.add(self.trace.follow(entry))
        if entry.event == "adopted":
            self.adopted += 1
        elif entry.login not in _OWN_LOGINS and entry.event != "resealed":
            self.logins[entry.login] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in the list of entries: behind one that was sealed when the first page was read, or behind one that was not.

    `head` is the last entry of the chain when the first page was read.
    """

    head: int
    after_sequence: int | None = None
    after_id: int | None = None


def _place(entry: Entry, head: int) -> Place:
    if entry.sequence is not None and entry.sequence <= head:
        return Place(head=head, after_sequence=entry.sequence)
    return Place(head=head, after_id=entry.id)


class AuditLog:
    """The audit log of the current tenant. It has no state."""

    async def seal(self, *, runtime: Runtime | None = None) -> int:
        """Seal the waiting entries and return their number. Raises `ConfigurationError` without a key."""
        return await seal_waiting(runtime=runtime or await current_runtime())

    async def unsealed(self, *, runtime: Runtime | None = None) -> float:
        """Return for how many seconds the oldest entry has waited to be sealed; 0 when that is within the limit."""
        runtime = runtime or await current_runtime()
        row = await runtime.one(_QUERIES["audit_waiting"])
        return _overdue(row or {})

    async def recent(self, limit: int = 50, *, personal: bool = False, runtime: Runtime | None = None) -> list[Entry]:
        """Return the newest entries, sealed or not, the newest first; unless `personal`, their values are masked."""
        return [entry for entry, _ in await self.page(limit, personal=personal, runtime=runtime)]

    async def page(
        self, limit: int, *, after: Place | None = None, personal: bool = False, runtime: Runtime | None = None
    ) -> list[tuple[Entry, Place]]:
        """Return entries as `recent` does, each with its place in the list; with `after`, those behind that place."""
        runtime = runtime or await current_runtime()
        tenant = {"tenant_id": runtime.tenant_id}
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["written_as"])
            if after is None:
                last = await fetch_one(conn, _QUERIES["audit_head"], tenant)
                after = Place(head=last["sequence"] if last else 0)
            values = {**tenant, **asdict(after), "limit": max(0, min(limit, 10_000))}
            rows = await fetch_all(conn, _QUERIES["audit_newest"], values)
        found = [Entry(**row) for row in rows]
        return [(entry if personal else masked(entry), _place(entry, after.head)) for entry in found]

    async def export(self, *, runtime: Runtime | None = None) -> Anchor:
        """Seal everything and return the end of the chain as an anchor. Raises `NotFound` when the log is empty."""
        runtime = runtime or await current_runtime()
        await seal_waiting(runtime=runtime)
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["written_as"])
            head = await fetch_one(conn, _QUERIES["audit_head"], {"tenant_id": runtime.tenant_id})
        if head is None:
            raise NotFound("The audit log has no entry yet: nothing was requested, decided or done.")
        return Anchor(
            tenant=runtime.tenant_id, sequence=head["sequence"], mac=head["mac"].hex(), key_id=head["key_id"],
            sealed_at=head["sealed_at"],
        )  # fmt: skip

    async def verify(
        self, *, anchor: Anchor | None = None, progress: Progress | None = None, runtime: Runtime | None = None
    ) -> AuditReport:
        """Check the chain, the audited rows, and that every effect has its decision; then seal the waiting entries.

        `progress(done, total)` is called as entries are read. Raises `ConfigurationError` without a key.
        """
        runtime = runtime or await current_runtime()
        keys = key_ring(runtime.settings)
        checked = _Verification(chain=Chain(tenant_id=runtime.tenant_id, keys=keys, anchor=anchor))
        tenant = {"tenant_id": runtime.tenant_id}
        await reseal(runtime=runtime)
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["snapshot"])
            await conn.execute(_QUERIES["written_as"])
            checked.chain.erased = {row["id"] for row in await fetch_all(conn, _QUERIES["erased_entries"], tenant)}
            head = await fetch_one(conn, _QUERIES["audit_head"], tenant)
            await _read_chain(checked, conn, total=head["sequence"] if head else 0, progress=progress, tenant=tenant)
            checked.add(await _check_machinery(conn))
            for subject, audited in AUDITED.items():
                checked.rows += await _count(subject, conn, tenant)
                checked.add(await _differences(subject, audited, conn, tenant))
            waiting = await fetch_one(conn, _QUERIES["audit_waiting"], tenant)
        unsealed = waiting["entries"] if waiting else 0
        checked.add(_unsealed_findings(waiting or {}))
        await seal_waiting(runtime=runtime)
        return AuditReport(
            entries=checked.chain.sequence, head=checked.chain.head.hex() if checked.chain.sequence else "", unsealed=unsealed,
            adopted=checked.adopted, erased=checked.chain.without_values, rows=checked.rows, effects=checked.trace.effects, outside=dict(checked.logins),
            found=checked.found, findings=tuple(checked.findings),
        )  # fmt: skip


audit_log = AuditLog()


def masked(entry: Entry) -> Entry:
    """Return the entry without values: who did what to which row, and when."""
    try:
        content = json.loads(entry.content)
        values = {
            name: value if _is_shown_to_all(name, value) else masked_value(value) for name, value in content.items()
        }
    except (ValueError, RecursionError, AttributeError):  # the agent did not write this; `verify` reports it
        return replace(entry, content=MASK)
    return replace(entry, content=json.dumps(values, ensure_ascii=False))


def _is_shown_to_all(column: str, value: Any) -> bool:
    # A model may call a tool that does not exist by any name.
    return column in _SHOWN_TO_ALL or (column in {"action", "tool"} and is_plain_name(str(value)))


async def _read_chain(
    checked: _Verification, conn: Connection, *, total: int, progress: Progress | None, tenant: Mapping[str, Any]
) -> None:
    async with conn.cursor(name="audit_chain") as cursor:
        cursor.itersize = _STEP
        await cursor.execute(_QUERIES["audit_chain"], tenant)
        number = 0
        async for row in cursor:
            checked.read(Entry(**row))
            number += 1
            if progress is not None and number % _STEP == 0:
                progress(number, max(total, number))
    checked.add(checked.chain.end())
    rows = await fetch_all(conn, _QUERIES["audit_unsealed"], {**tenant, "limit": None})
    for row in rows:
        row.pop("now")
        checked.read(Entry(**row))


async def _check_machinery(conn: Connection) -> list[Finding]:
    """Return a finding for each trigger or function of the log that differs from the migrations'."""
    functions = await fetch_all(conn, _QUERIES["audit_functions"])
    triggers = await fetch_all(conn, _QUERIES["audit_triggers"])
    return [
        Finding(kind="machinery", message=message)
        for message in (*_changed_functions(functions), *_changed_triggers({row["subject"]: row for row in triggers}))
    ]


def _changed_functions(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    actual, expected = {row["name"]: row["source"] for row in rows}, _migrated_functions()
    for name in sorted(actual.keys() | expected.keys()):
        if actual.get(name) != expected.get(name):
            yield f"The function agents.{name} is not the one that the migrations create: find out who changed it, and restore it."


@cache
def _migrated_functions() -> Mapping[str, str]:
    texts = "\n".join(migration.text for migration in all_migrations())
    return {name: body for name, body in _FUNCTION.findall(texts) if re.search(r"(^|_)audit(_|$)", name)}


def _changed_triggers(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for subject, audited in AUDITED.items():
        row = rows.get(subject)
        if row is None or row["off"] or row["definition"] != trigger_of(subject, audited):
            yield f"The trigger that writes the changes of agents.{subject} to the audit log is off, missing or changed."


def trigger_of(subject: str, audited: Audited) -> str:
    """Return the definition of an audited table's trigger, as Postgres writes it."""
    arguments = ", ".join(f"'{{{','.join(names)}}}'" for names in (audited.key, audited.ignored, audited.shown))
    return (
        f"CREATE TRIGGER audit AFTER INSERT OR DELETE OR UPDATE ON agents.{subject} FOR EACH ROW"
        f" EXECUTE FUNCTION agents.audit_change({arguments})"
    )


async def _count(subject: str, conn: Connection, tenant: Mapping[str, Any]) -> int:
    row = await fetch_one(conn, _query_on(subject, "audit_rows"), tenant)
    return int(row["rows"]) if row else 0


async def _differences(subject: str, audited: Audited, conn: Connection, tenant: Mapping[str, Any]) -> list[Finding]:
    """Return a finding for each row that differs from its newest entry: it was changed, removed or inserted without a trigger."""
    values = {
        **tenant, "subject": subject, "key": list(audited.key), "ignored": list(audited.ignored), "shown": list(audited.shown),
        "limit": _MAX_FINDINGS,
    }  # fmt: skip
    rows = await fetch_all(conn, _query_on(subject, "audit_differences"), values)
    return [
        Finding(kind="row", subject=subject, sequence=row["sequence"], message=_finding_text(subject, row))
        for row in rows
    ]


def _query_on(subject: str, query: str) -> sql.Composed:
    return sql.SQL(_QUERIES[query]).format(table=sql.Identifier("agents", subject))


def _finding_text(subject: str, row: Mapping[str, Any]) -> str:
    name = f"{subject} {row['key'].strip('[]')}".strip()
    if row["columns"]:
        return f"The row {name} was changed without an entry: {', '.join(row['columns'])}."
    return f"The row {name} was {'inserted' if row['present'] else 'removed'} without an entry."


def _overdue(waiting: Mapping[str, Any]) -> float:
    seconds = float(waiting.get("seconds") or 0.0)
    return seconds if seconds > _MAX_UNSEALED_SECONDS else 0.0


def _unsealed_findings(waiting: Mapping[str, Any]) -> Iterator[Finding]:
    if seconds := _overdue(waiting):
        yield Finding(
            kind="unsealed",
            message=f"{waiting['entries']} entries were not sealed, the oldest for {seconds:,.0f} s: whoever can change the "
            "database could change them unnoticed. They are sealed now. Set AGENT_AUDIT_KEY (or AGENT_SECRET) for every process.",
        )
