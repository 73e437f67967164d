"""Ask by an interrupt: the payload that Studio, Agent Inbox and Agent Chat UI render, and what it says in Markdown.

Both web interfaces show nothing but the description and the arguments. Agent Inbox reads `arguments`, the others `args`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.approval.effect_messages import undo_sentences
from agent.approval.human_approval import Approval
from agent.approval.preview import MailPreview, Preview, RowChange, StatementPreview, ToolPreview, as_statement
from agent.approval.row_changes import columns_to_show, effect
from agent.graph.results_for_model import call_id
from agent.text.visible import clean, one_line

_MOST_ROWS, _MOST_COLUMNS, _MOST_CELL = 20, 10, 80
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~#&]")
_HOW_TO_REJECT = "A rejection without a message is final. With one, say what you want instead: it may be proposed, and you are asked about it."
_FENCES = re.compile(r"`+")


def approval_request(approval: Approval, *, database: str, problem: str = "") -> dict[str, Any]:
    """Return an interrupt's payload in the form of LangChain's human-in-the-loop requests.

    `database` names the database that the action is about; `problem` says why the answer before was no decision.
    """
    arguments = _shown_arguments(approval)
    request = {
        "name": approval.action, "args": arguments, "arguments": arguments,
        "description": description(approval, database=database, problem=problem),
    }  # fmt: skip
    return {
        "action_requests": [request],
        "review_configs": [{"action_name": approval.action, "allowed_decisions": allowed_decisions(approval)}],
        **_facts(approval),
    }


def tool_approval(approval: Approval, *, database: str, problem: str = "") -> dict[str, Any]:
    """Return an interrupt's payload in LangChain's `per_call` form, which one decision answers (see `response_schema`)."""
    call = approval.call
    return {
        "type": "tool_approval",
        "tool_call_id": call_id(call) if call else f"approval_{approval.id}",
        "name": approval.action,
        "args": _shown_arguments(approval),
        "description": description(approval, database=database, problem=problem),
        **_facts(approval),
    }


def response_schema(approval: Approval, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON schema of a decision about a request; `parameters` is that of its tool's arguments."""
    message = {"message": {"type": "string"}}
    instead = {"message": {"type": "string", "description": "What to do instead; without it the no is final."}}
    action = _object(
        {"name": {"const": approval.action}, "args": dict(parameters or {"type": "object"})}, "name", "args"
    )
    decisions = {
        "approve": _object({"type": {"const": "approve"}}, "type"),
        "edit": _object({"type": {"const": "edit"}, "edited_action": action}, "type", "edited_action"),
        "reject": _object({"type": {"const": "reject"}, **instead, "final": {"type": "boolean"}}, "type"),
        "respond": _object({"type": {"const": "respond"}, **message}, "type", "message"),
    }
    return {"oneOf": [decisions[decision] for decision in allowed_decisions(approval)]}


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _shown_arguments(approval: Approval) -> dict[str, Any]:
    """Return the arguments that are not null: Agent Inbox cannot show one that is."""
    return {name: value for name, value in approval.arguments.items() if value is not None}


def _facts(approval: Approval) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "binding": approval.binding,
        "risk_level": approval.risk_level,
        "preview": approval.preview_json,
        "expires_at": approval.expires_at.isoformat(),
    }


def allowed_decisions(approval: Approval) -> list[str]:
    """Return the decisions that a request takes, in LangChain's words."""
    # A request from Python code is not executed here: the code acts on its own arguments, so an edit changes nothing.
    return ["approve", "edit", "reject", "respond"] if approval.executable else ["approve", "reject", "respond"]


def description(approval: Approval, *, database: str, problem: str = "") -> str:
    """Return in Markdown what an approver must see: the risk, where, what, the rows, the counts, and where values come from."""
    preview = as_statement(approval.preview)
    parts = [
        _prose(problem),
        f"**{approval.risk_level} risk**: {_prose(approval.summary)}",
        f"Database: {_code(database, most=None)}",
        *_action(approval),
        *_changes(preview),
        *map(_prose, undo_sentences(preview)),
        *_warnings(approval.preview),
        f"Approval {approval.id}, asked by {_code(approval.requested_by)}, "
        f"open until {approval.expires_at:%Y-%m-%d %H:%M %Z}".rstrip(),
        _HOW_TO_REJECT,
    ]
    return "\n\n".join(filter(None, parts))


def _action(approval: Approval) -> list[str]:
    match approval.preview:
        case StatementPreview(sql=sql) if sql:
            return [_fenced(sql, "sql")]
        case MailPreview(text=text) | ToolPreview(text=text) if text:
            return [_fenced(text, "")]
    if not approval.arguments:
        return []
    return [_fenced(json.dumps(dict(approval.arguments), ensure_ascii=False, default=str, indent=2), "json")]


def _changes(preview: StatementPreview) -> list[str]:
    parts = _table(preview.rows, preview.row_count or len(preview.rows))
    for other in preview.others:
        if other["rows"] and other["rows"] != list(preview.rows):
            table = _table(other["rows"], len(other["rows"]), without=set(other["volatile"]))
            parts += [f"This also changes {_code(other['table'])}:", *table]
    counts = [_prose(effect(table)) for table in preview.tables]
    return [*parts, *([f"In all: {'; '.join(counts)}"] if counts else [])]


def _table(rows: Sequence[RowChange], count: int, *, without: Iterable[str] = ()) -> list[str]:
    if not rows:
        return []
    shown = rows[:_MOST_ROWS]
    names = columns_to_show(shown, without=set(without))[:_MOST_COLUMNS]
    lines = [_line(map(_code, names)), _line("---" for _ in names)]
    lines += [_line(_difference(row, name) for name in names) for row in shown]
    more = count - len(shown)
    return ["\n".join(lines), *([f"and {more:,} more {'row' if more == 1 else 'rows'}"] if more > 0 else [])]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _difference(row: RowChange, name: str) -> str:
    before, after = row["before"], row["after"]
    if after is None:
        return f"~~{_value((before or {}).get(name))}~~"
    if before is None:
        return f"new {_value(after.get(name))}"
    if name not in row["changed"]:
        return _value(after.get(name))
    return f"{_value(before.get(name))} → {_value(after.get(name))}"


def _value(value: object) -> str:
    if value is None:
        return "null"
    return _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _warnings(preview: Preview | None) -> list[str]:
    statement = as_statement(preview)
    texts = [*preview.origins, *statement.notices, *(preview.not_previewed or ())] if preview else []
    texts += [*statement.remarks, *(f"gets another value when it runs: {name}" for name in statement.volatile)]
    return ["\n".join(f"- ⚠ {_prose(text)}" for text in texts)]


def _prose(text: object) -> str:
    """Return text on one line in which nothing is Markdown: no link, image or tag can come from data."""
    return _MARKDOWN.sub(lambda found: f"\\{found.group()}", one_line(text))


def _code(value: object, *, most: int | None = _MOST_CELL) -> str:
    """Return text as a code span, also inside a table, whose cells a `|` would end."""
    text = one_line(value, most).replace("|", "\\|")
    if not text:
        return "(empty)"
    fence = "`" * (_longest_fence(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, _longest_fence(text) + 1)
    return f"{fence}{language}\n{clean(text)}\n{fence}"


def _longest_fence(text: str) -> int:
    return max((len(run) for run in _FENCES.findall(text)), default=0)
