"""Texts in the application's newest rows that speak to a model like an instruction. Some tables in each run, in turn."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import sql

from agent.learning.discovery.structure import Relation
from agent.monitoring.checks.newest import newest_rows, next_tables
from agent.monitoring.records import Check, Finding
from agent.monitoring.watch import Watch

_TABLES, _ROWS, _MOST_TEXT = 2, 100, 4_000
_TEXT = ("text", "character varying", "varchar", "citext", "json", "jsonb")
# Whoever writes to a model: it is to forget its orders, to be somebody else, to hide what it does, or to use a tool.
_MARKER = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{0,40}\b(?:previous|prior|above|earlier|all|your|system|the)\b[^.\n]{0,30}
        \b(?:instructions?|prompts?|rules|orders|guidelines|directions|guardrails)\b
    | \b(?:you\ are\ now|from\ now\ on\ you|act\ as\ (?:the|an?)\ (?:system|admin\w*|root|developer))\b
    | \b(?:reveal|print|show|repeat|output)\b[^.\n]{0,30}\b(?:system\ prompt|your\ (?:instructions|prompt|rules))\b
    | \b(?:do\ not|don't|never)\ (?:tell|inform|mention|alert|ask)\b[^.\n]{0,30}\b(?:user|human|anyone|anybody|admin\w*|approv\w+)\b
    | \b(?:execute_sql|send_email|create_new_tool)\b[^\n]{0,80}\b(?:delete|drop|update|grant|send|to)\b
    | <\|?(?:im_start|system|endoftext)\|?> | \[/?(?:INST|SYSTEM)\] | (?:^|\n)\s*(?:\#{2,3}\s*)?(?:system|assistant)\s*(?:prompt|message)?\s*:
    | \b(?:ignoriere|vergiss)\b[^.\n]{0,40}\b(?:anweisungen|regeln)\b | \b(?:ignora|olvida)\b[^.\n]{0,40}\binstrucciones\b
    | \b(?:ignorez|oubliez)\b[^.\n]{0,40}\binstructions\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def marker_in(text: str) -> bool:
    """Return whether a text speaks to a model like an instruction."""
    visible = "".join(
        character for character in text[:_MOST_TEXT] if character not in "\u200b\u200c\u200d\u2060\ufeff\u00ad"
    )
    return _MARKER.search(visible) is not None


async def look(watch: Watch) -> list[Finding]:
    """Read the newest rows of some tables, and again those of tables in which something was found."""
    tables = [table for table in await watch.tables() if _columns(watch, table)]
    findings = []
    found: list[str] = []
    for table in next_tables(watch, tables, _TABLES, always=watch.state.get("found", [])):
        columns = _columns(watch, table)
        if marked := await _marked(watch, table, columns):
            found.append(table["qualified"])
            rows = sum(marked.values())
            findings.append(
                Finding(
                    subject=table["qualified"], severity="MEDIUM",
                    message=f"{rows} of the newest rows of {table['qualified']} hold text that speaks to a model like an instruction.",
                    action="Look at them and at who wrote them. The agent treats them as data and asks before it acts on them.",
                    evidence={"columns": marked, "rows_read": _ROWS},
                )
            )  # fmt: skip
    watch.state["found"] = found
    return findings


def _columns(watch: Watch, table: Relation) -> list[str]:
    allowed = set(watch.open_columns(table))
    return [
        one["name"] for one in table["columns"] if one["name"] in allowed and one["type"].partition("(")[0] in _TEXT
    ][:12]


async def _marked(watch: Watch, table: Relation, columns: list[str]) -> dict[str, int]:
    parts = [
        sql.SQL("left({}::text, {}) AS {}").format(sql.Identifier(one), sql.Literal(_MOST_TEXT), sql.Identifier(one))
        for one in columns
    ]
    try:
        rows: list[dict[str, Any]] = await newest_rows(watch, table, sql.SQL(", ").join(parts), _ROWS)
    except psycopg.Error:  # a table that disappeared or is locked is read another time
        return {}
    counts = {one: sum(marker_in(str(row[one])) for row in rows if row[one] is not None) for one in columns}
    return {one: number for one, number in counts.items() if number}


CHECK = Check(name="markers", about="Instructions in data", look=look, samples=True)
