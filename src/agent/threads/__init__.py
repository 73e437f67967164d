"""Stores threads, turns and tool calls. They are the record of what was asked and done; LangGraph's checkpoints are disposable.

A thread has one turn at a time: the run that works on it holds a lease that expires, and no connection.
"""

from agent.threads.records import (
    BegunTurn,
    Choice,
    RequestedCall,
    StoredCall,
    ThreadSummary,
    Transcript,
    Turn,
    TurnRecord,
)
from agent.threads.rights import acting_for_asker, check_asked_so
from agent.threads.store import TURNS_WITH_CALLS, check_thread_id, threads

__all__ = [
    "TURNS_WITH_CALLS",
    "BegunTurn",
    "Choice",
    "RequestedCall",
    "StoredCall",
    "ThreadSummary",
    "Transcript",
    "Turn",
    "TurnRecord",
    "acting_for_asker",
    "check_asked_so",
    "check_thread_id",
    "threads",
]
