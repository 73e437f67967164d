"""Ask a human by an interrupt of LangGraph, in our graph and in tools that run in somebody else's.

The row of the queue decides: a resume value is only a proposal to it, and the interrupt comes again until the row is decided.
"""

from __future__ import annotations

from typing import Any

import structlog
from langgraph.types import interrupt

from agent.approval.human_approval import Approval, human_approval_queue
from agent.errors import AlreadyDecided, ModelError, PolicyError, UserError
from agent.execution.execution_tools import tool_specs
from agent.graph.interrupts import approval_request, response_schema, tool_approval
from agent.graph.rules import read_decision
from agent.operations import approvals
from agent.operations.approvals import HumanDecision
from agent.runtime import Runtime

_log = structlog.get_logger(__name__)


async def decided_by_interrupt(approval_id: int, runtime: Runtime) -> Approval:
    """Return a request when it is decided; interrupt the graph until then."""
    approval, problem = await human_approval_queue.get(approval_id, runtime=runtime), ""
    while approval.status == "pending":
        problem = await _decide(approval, _answer(approval, problem, runtime), runtime)
        approval = await human_approval_queue.get(approval.id, runtime=runtime)
    return approval


def _answer(approval: Approval, problem: str, runtime: Runtime) -> Any:
    """Interrupt the graph in the form of the settings, or return the answer to that interrupt."""
    database = runtime.app.target("agent_actor")
    if runtime.settings.interrupt_form == "batched":
        return interrupt(approval_request(approval, database=database, problem=problem))
    parameters = next((tool.parameters for tool in tool_specs() if tool.name == approval.action), None)
    # A schema as JSON is only shown: LangGraph would raise at a wrong answer, and here the request says what is wrong.
    schema = response_schema(approval, parameters)
    return interrupt(tool_approval(approval, database=database, problem=problem), response_schema=schema)


async def _decide(approval: Approval, value: Any, runtime: Runtime) -> str:
    """Apply a resume value to the request, unless it is decided already.

    Returns a sentence that says why the request still waits, or '' if it is decided.
    """
    resumed = read_decision(value, action=approval.action, arguments=approval.arguments)
    current = await human_approval_queue.get(approval.id, runtime=runtime)
    if current.status != "pending":
        return ""
    if resumed.decision is None:
        return resumed.problem
    # A node gets its resume value again each time it runs again. A delegation in it may be outdated by now.
    if resumed.delegate_to and any(
        (decision["via"], decision["detail"]) == ("graph", resumed.delegate_to)
        for decision in await human_approval_queue.decisions(approval.id, runtime=runtime)
    ):
        return _waits_for(current)
    human = HumanDecision(
        decision=resumed.decision, arguments=resumed.arguments, delegate_to=resumed.delegate_to, binding=approval.binding,
        comment=None if resumed.decision == "respond" else resumed.message,
        response=resumed.message if resumed.decision == "respond" else None, final=resumed.final,
    )  # fmt: skip
    try:
        current = (await approvals.decide(approval.id, human, via="graph", runtime=runtime)).approval
    except AlreadyDecided as error:
        _log.info("decision_came_second", approval_id=approval.id)
        return f"{error} "
    except (PolicyError, UserError, ModelError) as error:  # other arguments or another person can make it right
        return f"{error} "
    return "" if current.status != "pending" else _waits_for(current)


def _waits_for(approval: Approval) -> str:
    if approval.delegated_to:
        return f"Delegated to {approval.delegated_to}. "
    return f"Approved by {', '.join(approval.approved_by)}; {approval.votes_needed} people must. "
