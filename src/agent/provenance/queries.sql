-- conversation: a thread up to one of its turns, like agents.transcript, and also what is only in its summary by now
SELECT jsonb_build_object('summary', '',
         'turns', (SELECT jsonb_agg(to_jsonb(shown) ORDER BY shown.turn)
                     FROM (SELECT turn, question, answer, status FROM agents.turns
                            WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn <= %(turn)s
                            ORDER BY turn DESC LIMIT %(most_turns)s) shown),
         'calls', (SELECT jsonb_agg(to_jsonb(shown) ORDER BY shown.turn, shown.round, shown.ordinal)
                     FROM (SELECT turn, round, ordinal, call_id, tool, arguments, said, status, approval_id, result
                             FROM agents.tool_calls
                            WHERE tenant_id = %(tenant_id)s AND thread_id = %(thread_id)s AND turn > %(turn)s - %(turns_with_calls)s
                              AND turn <= %(turn)s AND (turn = %(turn)s OR status = 'done')) shown)) AS transcript
