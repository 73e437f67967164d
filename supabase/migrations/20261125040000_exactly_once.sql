-- Exactly once: how often an execution was begun, and what a human said of one whose outcome nobody could prove.
alter table agents.human_approval_queue
  add column attempts integer not null default 0;  -- claims that were taken and never let go: their holders died

alter table agents.agent_execution_log
  add column settled_by      text,        -- who said whether it happened, where it was not known
  add column settled_at      timestamptz,
  add column settled_comment text;
create index agent_execution_log_unknown on agents.agent_execution_log (tenant_id, id) where status = 'unknown';
