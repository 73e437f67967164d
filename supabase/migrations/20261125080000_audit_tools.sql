-- What may run without a question is under the audit log too: the application's functions that a human trusts, and the tools
-- that the agent made.
call agents.audit('agents.trusted_functions');
call agents.audit('agents.created_tools');
