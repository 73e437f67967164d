"""The built-in chat model: no key, no network, the same answer to the same messages.

It sees what any model sees. A turn's messages (`turn`, `schema_text`, `memory_text`) become a question about known
relations (`language`, `lexicon`, `reader` with `reading`, `frame`, `conditions`, `clauses`, `entities`, `dates`,
`followups`), the question a query (`query`, `binding`, `sql`), and results an answer (`answers`, `conversation`).
What can be asked for at all is one file each in `intents`.
"""
