"""Threads, turns and tool calls: the truth about what was asked and done; LangGraph's checkpoints are disposable.

A thread has one turn at a time: whoever works on it holds an expiring lease, named by the run, never a connection.
"""

from agent.threads.records import BegunTurn, RequestedCall, StoredCall, ThreadSummary, Transcript, Turn, TurnRecord
from agent.threads.store import TURNS_WITH_CALLS, check_thread_id, threads

__all__ = [
    "TURNS_WITH_CALLS",
    "BegunTurn",
    "RequestedCall",
    "StoredCall",
    "ThreadSummary",
    "Transcript",
    "Turn",
    "TurnRecord",
    "check_thread_id",
    "threads",
]
