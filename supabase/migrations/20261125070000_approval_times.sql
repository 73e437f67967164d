-- No request waits for ever or was asked before the calendar: whoever changes a time by hand may not give an approval more
-- than the year that it can be asked for, nor a time that a client cannot read. NOT VALID: rows that are there stay.
alter table agents.human_approval_queue
  add constraint human_approval_queue_times check (
    expires_at <= created_at + interval '367 days'
    and least(created_at, expires_at, decided_at, claimed_until, reminded_at, escalated_at) >= '2000-01-01Z'
    and greatest(created_at, expires_at, decided_at, claimed_until, reminded_at, escalated_at) < '9000-01-01Z'
  ) not valid;
