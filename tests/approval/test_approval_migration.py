"""The tables of approvals come to a database that has approvals already."""

from __future__ import annotations

import psycopg
import pytest

from agent.db import migrations
from agent.testing.cluster import Cluster

_OLD = "20261125020000"
_ASKED = """
insert into agents.human_approval_queue (tenant_id, database_id, action, arguments, risk_level, binding, status, thread_id, turn,
  round, ordinal, expires_at)
select 'default', 'd', 'act', '{}', 'LOW', 'x', status, 't', 1, 1, row_number() over (), now()
  from unnest(array['pending', 'approved', 'rejected', 'expired']) status
"""


def test_requests_from_before_keep_their_state_and_need_one_vote(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = cluster.empty_database()
    every = migrations.all_migrations()
    with monkeypatch.context() as before:
        before.setattr(migrations, "all_migrations", lambda: [one for one in every if one.version < _OLD])
        migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_ASKED)
        conn.execute(
            "insert into agents.agent_execution_log (tenant_id, database_id, action, verdict, risk_level, status, approval_id)"
            " select tenant_id, database_id, action, 'ask', 'LOW', 'succeeded', id from agents.human_approval_queue limit 1"
        )
        assert _OLD in migrations.migrate(url)
        rows = conn.execute(
            "select status, votes_needed, approved_by, replaces from agents.human_approval_queue order by id"
        ).fetchall()
    assert rows == [(status, 1, [], None) for status in ("pending", "approved", "rejected", "expired")]
