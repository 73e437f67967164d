"""Answers from memory, and searches it when the prompt has too little: "What do you remember about...", "what does status 3 mean?"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.providers.offline_model.answers import failure_message
from agent.providers.offline_model.tokenizer import clean, words_of
from agent.providers.offline_model.turn_view import Answer, Call, Outcome, Refusal, Step, Turn
from agent.text.words import STOP_WORDS

_MEANING = re.compile(r"^\W*what (?:does|do|did) (?P<about>.+?) (?:mean|stand for)\W*$", re.I | re.S)
_RECALL = re.compile(
    r"^\W*(?:please |and |so )*(?:(?:what|which things|anything|something) (?:do|did|can|have) (?:you|we|i) "
    r"(?:remember|recall|know|learn(?:ed)?|say|said|tell|told|ask(?:ed)?|discuss(?:ed)?|decide|decided|talk(?:ed)?|agree(?:d)?|note(?:d)?|find|found|change|changed|do|done)"
    r"|do you (?:still )?(?:remember|recall)|what was (?:said|decided|changed|done|agreed)|remind (?:me|us)|search (?:your |the )?memory|recall"
    r"|what (?:have|did) (?:you|we) .*(?:last time|before|earlier))\b"
    r"(?: you| me| us)?(?: about| of| regarding| on| for| to)?\s*(?P<about>.*?)\W*$",
    re.I | re.S,
)
_MOST_MEMORIES = 5


def recall(turn: Turn) -> Step | None:
    """Return the call that searches memory, or what it returned."""
    question = clean(turn.question)
    match = _MEANING.match(question) or _RECALL.match(question)
    if not match:
        return None
    about = match["about"].strip() or question
    known = [line.text for line in turn.memories if line.kind != "schema" and _is_about(line.text, about)]
    outcome = turn.outcome("search_memory")
    if outcome is None and "search_memory" in turn.tools and not (known and _MEANING.match(question)):
        return Call(tool="search_memory", arguments={"query": about, "limit": _MOST_MEMORIES})
    if outcome is not None and not outcome.success and not known:
        return Answer(text=failure_message(outcome.result))
    texts = list(dict.fromkeys([*known, *_memory_texts(outcome)]))[:_MOST_MEMORIES]
    if texts:
        return Answer(text="I remember:\n" + "\n".join(f"- {text}" for text in texts))
    return Answer(text="I remember nothing about that.") if outcome else Refusal(reason="I cannot search memory here")


def _is_about(text: str, about: str) -> bool:
    wanted = {word for word in words_of(about) if word not in STOP_WORDS}
    return bool(wanted) and wanted.issubset(words_of(text))


def _memory_texts(outcome: Outcome | None) -> Iterable[str]:
    """Return the texts of memories in a result of search_memory, which has rows or a list."""
    if outcome is None or not outcome.success:
        return []
    result: Mapping[str, Any] = outcome.result
    columns = result.get("columns") or []
    if "content" in columns:
        at = columns.index("content")
        return [str(row[at]) for row in result.get("rows") or []]
    data = result.get("data")
    items = data.get("memories") if isinstance(data, dict) else data
    if isinstance(items, list):
        return [str(item["content"] if isinstance(item, dict) and "content" in item else item) for item in items]
    return [str(text) for text in (result.get("message"),) if text]
