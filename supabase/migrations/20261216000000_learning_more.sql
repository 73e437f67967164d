-- A reaction to an answer in a messaging service is about the turn that the answer ended.

alter table agents.messaging_texts
  add column message_id text,     -- of an answer that was sent: the message that shows it
  add column turn       integer;  -- of an answer that was sent: the turn that it ended
create index messaging_texts_posted on agents.messaging_texts (tenant_id, service, message_id) where message_id is not null;
