"""Turns a request into what a message says, with every value inert: no service may take one for an instruction. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.approval.preview import RowChange, StatementPreview, as_statement
from agent.approval.row_changes import columns_to_show, effect
from agent.execution.log import Execution
from agent.operations.approvals import ApprovalView
from agent.operations.edits import present
from agent.text.amounts import cell, count, moment
from agent.text.visible import clean, one_line

_FEW_ROWS, _MOST_COLUMNS, _MOST_CELL = 5, 8, 60
_SUMMARY, _CODE, _LINE, _WARNINGS = 400, 900, 300, 4
_AUTOMATIC = re.compile(
    r"[@#/](?=\w)|(?<=\w)[.:](?=[\w/])|:(?=//)"
)  # what services turn into mentions, tags, commands and links
_GOES_ON = "It is being carried out."
_APART = "\u2060"  # a word joiner: it has no width, and ends what they recognise


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a message about a request says. `code` is the statement, `outcome` how it ended ('' while it waits)."""

    headline: str
    summary: str
    number: int = 0
    risk: str = ""
    status: str = ""
    code: str = ""
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    outcome: str = ""

    @property
    def waits(self) -> bool:
        """Return whether somebody is to decide."""
        return not self.outcome

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens to the request."""
        return bool(self.outcome) and not self.outcome.endswith(_GOES_ON)

    def processing(self, person: str, verb: str) -> Card:
        """Return the card while a decision is carried out."""
        return replace(self, outcome=f"Processing: {one_line(person, 60)} chose to {verb} …")


def card(view: ApprovalView, execution: Execution | None, *, environment: str) -> Card:
    """Return what a message says about a request now."""
    approval = view.approval
    statement = as_statement(approval.preview)
    code = (
        statement.sql if isinstance(approval.preview, StatementPreview) else getattr(approval.preview, "text", "") or ""
    )
    waits = approval.status == "pending"
    return Card(
        number=approval.id,
        risk=approval.risk_level,
        status=approval.status,
        headline=f"Approval {approval.id} · {approval.risk_level} risk · {one_line(environment, 60)}",
        summary=one_line(approval.summary or approval.action, _SUMMARY),
        code=_cut(clean(code), _CODE),
        changes=_changes(statement),
        warnings=_warnings(view),
        facts=_facts(view) if waits else (),
        outcome="" if waits else outcome(view, execution),
    )


def outcome(view: ApprovalView, execution: Execution | None) -> str:
    """Say how a request was decided, by whom and where, and what became of it."""
    approval = view.approval
    if approval.status == "expired":
        return "Expired: nobody decided in time. Nothing was done."
    who = f"{approval.status.capitalize()} by {one_line(approval.decided_by, 100)}, via {one_line(approval.decided_via, 20)}"
    because = f": {one_line(approval.comment, _LINE)}" if approval.comment else ""
    if approval.status != "approved":
        end = " A new request takes its place." if approval.status == "edited" else " Nothing was done."
        return f"{who}{because}.{end}"
    return f"{who}{because}. {_done(view, execution)}"


def details(view: ApprovalView, execution: Execution | None) -> str:
    """Return all that a person may see of a request, as text: the whole statement, its rows, warnings and decisions."""
    approval = view.approval
    statement = as_statement(approval.preview)
    columns = columns_to_show(statement.rows, without=set())
    lines = [f"Approval {approval.id} · {approval.risk_level} risk · {one_line(approval.action, 100)}"]
    if approval.status != "pending":
        lines.append(outcome(view, execution))
    lines += [one_line(approval.summary), "", clean(present(approval, indent=2)), ""]
    lines += [_difference(row, columns, most=len(columns)) for row in statement.rows]
    more = (statement.row_count or 0) - len(statement.rows)
    if more > 0 and statement.rows:
        lines.append(f"and {count(more, 'more row')}")
    lines += [f"⚠ {one_line(text)}" for text in _all_warnings(view)]
    lines += [*map(one_line, approval.reasons), *map(one_line, view.conditions), *_facts(view)]
    lines += [
        f"{one_line(one.decided_by, 100)}: {one.decision}, via {one_line(one.via, 20)} {one_line(one.comment or '', _LINE)}"
        for one in view.decisions
    ]
    return "\n".join(lines)


def _done(view: ApprovalView, execution: Execution | None) -> str:
    if view.waits_for_resume:
        return "It waits for `agent resume`."
    if not view.approval.executable:
        return "Who asked carries it out."
    if execution is None or execution.status == "running":
        return _GOES_ON
    if execution.status == "succeeded":
        rows = f": {count(execution.row_count, 'row')}" if execution.row_count is not None else ""
        return f"Done{rows}. (execution {execution.id})"
    if execution.status == "unknown":
        return f"Nobody can prove whether it happened: `agent executions show {execution.id}`."
    return f"It failed, and nothing was changed: `agent executions show {execution.id}` says why."


def _changes(preview: StatementPreview) -> tuple[str, ...]:
    """Return a line for each of the first rows: what tells it apart, then each value as old -> new."""
    rows = preview.rows[:_FEW_ROWS]
    lines = [_difference(row, columns_to_show(rows, without=set())) for row in rows]
    more = (preview.row_count or len(preview.rows)) - len(rows)
    if more > 0 and rows:
        lines.append(f"and {count(more, 'more row')}")
    if len(preview.tables) > 1:  # the summary names a single table already
        lines.append(one_line(f"in all: {'; '.join(effect(table) for table in preview.tables)}", _LINE))
    return tuple(lines)


def _difference(row: RowChange, columns: Sequence[str], *, most: int = _MOST_COLUMNS) -> str:
    before, after = row["before"], row["after"]
    sign = "+ " if before is None else "- " if after is None else "  "
    shown = []
    for name in columns[:most]:
        old, new = (_value((side or {}).get(name)) for side in (before, after))
        text = f"{old} → {new}" if name in row["changed"] and before and after else new if after else old
        shown.append(f"{one_line(name, _MOST_CELL)}: {text}")
    hidden = f", {len(columns) - most} more columns" if len(columns) > most else ""
    limit = _LINE if most == _MOST_COLUMNS else most * _LINE
    return _cut(f"{sign}{', '.join(shown)}{hidden}", limit)


def _value(value: object) -> str:
    return "null" if value is None else cell(value, _MOST_CELL)


def _all_warnings(view: ApprovalView) -> list[str]:
    preview = view.approval.preview
    statement = as_statement(preview)
    return [
        *(preview.origins if preview else ()),
        *statement.notices,
        *((preview.not_previewed or ()) if preview else ()),
    ]


def _warnings(view: ApprovalView) -> tuple[str, ...]:
    found = _all_warnings(view)
    lines = [one_line(text, _LINE) for text in found[:_WARNINGS]]
    if len(found) > _WARNINGS:
        lines.append(f"and {count(len(found) - _WARNINGS, 'more warning')}: `agent approvals show {view.approval.id}`")
    return tuple(lines)


def _facts(view: ApprovalView) -> tuple[str, ...]:
    approval = view.approval
    facts = [f"asked by {one_line(approval.requested_by, 60)}", f"expires {moment(approval.expires_at)}"]
    if approval.approved_by:
        facts.append(
            f"approved by {one_line(', '.join(approval.approved_by), 120)}; {approval.votes_needed} people must"
        )
    if approval.delegated_to:
        facts.append(f"left to {one_line(approval.delegated_to, 60)}")
    if view.deciders:
        facts.append(f"may decide: {one_line(', '.join(view.deciders), 200)}")
    return tuple(facts)


def inert(text: str) -> str:
    """Return text in which no service finds a mention, a tag, a command or a link. Its characters are already visible ones."""
    return _AUTOMATIC.sub(lambda match: f"{match.group()}{_APART}", text)


def as_html(card: Card, *, limit: int) -> str:
    """Return a card in Telegram's HTML, at most `limit` characters of text; statement and values stand as code, which is inert."""
    parts = [f"<b>{_escaped(card.headline)}</b>"]
    if card.outcome:
        parts.append(f"<b>{_escaped(card.outcome)}</b>")
    parts.append(_escaped(card.summary))
    if card.code:
        parts.append(f"<pre>{html.escape(card.code, quote=False)}</pre>")
    if card.changes:
        parts.append(f"<pre>{html.escape(chr(10).join(card.changes), quote=False)}</pre>")
    parts += [f"⚠ {_escaped(text)}" for text in card.warnings]
    if card.facts:
        parts.append(f"<i>{_escaped(' · '.join(card.facts))}</i>")
    text = "\n".join(parts)
    if len(re.sub(r"<[^>]*>", "", html.unescape(text))) <= limit:
        return text
    return as_html(smaller(card), limit=limit)


def smaller(card: Card) -> Card:
    """Return a card with less detail, which says so; headline, outcome, warnings and facts stay."""
    if len(card.changes) > 1:
        return replace(card, changes=(*card.changes[:1], "and more: see the whole request"))
    if card.code:
        return replace(card, code=_cut(card.code, len(card.code) // 2) if len(card.code) > 100 else "")
    return replace(
        card, summary=_cut(card.summary, 200), changes=(), warnings=tuple(_cut(one, 150) for one in card.warnings)
    )


def pieces(text: str, *, limit: int) -> list[str]:
    """Return a text in pieces of at most `limit` characters, cut at line ends where there are some."""
    found = []
    while len(text) > limit:
        end = text.rfind("\n", 1, limit) if "\n" in text[1:limit] else limit
        found.append(text[:end])
        text = text[end:].lstrip("\n")
    return [*found, text] if text else found


def _escaped(text: str) -> str:
    return html.escape(inert(text), quote=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: max(limit - 1, 0)]}…"
