-- Lists are read page by page, each after the last entry of the page before: an index for each order.

create index agent_execution_log_number on agents.agent_execution_log (tenant_id, id);
create index human_approval_queue_order on agents.human_approval_queue (tenant_id, created_at, id);
