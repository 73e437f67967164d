"""The built-in chat model: it needs no key and no network, and gives the same answer to the same messages.

It gets the messages that every model gets. `turn_view` reads a turn, with `schema_parser` and `memory_parser`. `parser`
turns the question into a `Query`, with `tokenizer`, `lexicon`, `parse_state`, `sentence_frame`, `entities`, `conditions`,
`dates`, `value_binding`, `query_parts`, `ranking` and `followups`. `sql_writer` writes the SQL, along the `join_graph`.
`answers` and `reply` write the answer. Each kind of request has one file in `intents`.
"""
