"""Database access: the embedded server, logins, connection pools, tenant-scoped transactions, named queries, migrations."""

from agent.db.database import Database
from agent.db.paths import Connection
from agent.db.queries import load_queries

__all__ = ["Connection", "Database", "load_queries"]
