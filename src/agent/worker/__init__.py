"""Goes on with what other processes left or handed over: approved actions, decided turns, turns of processes that died."""

from agent.worker.scaling import Bounds
from agent.worker.supervised import orders_on_stdin, run_supervised
from agent.worker.supervisor import Change, Supervisor
from agent.worker.worker import Worker

__all__ = ["Bounds", "Change", "Supervisor", "Worker", "orders_on_stdin", "run_supervised"]
