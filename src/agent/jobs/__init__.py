"""Durable background work: schedules and long jobs on DBOS, in the agent's own Postgres.

More processes on the same Postgres share the work. Each tick of a schedule is one workflow, whose id is made from its time, so
that one process runs it; a supervisor in every process takes over the jobs of processes that died.
"""

from agent.jobs.jobs import Jobs

__all__ = ["Jobs"]
