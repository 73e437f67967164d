"""Rehearses recorded turns: the compiled graph runs, and what it would write is dropped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import uuid4

from langchain_core.messages import HumanMessage
from langgraph.graph.state import CompiledStateGraph

from agent.errors import AgentError, OperatorError, PolicyError
from agent.execution.controls import controls
from agent.graph.application import builder
from agent.graph.parameters import MOST_ROUNDS
from agent.graph.rehearsal import NotReplayable, Recorded, Rehearsal, Rehearsed, rehearsal
from agent.graph.rules import remarks_in
from agent.runtime import Runtime, use_runtime
from agent.threads import threads


async def recorded_turn(thread_id: str, turn: int, *, runtime: Runtime) -> Recorded:
    """Return a recorded turn with its calls, and with the conversation before it. Raises `NotFound`."""
    return Recorded(
        thread_id=thread_id, transcript=await threads.transcript(thread_id, turn, runtime=runtime)
    )  # fmt: skip


async def rehearse(
    recorded: Recorded, parameters: Mapping[str, Any], *, most_usd: float = 0.0, runtime: Runtime
) -> Rehearsed:
    """Run a recorded turn again with `parameters`, without any effect, for at most `most_usd`."""
    began, graph = time.monotonic(), _compiled()
    config: Any = {
        "configurable": {"thread_id": f"{runtime.tenant_id}/{recorded.thread_id}", "run_id": str(uuid4())},
        "recursion_limit": 4 * MOST_ROUNDS + 20,
    }
    message = HumanMessage(recorded.question, id=str(uuid4()))
    with use_runtime(runtime), rehearsal(recorded, parameters, most_usd=most_usd) as trial:
        try:
            await controls.check(writing=False, runtime=runtime)
            await graph.ainvoke({"messages": [message]}, config)
        except NotReplayable as error:
            return replace(_seen(trial, began), reason=str(error))
        except (OperatorError, PolicyError):
            raise
        except AgentError as error:
            return replace(_seen(trial, began), reason=f"it could not be run: {error}")
    return _seen(trial, began)


@cache
def _compiled() -> CompiledStateGraph[Any, Any, Any, Any]:
    return builder.compile(name="rehearsal")


def _seen(trial: Rehearsal, began: float) -> Rehearsed:
    ended = trial.ended or {}
    sources = ended.get("ending", {}).get("sources", {})
    known = remarks_in(trial.calls)
    return Rehearsed(
        answer=ended.get("answer", ""), error=ended.get("error"), calls=tuple(trial.calls),
        marks=[one for one in sources.get("remarks", ()) if one not in known], seconds=time.monotonic() - began,
        cost_usd=trial.usage.cost_usd or 0.0,
    )  # fmt: skip
