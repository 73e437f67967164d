"""The database: embedded server, logins, pools, tenant-scoped transactions, named queries, migrations."""

from agent.db.database import Connection, Database
from agent.db.queries import load_queries

__all__ = ["Connection", "Database", "load_queries"]
