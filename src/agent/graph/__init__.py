"""The LangGraph application: `graph` for LangGraph Studio, `open_graph` with the Postgres checkpointer."""

from agent.graph.application import builder, graph, open_graph

__all__ = ["builder", "graph", "open_graph"]
