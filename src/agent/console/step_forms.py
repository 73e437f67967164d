"""Turns a step of a plan into the fields of a form, and the fields into a step. What cannot be read stays in its field, with a sentence. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.orchestration.catalogue import ActionInfo, AgentInfo
from agent.orchestration.references import is_reference

FEW_STEPS = 40  # so many others are shown as boxes to tick; of more, the ids are written
_BLANK_ROWS = 2
_PARAMETER = re.compile(r"\{\w+\}")
KINDS = {"text": "text", "number": "number", "yes-no": "yes or no", "from": "from a step", "json": "JSON"}
_KIND_OF = {"string": "text", "integer": "number", "number": "number", "boolean": "yes-no"}
_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no", "array": "list", "object": "object"}  # fmt: skip
Fields = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A named value of an input: `prefix` begins the names of its fields. `about` says what the action wants in it."""

    prefix: str
    name: str
    kind: str
    value: str
    about: str = ""
    known: bool = False


@dataclass(slots=True, kw_only=True)
class Read:
    """What a form says: the step, and for each field that cannot be read why."""

    step: dict[str, Any]
    errors: dict[str, list[str]] = field(default_factory=dict)

    def wrong(self, name: str, text: str) -> None:
        """Note that a field cannot be read."""
        self.errors.setdefault(name, []).append(text)


def fields_of(step: Mapping[str, Any]) -> Fields:
    """Return the fields of a step. Parts that have the wrong type are shown as text."""
    retry, approval, back = (_mapping(step.get(name)) for name in ("retryPolicy", "approval", "compensation"))
    made: Fields = {
        "id": _text(step.get("id")), "kind": "human" if "approval" in step else "plan" if "plan" in step else "agent",
        "agent": _text(step.get("agentId")), "action": _text(step.get("action")), "timeout": _seconds(step.get("timeout")),
        "retries": _text(retry.get("maxRetries")), "pause": _seconds(retry.get("backoffMs")), "exponential": "on" if retry.get("exponential") else "",
        "jitter": _text(retry.get("jitter")), "final_errors": ", ".join(map(_text, _list(retry.get("nonRetryable")))),
        "each": _list_or_path(step.get("forEach")), "concurrency": _text(step.get("concurrency")),
        "ask_summary": _text(approval.get("summary")), "ask_risk": _text(approval.get("riskLevel")), "ask_seconds": _seconds(approval.get("timeout")),
        "back_agent": _text(back.get("agentId")), "back_action": _text(back.get("action")),
    }  # fmt: skip
    when = step.get("when")
    if isinstance(when, Mapping):
        made["when_path"] = _text(when.get("$from"))
        made["when_kind"], made["when_value"] = _shown(when["equals"]) if "equals" in when else ("", "")
    made |= {f"after-{at}": _text(name) for at, name in enumerate(_list(step.get("dependencies")))}
    for prefix, given in (("in", step.get("input")), ("bk", back.get("input"))):
        for at, (name, value) in enumerate(_mapping(given).items()):
            made |= _row_fields(f"{prefix}-{at}", name, value)
    return {name: value for name, value in made.items() if value != ""}


def rows_of(fields: Fields, prefix: str, takes: Mapping[str, Any] | None = None, *, blank: int = _BLANK_ROWS) -> list[Row]:  # fmt: skip
    """Return the rows of an input: those that are there, those that the action knows, and some blank ones."""
    properties, required = _mapping(_mapping(takes).get("properties")), _list(_mapping(takes).get("required"))
    found: list[Row] = []
    for at in _numbers(fields, prefix):
        name = fields.get(f"{prefix}-{at}-name", "")
        row = Row(
            prefix=f"{prefix}-{at}", name=name, kind=fields.get(f"{prefix}-{at}-kind", "text"), value=fields.get(f"{prefix}-{at}-value", ""),
            about=_about(properties[name], name in required) if name in properties else "", known=name in properties,
        )  # fmt: skip
        if row.name or row.value:
            found.append(row)
    free = max(_numbers(fields, prefix), default=-1) + 1
    there = {row.name for row in found}
    for name, schema in properties.items():
        if name not in there:
            found.append(
                Row(
                    prefix=f"{prefix}-{free}", name=name, kind=_kind_for(schema), value="", about=_about(schema, name in required), known=True
                )
            )  # fmt: skip
            free += 1
    return [*found, *(Row(prefix=f"{prefix}-{free + at}", name="", kind="text", value="") for at in range(blank))]


def step_of(fields: Fields, before: Mapping[str, Any]) -> Read:
    """Return the step that a form describes. `before` is what it was: a plan inside it is edited elsewhere."""
    read = Read(step={"id": fields.get("id", "").strip()})
    kind = fields.get("kind", "agent")
    if kind == "human":
        ask = {"summary": fields.get("ask_summary", "").strip(), "riskLevel": fields.get("ask_risk", ""), "timeout": milliseconds(read, fields, "ask_seconds")}  # fmt: skip
        read.step["approval"] = {name: value for name, value in ask.items() if value not in ("", None)}
    elif kind == "plan" and "plan" in before:
        read.step["plan"] = before["plan"]
    else:
        agent, action = fields.get("agent", "").strip(), fields.get("action", "").strip()
        if fields.get("does", "") != fields.get("does_was", "") and " " in fields.get("does", ""):
            agent, _, action = fields["does"].partition(" ")
        read.step |= {name: value for name, value in (("agentId", agent), ("action", action)) if value}
    for name, value in _settings(read, fields).items():
        read.step[name] = value
    return read


def _settings(read: Read, fields: Fields) -> dict[str, Any]:
    """Return everything of a step beside who does it."""
    found: dict[str, Any] = {}
    if given := _values(read, fields, "in", "input"):
        found["input"] = given
    written = [one.strip() for one in fields.get("after_more", "").split("\n")]
    ticked = [fields[f"after-{at}"] for at in _numbers(fields, "after")]
    if after := list(dict.fromkeys(filter(None, [*ticked, *written]))):
        found["dependencies"] = after
    if path := fields.get("when_path", "").strip():
        kind = fields.get("when_kind", "")
        found["when"] = {"$from": path}
        if kind:
            found["when"]["equals"] = _value(read, "when", kind, fields.get("when_value", ""))
    if each := fields.get("each", "").strip():
        found["forEach"] = _value(read, "forEach", "json", each) if each.startswith("[") else {"$from": each}
        if fields.get("concurrency", "").strip():
            found["concurrency"] = _value(read, "concurrency", "number", fields["concurrency"])
    if (timeout := milliseconds(read, fields, "timeout")) is not None:
        found["timeout"] = timeout
    if retry := _retry(read, fields):
        found["retryPolicy"] = retry
    if action := fields.get("back_action", "").strip():
        back = {"agentId": fields.get("back_agent", "").strip(), "action": action, "input": _values(read, fields, "bk", "compensation")}  # fmt: skip
        found["compensation"] = {name: value for name, value in back.items() if value}
    return found


def _retry(read: Read, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in (("retries", "maxRetries"), ("jitter", "jitter")):
        if fields.get(name, "").strip():
            found[key] = _value(read, "retryPolicy", "number", fields[name])
    if (pause := milliseconds(read, fields, "pause", "retryPolicy")) is not None:
        found["backoffMs"] = pause
    if fields.get("exponential"):
        found["exponential"] = True
    if final := [one.strip() for one in fields.get("final_errors", "").split(",") if one.strip()]:
        found["nonRetryable"] = final
    return found


def _values(read: Read, fields: Fields, prefix: str, error: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at in _numbers(fields, prefix):
        name, text = fields.get(f"{prefix}-{at}-name", "").strip(), fields.get(f"{prefix}-{at}-value", "")
        if not name:
            if text.strip():
                read.wrong(error, f"The value {text[:40]!r} has no name: give it one, or take it out.")
            continue
        if name in found:
            read.wrong(error, f"{name!r} is there twice: take one of them out.")
        if text == "" and fields.get(f"{prefix}-{at}-known"):
            continue  # the action knows the field, and nobody filled it in
        found[name] = _value(read, error, fields.get(f"{prefix}-{at}-kind", "text"), text, name)
    return found


def _value(read: Read, error: str, kind: str, text: str, name: str = "") -> Any:
    """Return a value as its kind says. One that cannot be read is noted, and is its text."""
    said = f"{name}: " if name else ""
    plain = text.strip()
    if kind == "text" or _PARAMETER.fullmatch(plain):
        return text if kind == "text" else plain
    if kind == "from":
        if not plain:
            read.wrong(error, f"{said}name the step that it comes from, such as step.field.")
        return {"$from": plain}
    if kind == "yes-no":
        found = {"yes": True, "true": True, "no": False, "false": False}.get(plain.lower())
        if found is None:
            read.wrong(error, f"{said}write yes or no, not {plain[:40]!r}.")
        return plain if found is None else found
    try:
        value = json.loads(plain, parse_constant=_no_number)
    except (ValueError, RecursionError):
        read.wrong(error, f"{said}{plain[:40]!r} is no {'number' if kind == 'number' else 'JSON'}.")
        return text
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        read.wrong(error, f"{said}{plain[:40]!r} is no number.")
    return value


def _no_number(text: str) -> float:
    raise ValueError(text)


def milliseconds(read: Read, fields: Fields, name: str, error: str = "") -> float | int | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    value = _value(read, error or name, "number", text)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:
        return None
    found = round(value * 1000, 3)
    return int(found) if found == int(found) else found


def choices(agents: Sequence[AgentInfo]) -> list[tuple[AgentInfo, list[tuple[str, ActionInfo]]]]:
    """Return what can be chosen: each agent with the values of its actions."""
    return [(one, [(f"{one.id} {action.name}", action) for action in one.actions.values()]) for one in agents]


def action_of(agents: Sequence[AgentInfo], agent_id: str, action: str) -> tuple[str, ActionInfo | None]:
    """Return the choice that is an agent's action, and what is known of it; '' if it is none of them."""
    best = max((one for one in agents if agent_id.startswith(one.id)), key=lambda one: len(one.id), default=None)
    if best is None or action not in best.actions:
        return "", None
    return f"{best.id} {action}", best.actions[action]


def _numbers(fields: Fields, prefix: str) -> list[int]:
    found = {int(match[1]) for name in fields if (match := re.match(rf"{prefix}-(\d{{1,4}})(?:-|\Z)", name))}
    return sorted(found)


def _row_fields(prefix: str, name: str, value: Any) -> Fields:
    kind, text = _shown(value)
    return {f"{prefix}-name": name, f"{prefix}-kind": kind, f"{prefix}-value": text}


def _shown(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return "yes-no", "yes" if value else "no"
    if isinstance(value, int | float):
        return "number", json.dumps(value)
    if isinstance(value, str):
        return "text", value
    if is_reference(value) and set(value) == {"$from"}:
        return "from", value["$from"]
    return "json", json.dumps(value, ensure_ascii=False, indent=None)


def _kind_for(schema: Any) -> str:
    return _KIND_OF.get(_type(schema), "text" if not _type(schema) else "json")


def _about(schema: Any, required: bool) -> str:  # noqa: FBT001  # one of two words
    words = [_TYPES.get(_type(schema), _type(schema)), "must be given" if required else ""]
    return ", ".join(filter(None, words)) + (f". {schema['description']}" if _mapping(schema).get("description") else "")  # fmt: skip


def _type(schema: Any) -> str:
    one = _mapping(schema)
    several = [part for part in _list(one.get("anyOf")) if _mapping(part).get("type") != "null"]
    return _text(one.get("type") or (_mapping(several[0]).get("type") if len(several) == 1 else ""))


def _list_or_path(value: Any) -> str:
    if value is None:
        return ""
    return value["$from"] if is_reference(value) else json.dumps(value, ensure_ascii=False)


def _seconds(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(value)
    return f"{value / 1000:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
