"""Stores memories, each text once, and embeds them. `agent.learning.semantic_search` finds them."""

from agent.learning.memory.records import Memory, NewMemory
from agent.learning.memory.store import AgentMemory, agent_memory

__all__ = ["AgentMemory", "Memory", "NewMemory", "agent_memory"]
