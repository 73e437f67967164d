-- conversation: a thread up to one of its turns, like agents.transcript, with the turns that its summary has replaced since
SELECT jsonb_build_object('summary', '',
         'turns', (SELECT jsonb_agg(to_jsonb(part) ORDER BY part.turn)
                     FROM (SELECT turn, question, answer, status FROM agents.turns
                            WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn <= %(turn)s
                            ORDER BY turn DESC LIMIT %(most_turns)s) part),
         'calls', (SELECT jsonb_agg(to_jsonb(part) ORDER BY part.turn, part.round, part.ordinal)
                     FROM (SELECT turn, round, ordinal, call_id, tool, arguments, said, status, approval_id, result
                             FROM agents.tool_calls
                            WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn > %(turn)s - %(turns_with_calls)s
                              AND turn <= %(turn)s AND (turn = %(turn)s OR status = 'done')) part)) AS transcript
