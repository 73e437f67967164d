"""Build the LangGraph application.

    START -> load_knowledge -> act -> safe_executor (one per call) -> collect -> act ... -> save_memory -> END
                                                                      collect -> human_approval -> collect

A call that is the only one of its round needs no join: its `safe_executor` goes where `collect` would go.

A node that has a choice returns the next node, and its signature names the choices. LangGraph Studio serves `graph` with
a checkpointer of its own. `open_graph` compiles the same builder with the Postgres checkpointer.
"""

from __future__ import annotations

from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent.execution.safe_executor import safe_executor
from agent.graph.checkpoints import Checkpointer
from agent.graph.nodes import act, collect, human_approval, load_knowledge, safe_executor_node, save_memory
from agent.graph.state import Question, State
from agent.runtime import Runtime

builder = StateGraph(State, input_schema=Question)
builder.add_node("load_knowledge", load_knowledge)
builder.add_node("act", act)
builder.add_node("safe_executor", safe_executor_node)
builder.add_node("collect", collect)
builder.add_node("human_approval", human_approval)
builder.add_node("save_memory", save_memory)

builder.add_edge(START, "load_knowledge")
builder.add_edge("human_approval", "collect")

graph = builder.compile(name="agent")


async def open_graph(runtime: Runtime) -> CompiledStateGraph[State, None, Question, State]:
    """Compile the graph with the Postgres checkpointer of this runtime's tenant. Create its tables if they are missing.

    First run the approved actions that an earlier process left when it ended.
    """
    await safe_executor.execute_left_over(runtime=runtime)
    checkpointer = await Checkpointer.open(runtime)
    return builder.compile(checkpointer=checkpointer, name="agent")
