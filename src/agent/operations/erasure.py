"""Erase a person or a conversation from everything that the agent keeps, in one transaction.

What was decided and done stays in the audit log, without the texts and under another name; the log can still be verified. The
application's own tables are not touched, nor are backups, files of logs, or what a service such as Slack keeps.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from agent.approval.people import people
from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import DecisionRefused, InvalidInput, ThreadBusy
from agent.privacy.spellings import pattern_of
from agent.runtime import Runtime, current_runtime

_QUERIES = load_queries(__package__, "erasure.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was erased, or with `dry_run` what would be; `pseudonym` stands in place of the name wherever something stays."""

    pseudonym: str
    memories: int
    conversations: int
    turns: int
    requests: int
    executions: int
    rows: int
    entries: int
    dry_run: bool = False


async def erase_person(
    name: str, *, also: Sequence[str] = (), dry_run: bool = False, runtime: Runtime | None = None
) -> Erasure:
    """Erase who asked or is spoken of under `name` or one of `also` (addresses, numbers, other names).

    Conversations that they began go, and memories that name them or that they stated, with what was concluded from these. In
    all other texts the pseudonym takes the place of the name. Raises `InvalidInput`, `DecisionRefused` for who is no admin,
    `ThreadBusy` while one of their turns or actions runs.
    """
    runtime = runtime or await current_runtime()
    pattern = pattern_of([name, *also])
    return await _erase(name.strip(), [], pattern, dry_run=dry_run, runtime=runtime)


async def erase_thread(thread_id: str, *, dry_run: bool = False, runtime: Runtime | None = None) -> Erasure:
    """Erase a conversation, what was remembered of it, and the texts of what was asked and done in it. Raises as `erase_person`."""
    runtime = runtime or await current_runtime()
    if not thread_id.strip():
        raise InvalidInput("A conversation has an id: `agent threads list` shows them.")
    return await _erase(None, [thread_id], None, dry_run=dry_run, runtime=runtime)


async def _erase(
    person: str | None, threads: list[str], pattern: str | None, *, dry_run: bool, runtime: Runtime
) -> Erasure:
    await _check_admin(runtime)
    pseudonym = f"erased-{secrets.token_hex(4)}"
    values = {
        "person": person, "threads": threads, "pattern": pattern, "replacement": pseudonym, "user": runtime.user,
        "tenant_id": runtime.tenant_id,
    }  # fmt: skip
    try:
        async with runtime.connection() as conn, conn.transaction(force_rollback=dry_run):
            row = await fetch_one(conn, _QUERIES["erase"], values)
            counts: dict[str, Any] = dict(row["erased"]) if row else {}
            gone = counts.pop("threads")
            await conn.execute(_QUERIES["erase_work"], {**values, "threads": gone})
            await conn.execute(_QUERIES["erase_sessions"], values)
            await _erase_checkpoints(gone, values, conn, runtime)
            await _erase_from_jobs(pattern or "|".join(map(re.escape, gone)), pseudonym, conn)
    except psycopg.errors.ObjectInUse as error:
        raise ThreadBusy(
            f"Nothing was erased: {error.diag.message_primary} there. Wait for it or stop it (`agent stop`), then erase again."
        ) from error
    return Erasure(pseudonym=pseudonym, dry_run=dry_run, **{"rows": 0, **counts})


async def _erase_checkpoints(
    threads: Sequence[str], values: Mapping[str, Any], conn: Connection, runtime: Runtime
) -> None:
    row = await fetch_one(conn, _QUERIES["checkpoints"])
    if not (row and row["there"]):
        return
    named = {f"{runtime.tenant_id}/{thread}" for thread in threads}
    if values["pattern"] is not None:
        prefix = runtime.tenant_id.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "/%"
        found = await fetch_all(conn, _QUERIES["mentioned"], {"prefix": prefix, "pattern": values["pattern"]})
        named |= {row["thread_id"] for row in found}
    for query in ("erase_checkpoints", "erase_blobs", "erase_writes"):
        await conn.execute(_QUERIES[query], {"threads": sorted(named)})


async def _erase_from_jobs(pattern: str, pseudonym: str, conn: Connection) -> None:
    """Put the pseudonym in the place of a name in the records of durable jobs, which belong to no tenant: an error may quote a text."""
    for column in await fetch_all(conn, _QUERIES["job_texts"], {}) if pattern else ():
        statement = sql.SQL(
            "UPDATE agents_jobs.{table} SET {column} = regexp_replace({column}::text, {pattern}, {pseudonym}, 'gi')::{type}"
            " WHERE {column}::text ~* {pattern}"
        ).format(
            table=sql.Identifier(column["table_name"]), column=sql.Identifier(column["column_name"]), type=sql.SQL(column["type"]),
            pattern=sql.Literal(pattern), pseudonym=sql.Literal(pseudonym),
        )  # fmt: skip
        await conn.execute(statement)


async def _check_admin(runtime: Runtime) -> None:
    membership = await people.membership(None, runtime=runtime)
    if membership.several and not (membership.person and membership.person.is_admin):
        raise DecisionRefused(f"Only an admin erases, and {runtime.user!r} is none (`agent people list`).")
