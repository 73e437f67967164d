-- Outlets to queues of RabbitMQ.
alter table agents.agent_sync_outlets drop constraint agent_sync_outlets_kind_check;
alter table agents.agent_sync_outlets add constraint agent_sync_outlets_kind_check check (kind in ('redis', 'rabbitmq', 'supabase'));
