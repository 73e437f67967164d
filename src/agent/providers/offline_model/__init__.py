"""The built-in chat model: it needs no key and no network, and gives the same answer to the same messages.

It may do little and is never to be wrong. It gets the messages that every model gets. `turn_view` reads a turn, with `schema_parser`
and `memory_parser`. `questions` reads the question by a grammar: `ranking`, `rows` and `conditions` are its rules, `reader` reads words,
values and the `names` of the schema, `dates` spans of time, `followups` what leans on the question before. A question is answered
only when each of its words has its place in exactly one reading, a `query`. `values` lets the data tell in which column a value stands.
`sql_writer` writes the SQL along the `join_graph`, `answers` and `reply` the answer. Each kind of request has one file in `intents`;
`new_values` checks what a change would write.
"""
