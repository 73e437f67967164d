"""Reads the messages of one turn for the offline model: the question, the earlier questions, schema, memories and tool results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agent.providers.offline_model.join_graph import JoinGraph
from agent.providers.offline_model.memory_parser import MemoryLine, meanings, parse_memories
from agent.providers.offline_model.names import Names, names_of
from agent.providers.offline_model.schema_parser import parse_schema

_MARKED = re.compile(r"<data (?P<mark>\w+) result>\n(?P<data>.*)\n</data (?P=mark)>", re.DOTALL)
# What is known for the question stands before it, as data.
_KNOWN = re.compile(
    r"(?P<data><data (?P<mark>\w+) .*\n</data (?P=mark)>)\n\nThe question:\n(?P<question>.*)", re.DOTALL
)
# The graph also sends these reminders in the user's role; they are not questions.
_REMINDERS = ("You have no tool calls left", "Your answer was empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The next step is to call a tool."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The next step is to answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An intent does not understand the question; another intent may."""

    reason: str


Step: TypeAlias = Call | Answer | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One tool call of this turn with its result."""

    tool: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def success(self) -> bool:
        return bool(self.result.get("success"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """All that the intents know; `earlier` holds the questions before this one, oldest first."""

    question: str
    earlier: tuple[str, ...]
    names: Names
    graph: JoinGraph
    memories: tuple[MemoryLine, ...]
    tools: frozenset[str]
    outcomes: tuple[Outcome, ...]

    def outcome(self, tool: str, **arguments: Any) -> Outcome | None:
        """Return the last outcome of `tool` whose call had at least these arguments."""
        for outcome in reversed(self.outcomes):
            if outcome.tool == tool and all(outcome.arguments.get(k) == v for k, v in arguments.items()):
                return outcome
        return None

    def has_described(self, name: str | None = None) -> bool:
        """Return whether describe_schema was called for `name` in this turn."""
        return any(o.tool == "describe_schema" and o.arguments.get("name") == name for o in self.outcomes)


def turn_of(messages: Sequence[BaseMessage], tools: frozenset[str]) -> Turn:
    """Return the turn that `messages` end with. The schema comes from system messages and describe_schema, never from data."""
    questions = [n for n, m in enumerate(messages) if isinstance(m, HumanMessage) and not m.text.startswith(_REMINDERS)]
    start = questions[-1] if questions else len(messages)
    asked = [_KNOWN.fullmatch(messages[n].text) for n in questions]
    words = [found["question"] if found else messages[n].text for n, found in zip(questions, asked, strict=True)]
    known = str(asked[-1]["data"]) if asked and asked[-1] else ""
    system = [*(str(message.text) for message in messages if isinstance(message, SystemMessage)), known]
    outcomes = tuple(_outcomes(messages[start:]))
    texts = [text for o in outcomes if o.tool == "describe_schema" and o.success for text in texts_in(o.result)]
    relations = parse_schema([*system, *texts])
    memories = parse_memories(system)
    return Turn(
        question=words[-1] if words else "",
        earlier=tuple(words[:-1]),
        names=names_of(relations, meanings(memories)),
        graph=JoinGraph(relations),
        memories=memories,
        tools=tools,
        outcomes=outcomes,
    )


def texts_in(result: Mapping[str, Any]) -> list[str]:
    """Return the texts of a tool result, wherever the tool put them."""
    data = result.get("data")
    values = [result.get("message"), data]
    if isinstance(data, dict):
        values += data.values()
    return [text for text in values if isinstance(text, str) and text.strip()]


def _outcomes(messages: Sequence[BaseMessage]) -> Iterator[Outcome]:
    calls = {call["id"]: call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    for message in messages:
        if isinstance(message, ToolMessage) and message.tool_call_id in calls:
            call = calls[message.tool_call_id]
            yield Outcome(tool=call["name"], arguments=call["args"], result=_result(message.text))


def _result(text: str) -> Mapping[str, Any]:
    marked = _MARKED.match(text)  # a line after it says how many rounds are left
    try:
        result = json.loads(marked["data"] if marked else text)
    except ValueError:
        result = None
    if isinstance(result, dict):
        return result
    return {"success": False, "error": "the tool's result is not a JSON object"}
