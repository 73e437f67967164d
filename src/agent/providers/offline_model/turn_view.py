"""One turn as the offline model sees it: the question, what came before, what is known, what the tools said, and what it may do next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from agent.providers.offline_model.join_graph import Graph
from agent.providers.offline_model.lexicon import Lexicon, lexicon_of
from agent.providers.offline_model.memory_parser import MemoryLine, meanings, parse_memories
from agent.providers.offline_model.schema_parser import parse_schema

# The graph speaks to a model in the user's role when it wants something; these are not the user's questions.
_MARKED = re.compile(r"<data (?P<mark>\w+) result>\n(?P<data>.*)\n</data (?P=mark)>", re.DOTALL)
_NUDGES = ("You have no tool calls left", "Your answer was empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Call a tool."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cannot:
    """Not understood, and why; another intent may do better."""

    reason: str


Step: TypeAlias = Call | Say | Cannot


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A tool call of this turn and its result."""

    tool: str
    arguments: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def success(self) -> bool:
        return bool(self.result.get("success"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`earlier` are the questions before this one, oldest first."""

    question: str
    earlier: tuple[str, ...]
    lexicon: Lexicon
    graph: Graph
    memories: tuple[MemoryLine, ...]
    tools: frozenset[str]
    outcomes: tuple[Outcome, ...]

    def outcome(self, tool: str, **arguments: Any) -> Outcome | None:
        """The last result of `tool`, called with these arguments at least."""
        for outcome in reversed(self.outcomes):
            if outcome.tool == tool and all(outcome.arguments.get(k) == v for k, v in arguments.items()):
                return outcome
        return None

    def described(self, name: str | None = None) -> bool:
        """Whether describe_schema was called for `name` in this turn."""
        return any(o.tool == "describe_schema" and o.arguments.get("name") == name for o in self.outcomes)


def turn_of(messages: Sequence[BaseMessage], tools: frozenset[str]) -> Turn:
    """Read a conversation. Schema text is taken from the system's messages and from describe_schema, never from data."""
    questions = [n for n, m in enumerate(messages) if isinstance(m, HumanMessage) and not m.text.startswith(_NUDGES)]
    start = questions[-1] if questions else len(messages)
    system = [message.text for message in messages if isinstance(message, SystemMessage)]
    outcomes = tuple(_outcomes(messages[start:]))
    texts = [text for o in outcomes if o.tool == "describe_schema" and o.success for text in texts_in(o.result)]
    relations = parse_schema([*system, *texts])
    memories = parse_memories(system)
    return Turn(
        question=messages[start].text if questions else "",
        earlier=tuple(messages[n].text for n in questions[:-1]),
        lexicon=lexicon_of(relations, meanings(memories)),
        graph=Graph(relations),
        memories=memories,
        tools=tools,
        outcomes=outcomes,
    )


def texts_in(result: Mapping[str, Any]) -> list[str]:
    """The texts that a tool result carries, wherever the tool put them."""
    data = result.get("data")
    found = [result.get("message"), data]
    if isinstance(data, dict):
        found += data.values()
    return [text for text in found if isinstance(text, str) and text.strip()]


def _outcomes(messages: Sequence[BaseMessage]) -> Iterator[Outcome]:
    calls = {call["id"]: call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
    for message in messages:
        if isinstance(message, ToolMessage) and message.tool_call_id in calls:
            call = calls[message.tool_call_id]
            yield Outcome(tool=call["name"], arguments=call["args"], result=_result(message.text))


def _result(text: str) -> Mapping[str, Any]:
    marked = _MARKED.fullmatch(text)
    try:
        result = json.loads(marked["data"] if marked else text)
    except ValueError:
        result = None
    if isinstance(result, dict):
        return result
    return {"success": False, "error": "the tool's result could not be read"}
