-- No process waits for another one to post: a message gets its buttons once it is noted.
alter table agents.messages drop column if exists held;
