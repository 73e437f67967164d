"""Numbers the advisory locks: one for each task that only one session of a database may do at a time."""

from __future__ import annotations

MIGRATION = 7_246_105_001
EMBEDDING_INDEX = 7_246_105_002  # taken by the migration's own function
LOGINS = 7_246_105_003  # two set-ups at once would change the same catalog rows
DEMO = 7_246_105_004
CHECKPOINT_TABLES = 7_246_105_005
AUDIT = 7_246_105_006  # combined with the tenant
