"""Goes on with what other processes left or handed over: approved actions, decided turns, turns of processes that died."""

from agent.worker.worker import Worker

__all__ = ["Worker"]
