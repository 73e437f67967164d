"""Bring the agent's safety to the tools of agents that are made with `langchain.agents.create_agent`.

    agent = create_agent(model, tools=[write_file, search], middleware=[SafeExecutionMiddleware(reads={"search"})])

Every call of a tool is assessed by the operator's settings, asked about, and logged. The row of the queue decides. An
approved call runs once, also if it is approved twice, the graph is resumed twice, or the process dies in between.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from agent.approval.human_approval import Approval, human_approval_queue
from agent.errors import AgentError
from agent.execution import callers_tools
from agent.execution.callers_tools import CallersCall
from agent.execution.outside_effects import Happened
from agent.graph.asking import decided_by_interrupt
from agent.graph.langchain_tools import AssessedTool, call_in_graph, can_interrupt, has_checkpointer
from agent.privacy.typed_secrets import without_typed_secrets
from agent.runtime import Runtime, current_runtime
from agent.types import RiskLevel, ToolResult

_Answer = ToolMessage | Command[Any]
_Handler = Callable[[ToolCallRequest], Awaitable[_Answer]]
_MOST_KEPT = 20_000
_OWN_QUESTION = (
    "{tool} asks by an interrupt of its own, and its answer could be taken for the approval's: it is not run. "
    "Ask before the call, or keep this tool out of SafeExecutionMiddleware with `unguarded`."
)


class SafeExecutionMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """A middleware that asks a human before an agent's tools act, and has each approved call carried out once.

    `risks` names the risk of a tool, and `risk` that of all others; AGENT_ASK_FROM says from which risk on a human is asked.
    Tools in `reads` run at once and are logged; those in `unguarded` are left alone. `happened` tells, by tool, whether the
    effect of a call with some arguments is there: asked after a crash, where otherwise a human must look. A call takes at
    most `seconds`. Put this last among the middlewares, so that retries of others cannot repeat an approved call.
    """

    def __init__(
        self,
        *,
        runtime: Runtime | None = None,
        risk: RiskLevel = "HIGH",
        risks: Mapping[str, RiskLevel] | None = None,
        reads: Collection[str] = (),
        unguarded: Collection[str] = (),
        happened: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Happened]]] | None = None,
        seconds: float = 60.0,
    ) -> None:
        super().__init__()
        self._runtime = runtime
        self._risk: RiskLevel = risk
        self._risks = dict(risks or {})
        self._reads, self._unguarded = frozenset(reads), frozenset(unguarded)
        self._happened = dict(happened or {})
        self._seconds = seconds

    async def awrap_tool_call(self, request: ToolCallRequest, handler: _Handler) -> _Answer:
        """Run a tool's call if it may run, after a human has decided where one must."""
        name = request.tool_call["name"]
        if isinstance(request.tool, AssessedTool) or name in self._unguarded:
            return await handler(request)
        runtime = self._runtime or await current_runtime()
        call = self._call(request)
        started = time.monotonic()
        try:
            if call.reads:
                await call.check(runtime=runtime)
            else:
                return await self._decided(call, request, handler, runtime)
        except AgentError as error:
            refused = ToolResult(success=False, status="refused", error=str(error))
            await callers_tools.log(call, refused, duration_ms=_since(started), runtime=runtime)
            return _message(refused, request)
        run = _Run(request, handler, may_ask=True)
        result = await run.once()
        await callers_tools.log(call, result, duration_ms=_since(started), runtime=runtime)
        return run.answer_or_raise()

    def _call(self, request: ToolCallRequest) -> CallersCall:
        name, arguments = request.tool_call["name"], request.tool_call["args"]
        return CallersCall(
            tool=name, arguments=arguments, description=request.tool.description if request.tool else "",
            risk=self._risks.get(name, self._risk), reads=name in self._reads,
            key=call_in_graph(name, arguments, request.tool_call["id"]),
        )  # fmt: skip

    async def _decided(
        self, call: CallersCall, request: ToolCallRequest, handler: _Handler, runtime: Runtime
    ) -> _Answer:
        """Ask, wait for the decision, and carry the call out where it is a yes."""
        approval = await _decision(call, await callers_tools.ask(call, runtime=runtime), runtime)
        run = _Run(request, handler)
        happened = self._happened.get(call.tool)
        result = await callers_tools.carry_out(
            approval.id, run.once, happened=happened, seconds=self._seconds, runtime=runtime
        )
        return run.answer_or_raise() if run.began else _message(result, request)


async def _decision(call: CallersCall, approval: Approval, runtime: Runtime) -> Approval:
    """Return the request when it is decided: by an interrupt where the graph can be resumed, else in the queue."""
    if approval.status != "pending":
        return approval
    if call.key is not None and has_checkpointer() and await can_interrupt(call.key, approval.id, runtime):
        return await decided_by_interrupt(approval.id, runtime)
    return await human_approval_queue.wait(approval.id, runtime=runtime)


class _Run:
    """One run of the caller's tool, and what came of it for the caller's agent."""

    def __init__(self, request: ToolCallRequest, handler: _Handler, *, may_ask: bool = False) -> None:
        self._request, self._handler, self._may_ask = request, handler, may_ask
        self._answer: _Answer | None = None
        self._error: Exception | None = None
        self.began = False

    async def once(self) -> ToolResult:
        """Run the tool, and return its result as the log keeps it."""
        self.began = True
        try:
            self._answer = await self._handler(self._request)
        except GraphBubbleUp:
            if self._may_ask:
                raise
            text = _OWN_QUESTION.format(tool=self._request.tool_call["name"])
            self._answer = _message(ToolResult(success=False, error=text), self._request)
        except Exception as error:  # whatever somebody else's tool raises, the log keeps it, and the caller gets it
            self._error = error
            return _failed(f"{type(error).__name__}: {error}")
        text, failed = _text_of(self._answer)
        return _failed(text) if failed else ToolResult(success=True, status="succeeded", message=_kept(text))

    def answer_or_raise(self) -> _Answer:
        """Return what the tool answered, or raise what it raised."""
        if self._error is not None:
            raise self._error
        if self._answer is None:  # it was cut off
            text = f"It took longer than it may, or was cancelled. {_LOOK}"
            return _message(ToolResult(success=False, error=text), self._request)
        return self._answer


_LOOK = "Whether it happened is not known: it is not repeated."


def _failed(text: str) -> ToolResult:
    return ToolResult(success=False, status="failed", error=_kept(text))


def _kept(text: str) -> str:
    return without_typed_secrets(text[:_MOST_KEPT])


def _text_of(answer: _Answer) -> tuple[str, bool]:
    """Return an answer's text, and whether it says that the tool failed."""
    if isinstance(answer, Command):
        update = answer.update if isinstance(answer.update, Mapping) else {}
        said = [one for one in update.get("messages", ()) if isinstance(one, ToolMessage)]
    else:
        said = [answer]
    return "\n".join(one.text for one in said), any(one.status == "error" for one in said)


def _message(result: ToolResult, request: ToolCallRequest) -> ToolMessage:
    """Return a recorded result, or the reason why nothing ran, as the tool's message."""
    parts = [result.get("error", ""), result.get("message", "")]
    return ToolMessage(
        " ".join(filter(None, parts)) or str(result.get("status")),
        name=request.tool_call["name"], tool_call_id=request.tool_call["id"] or "",
        status="success" if result.get("success") else "error",
    )  # fmt: skip


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000
