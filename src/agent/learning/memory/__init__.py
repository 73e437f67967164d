"""Memories: stored once, embedded, and found again by `agent.learning.semantic_search`."""

from agent.learning.memory.store import AgentMemory, Memory, NewMemory, agent_memory

__all__ = ["AgentMemory", "Memory", "NewMemory", "agent_memory"]
