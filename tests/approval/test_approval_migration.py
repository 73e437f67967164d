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


def test_messages_from_before_keep_their_place_for_every_tenant(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that was posted before the routes came is known by its place, so that nobody is asked again."""
    url = cluster.empty_database()
    every = migrations.all_migrations()
    with monkeypatch.context() as before:
        before.setattr(migrations, "all_migrations", lambda: [one for one in every if one.version < "20261204500000"])
        migrations.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into agents.messages (tenant_id, approval_id, service, place, binding, message_id)"
            " values ('one', 7, 'slack', 'C1', 'b', '11.5'), ('two', 7, 'telegram', '-5', 'b', null)"
        )
        migrations.migrate(url)
        rows = conn.execute(
            "select tenant_id, first_service, first_place, message_id, tried from agents.messages order by 1"
        ).fetchall()
        assert rows == [("one", "slack", "C1", "11.5", []), ("two", "telegram", "-5", None, [])]
        with pytest.raises(psycopg.errors.UniqueViolation):  # the same request for the same place
            conn.execute(
                "insert into agents.messages (tenant_id, approval_id, service, place, binding, first_service, first_place)"
                " values ('one', 7, 'telegram', '-9', 'b', 'slack', 'C1')"
            )
